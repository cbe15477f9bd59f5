"""Runs in rounds that are decided as they end: where they are stored, and running them until none is left.

Confirmation and ablation share this; what runs next is theirs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import optuna

from regstudy.data.split_source import SplitSource
from regstudy.errors import StudyError
from regstudy.files import make_folder
from regstudy.search.create import versions
from regstudy.search.engine import serve
from regstudy.search.events import Listener, Notice
from regstudy.search.queue import close_orphans, count_claimable
from regstudy.search.search_options import SearchOptions
from regstudy.space.plan import Plan
from regstudy.space.round_plan import RoundPlan
from regstudy.space.study_name import CONFIRMATION
from regstudy.study import attributes
from regstudy.study.companion import companion_place, find_companion, has_stale_runs
from regstudy.study.passwords import masked_url
from regstudy.study.place import StudyPlace
from regstudy.study.queue_state import queue_state
from regstudy.study.storage import OpenStudy, open_named, open_storage
from regstudy.study.stored_facts import facts_of
from regstudy.text import counted

COPIED = (
    attributes.METRIC,
    attributes.DATA,
    attributes.REGULARIZERS,
    attributes.SEED,
    attributes.SPACE_NAME,
    attributes.EPOCHS_PLANNED,
)  # from the search, so that the runs can be read alone
POLL = 2.0  # seconds between looks at what other workers do


class Planned(Protocol):
    """What is decided so far."""

    @property
    def planned(self) -> Sequence[object]:
        """The runs, by slot."""


F = TypeVar("F", bound=Planned)


def create_companion(
    place: StudyPlace, search: optuna.Study, suffix: str, fresh_splits: bool, facts: Mapping[str, Any]
) -> optuna.Study:
    """The study that stores such runs of a search, created with what it copies from it; ``facts`` come last.

    Call it within `exclusive`.
    """
    study = optuna.create_study(
        study_name=companion_place(place, search, suffix).name,
        storage=open_storage(place.url),
        direction=search.direction,
        load_if_exists=True,  # one whose creation was interrupted
    )
    known = facts_of(search)
    known[attributes.DATA] = {**known[attributes.DATA], "own_validation": not fresh_splits}
    copied = {key: known[key] for key in COPIED if key in known}
    for key, value in {**copied, attributes.VERSIONS: versions(), **facts}.items():
        study.set_user_attr(key, value)
    return study


def run_rounds(
    place: StudyPlace,
    opened: OpenStudy,
    decide: Callable[[], F],
    plan_of: Callable[[F], RoundPlan],
    words: Callable[[F], str],
    options: SearchOptions,
    images: Callable[[], SplitSource],
    deadline: float,
    listen: Listener,
) -> None:
    """Run what is decided, wait for what others run, and decide again, until nothing is left or the time is over.

    ``words`` describe a round, and are told once; ``images`` are loaded when the first run needs them.
    """
    make_folder(place.folder)
    source: SplitSource | None = None
    facts, told = decide(), ""
    while unfinished(opened, facts) and time.time() < deadline:
        if (said := words(facts)) != told:
            told = said
            listen(Notice(said))
        source = source or images()
        left = replace(options, trials=len(facts.planned), budget=time_until(deadline))
        serve(place, opened.study, plan_of(facts), source, left, listen)
        wait_for_others(opened, deadline, listen)
        facts = decide()


def unfinished(opened: OpenStudy, facts: Planned) -> int:
    """How many of the decided runs may yet be finished."""
    trials = opened.patiently(lambda: opened.study.get_trials(deepcopy=False))
    return queue_state(trials).count_unfinished(len(facts.planned))


def check_no_stale_runs(place: StudyPlace, search: optuna.Study | None, suffix: str = CONFIRMATION) -> None:
    """StudyError if a place holds runs of an earlier study, where this one would store its own."""
    name = place.name if search is None else search.study_name
    if (search is None or find_companion(place, search, suffix) is None) and has_stale_runs(place.url, name, suffix):
        companion = name + suffix
        where = masked_url(place.url)
        raise StudyError(
            f"{place} still holds {suffix[1:]} runs, as the study '{companion}', of an earlier study that was deleted."
            f" Delete them, too (optuna delete-study --study-name {companion} --storage {where}), or use another study"
            " name (--study NAME)."
        )


def time_until(deadline: float) -> float:
    """Seconds until a deadline (time.time()); 0 if it is over."""
    return max(0.0, deadline - time.time())


def finish_search(
    place: StudyPlace,
    search: optuna.Study,
    plan: Plan,
    images: SplitSource,
    options: SearchOptions,
    listen: Listener,
    deadline: float,
) -> None:
    """Wait until other workers have finished the search, and run what they leave."""
    with closing(open_named(place.url, search.study_name)) as opened, opened.watched():
        while True:
            wait_for_others(opened, deadline, listen)
            claimable = opened.patiently(lambda: count_claimable(opened.study))
            if not claimable or time.time() >= deadline or math.isfinite(options.budget):
                return
            serve(place, search, plan, images, options, listen)


def wait_for_others(opened: OpenStudy, deadline: float, listen: Listener) -> None:
    """Wait while other workers run what is left and nothing can be claimed here."""
    told = False
    while time.time() < deadline:
        close_orphans(opened)
        running = opened.patiently(
            lambda: opened.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
        )
        if not running or opened.patiently(lambda: count_claimable(opened.study)):
            return
        if not told:
            listen(Notice(f"Waiting for {counted(len(running), 'run')} of other workers."))
            told = True
        time.sleep(POLL)
