"""Writing a report again and again while its study runs, cheaply enough not to slow it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path

from regstudy.report.page import write_report
from regstudy.study import attributes
from regstudy.study.queue_state import queue_state
from regstudy.study.tables import Study

SHARE = 0.01  # of the time that writing reports may take
POLL = 2.0  # seconds between looks at the study
UNFINISHED = ("RUNNING", "WAITING")


def pause_after(seconds: float, every: float) -> float:
    """How long to wait after a report that took so many CPU seconds: ``every``, or longer to stay within `SHARE`."""
    return max(every, seconds / SHARE)


def watch(study: Study, folder: Path, every: float, say: Callable[[str], None], rest: Callable[[float], None]) -> Path:
    """Write the report whenever the study has moved on, until it is complete; returns the page.

    While it goes on, the page reloads itself in the browser; the last one does not. ``rest`` sleeps.
    """
    seen, not_before = None, -math.inf
    while True:
        state, over = progress(study)
        if over or (state != seen and time.monotonic() >= not_before):
            began = time.process_time()
            page = write_report(study, folder, None if over else max(1, round(every)))
            pause = pause_after(time.process_time() - began, every)
            if over:
                return page
            if seen is None:
                say(
                    f"Report: {page}, written again at most every {pause:.0f} s while the study runs; Ctrl-C ends this."
                )
            seen, not_before = state, time.monotonic() + pause
        rest(POLL)


def step_back() -> None:
    """Let the study's processes go first, where the system knows priorities."""
    if hasattr(os, "nice"):
        os.nice(10)


def progress(study: Study) -> tuple[tuple[int, int], bool]:
    """How many trials have ended and how many epochs there are, and whether the study is complete.

    It is once every slot asked for is finished or given up: one that has failed is queued again only later. Studies
    without slots are complete when nothing is waiting or running.
    """
    trials = study.get_trials(deepcopy=False)
    over = not any(trial.state.name in UNFINISHED for trial in trials)
    if total := study.user_attrs.get(attributes.TRIALS):
        over = not queue_state(trials).unfinished(int(total))
    ended = sum(trial.state.is_finished() for trial in trials)
    return (ended, sum(len(trial.intermediate_values) for trial in trials)), over
