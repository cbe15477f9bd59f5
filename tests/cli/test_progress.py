"""The lines of a running study: what the next trials would gain is told now and then, and at the end."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from regstudy.analysis.next_trials import NextTrials
from regstudy.cli.progress import StudyDisplay
from regstudy.search.events import StudyStarted, TrialEnded
from regstudy.study.place import StudyPlace

GAIN = NextTrials(20, 0.0012, 0.0234, 0.015, measured=True, worth=True)


@pytest.mark.parametrize(
    ("metric", "finished", "total", "ahead", "told"),
    [
        ("val_accuracy", 19, 36, GAIN, "next 10 trials: +0.1 ± 2.3 points, "),
        ("val_loss", 24, 36, GAIN, "next 10 trials: +0.001 ± 0.023 nats, "),
        ("val_accuracy", 35, 36, GAIN, "next 10 trials: +0.1 ± 2.3 points, "),  # the last one
        ("val_accuracy", 20, 36, GAIN, ""),
        ("val_accuracy", 19, 36, None, ""),
    ],
)
def test_what_is_ahead_is_told_every_fifth_time(
    metric: str, finished: int, total: int, ahead: NextTrials | None, told: str
) -> None:
    stream = io.StringIO()
    started = StudyStarted(StudyPlace(Path("x")), total, finished, None, metric, 1, 1.0)
    ended = TrialEnded(0, finished, finished, "search", "finished", "", 0.5, None, 3, 1.0, metric=metric, ahead=ahead)
    with StudyDisplay(Console(file=stream, width=200), started) as display:
        display(ended)
    lines = [line for line in stream.getvalue().splitlines() if "next 10" in line]
    assert len(lines) == bool(told)
    assert not told or re.fullmatch(rf"\s+{re.escape(told)}\d[\d.]* s", lines[0])
