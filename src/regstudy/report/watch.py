"""Writing a report again and again while its study runs, cheaply enough not to slow it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

from regstudy.analysis.table import Study
from regstudy.report.page import write_report

SHARE = 0.01  # of the time that writing reports may take
POLL = 2.0  # seconds between looks at the study
UNFINISHED = ("RUNNING", "WAITING")


def pause_after(seconds: float, every: float) -> float:
    """How long to wait after a report that took so many CPU seconds: ``every``, or longer to stay within `SHARE`."""
    return max(every, seconds / SHARE)


def watch(study: Study, folder: Path, every: float, say: Callable[[str], None], rest: Callable[[float], None]) -> Path:
    """Write the report whenever the study has moved on, until nothing is waiting or running; returns the page.

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


def progress(study: Study) -> tuple[tuple[int, int], bool]:
    """How many trials and epochs there are, and whether nothing is waiting or running."""
    trials = study.get_trials(deepcopy=False)
    unfinished = any(trial.state.name in UNFINISHED for trial in trials)
    ended = sum(trial.state.is_finished() for trial in trials)
    return (ended, sum(len(trial.intermediate_values) for trial in trials)), not unfinished
