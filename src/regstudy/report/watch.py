"""Updates a report while its study runs, cheaply enough not to slow the study down."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path

from regstudy.report.page import write_report
from regstudy.study import attributes
from regstudy.study.queue_state import queue_state
from regstudy.study.stored_facts import fact
from regstudy.study.tables import Study

MAX_TIME_SHARE = 0.01  # share of the time that may go into writing reports
FindFresh = Callable[[], Study | None]

POLL_SECONDS = 2.0  # between checks of the study
UNFINISHED_STATES = ("RUNNING", "WAITING")


def pause_after(seconds: float, every: float) -> float:
    """Seconds to wait after a report that took ``seconds`` of CPU: ``every``, or more to stay in `MAX_TIME_SHARE`."""
    return max(every, seconds / MAX_TIME_SHARE)


def watch(
    study: Study,
    folder: Path,
    every: float,
    say: Callable[[str], None],
    rest: Callable[[float], None],
    overwrite: bool = False,
    find_fresh: FindFresh = lambda: None,
    where: str | None = None,
    find_ablated: FindFresh = lambda: None,
) -> Path:
    """Write the report whenever the study has changed, until it is complete; returns the page.

    Until then the page reloads itself in the browser; the last one does not. ``rest`` sleeps. ``find_fresh`` looks for
    the confirmation runs, which may begin only later, ``find_ablated`` for those of an ablation; ``where`` names the
    study in commands.
    """
    seen, not_before = None, -math.inf
    while True:
        fresh, ablated = find_fresh(), find_ablated()
        state, over = progress(study, fresh, ablated)
        if over or (state != seen and time.monotonic() >= not_before):
            began = time.process_time()
            refresh = None if over else max(1, round(every))
            page = write_report(study, folder, refresh, overwrite and seen is None, fresh, where, ablated)
            pause = pause_after(time.process_time() - began, every)
            if over:
                return page
            if seen is None:
                say(f"Report: {page}, updated at most every {pause:.0f} s while the study runs. Press Ctrl-C to stop.")
            seen, not_before = state, time.monotonic() + pause
        rest(POLL_SECONDS)


def step_back() -> None:
    """Lower the priority of this process in favor of the study's, where the system supports it."""
    if hasattr(os, "nice"):
        os.nice(10)


def progress(study: Study, fresh: Study | None = None, ablated: Study | None = None) -> tuple[tuple[int, int], bool]:
    """How many trials have ended and how many epochs there are, and whether the study is complete.

    It is complete once every slot is finished or given up; a failed slot is queued again only later. Studies without
    slots are complete when nothing is waiting or running. Confirmation and ablation runs count, too.
    """
    own, over = _progress_of(study)
    if ablated is not None:
        apart, ended = _progress_of(ablated)
        own, over = (own[0] + apart[0], own[1] + apart[1]), over and ended
    if fresh is None:
        to_come = (fact(study, attributes.CONFIRM) or {"runs": 0})["runs"]  # and none of them has begun
        return own, over and not to_come
    again, all_over = _progress_of(fresh)
    race = fact(fresh, attributes.RACE) or {"runs": 0, "planned": ()}
    planned = len(race["planned"]) >= race["runs"] - 1  # a single run may be too few for a further round
    return (own[0] + again[0], own[1] + again[1]), over and all_over and planned


def _progress_of(study: Study) -> tuple[tuple[int, int], bool]:
    trials = study.get_trials(deepcopy=False)
    over = not any(trial.state.name in UNFINISHED_STATES for trial in trials)
    if total := fact(study, attributes.TRIALS):
        over = not queue_state(trials).count_unfinished(int(total))
    ended = sum(trial.state.is_finished() for trial in trials)
    return (ended, sum(len(trial.intermediate_values) for trial in trials)), over
