"""The pilot of an answer: the default configuration, trained a few times with fresh seeds and fresh splits.

It tells what a training costs and how noisy its value is. Its runs are a further Optuna study `NAME/pilot`; no other
run has their seeds and splits, and they enter no claim.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import optuna

from regstudy.analysis.share_error import validation_error
from regstudy.data.split_source import SplitSource
from regstudy.errors import StudyError
from regstudy.search.confirming import seconds_per_run
from regstudy.search.engine import outlast_server
from regstudy.search.events import Listener, PilotStarted, StudyEnded
from regstudy.search.rounds import create_companion, run_rounds, unfinished
from regstudy.search.search_options import SearchOptions
from regstudy.space.round_plan import RoundPlan
from regstudy.space.search_space import Space
from regstudy.space.study_name import PILOT
from regstudy.study import attributes
from regstudy.study.companion import companion_place
from regstudy.study.load_tables import load_tables
from regstudy.study.passwords import masked_url
from regstudy.study.place import StudyPlace
from regstudy.study.queue_state import count_finished, queue_state
from regstudy.study.storage import exclusive, in_words, open_existing, open_named
from regstudy.study.stored_facts import fact

ARM = "defaults"


@dataclass(frozen=True)
class PilotFacts:
    """The rounds of a pilot, one run in each."""

    runs: int

    @property
    def planned(self) -> list[tuple[str, int]]:
        """The arm and the round of each run."""
        return [(ARM, round_) for round_ in range(1, self.runs + 1)]


@dataclass(frozen=True)
class PilotResult:
    """What the runs of a pilot reached, their mean and longest time, and the design effect of the images' groups."""

    values: tuple[float, ...]
    seconds: float
    longest: float
    design_effect: float


NOT_MEASURED = PilotResult((), math.nan, math.nan, 1.0)


def find_pilot(place: StudyPlace, search: optuna.Study) -> optuna.Study | None:
    """The pilot of a study; None if there is none. StudyError if it is that of another space."""
    name = search.study_name + PILOT
    with in_words(place.url):
        storage = open_existing(place.url)
        if storage is None or name not in {study.study_name for study in storage.get_all_studies()}:
            return None
        found = optuna.load_study(study_name=name, storage=storage)
    known = fact(found, attributes.PILOT)
    if known is not None and known["fingerprint"] != fact(search, attributes.FINGERPRINT):
        raise StudyError(
            f"{place} still holds the pilot of another study, as '{name}'. Delete it (optuna delete-study --study-name"
            f" {name} --storage {masked_url(place.url)}), or use another study name (--study NAME)."
        )
    return found


def pilot_left(place: StudyPlace, search: optuna.Study) -> int | None:
    """How many runs of a pilot may yet be finished; None if none has begun."""
    found = find_pilot(place, search)
    known = None if found is None else fact(found, attributes.PILOT)
    if found is None or known is None:
        return None
    return queue_state(found.get_trials(deepcopy=False)).count_unfinished(known["runs"])


def run_pilot(
    place: StudyPlace,
    search: optuna.Study,
    space: Space,
    runs: int,
    options: SearchOptions,
    images: Callable[[], SplitSource],
    fresh_splits: bool,
    seconds: float,
    deadline: float,
    listen: Listener,
) -> None:
    """Make a study have a pilot of so many runs, or finish the one it has; ``seconds`` is the estimate for a run.

    After the ``deadline`` (time.time()) no further run is started: a pilot of fewer runs tells less, and costs less.

    Raises KeyboardInterrupt after Ctrl-C, once all workers have stopped.
    """
    with exclusive(place.url):
        study = find_pilot(place, search)
        if study is None or fact(study, attributes.PILOT) is None:
            known = {"fingerprint": fact(search, attributes.FINGERPRINT), "runs": runs}
            new = {attributes.TRIALS: runs, attributes.PILOT: known}  # the last one completes the creation
            study = create_companion(place, search, PILOT, fresh_splits, new)
    facts = PilotFacts(int(fact(study, attributes.PILOT)["runs"]))
    plan = RoundPlan(
        search.study_name, {ARM: space.defaults()}, facts.planned, space.study, {ARM: 0}, fresh_splits, "pilot"
    )
    there = companion_place(place, search, PILOT)

    def stages() -> None:
        with closing(open_named(there.url, study.study_name)) as opened, opened.watched():
            if not unfinished(opened, facts):
                return
            done, pace = count_finished(opened.study), seconds / options.workers
            listen(PilotStarted(place, facts.runs, done, None, space.study.metric, options.workers, pace))
            run_rounds(
                there, opened, lambda: facts, lambda _: plan, lambda _: _words(facts.runs, fresh_splits), options,
                images, deadline, listen,
            )  # fmt: skip

    try:
        outlast_server(stages, listen)
    except KeyboardInterrupt:
        left = pilot_left(place, search) or 0
        listen(StudyEnded("interrupted", facts.runs, facts.runs - left, left, 0, 0))
        raise


def pilot_result(place: StudyPlace, search: optuna.Study) -> PilotResult:
    """What the pilot of a study has measured; values only of runs that did not diverge. NaN seconds without any."""
    study = find_pilot(place, search)
    if study is None:
        return NOT_MEASURED
    tables = load_tables(study)
    whole = tables.trials[tables.observed()]
    errors = [validation_error(tables, int(number)) for number in whole["number"]]
    effects = [error.design_effect for error in errors if error is not None]
    return PilotResult(
        tuple(float(value) for value in whole["value"]),
        seconds_per_run(study),
        float(whole["seconds"].max()) if len(whole) else math.nan,
        math.fsum(effects) / len(effects) if effects else 1.0,
    )


def _words(runs: int, fresh_splits: bool) -> str:
    split = ", each on a fresh split" if fresh_splits else ""
    return (
        f"Pilot: the default configuration, trained {'once' if runs == 1 else f'{runs} times'} with fresh"
        f" {'seed' if runs == 1 else 'seeds'}{split}, to learn what a training costs and how noisy it is. It enters no"
        " claim."
    )
