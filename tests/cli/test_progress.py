"""The lines of a running study: the count, the time left, and now and then what the next trials would gain."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from regstudy.analysis.next_trials import NextTrials
from regstudy.cli.progress import StudyDisplay
from regstudy.records import EpochRecord
from regstudy.search.events import ConfirmationStarted, StudyStarted, TrialEnded
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


@pytest.mark.parametrize("kind", [StudyStarted, ConfirmationStarted])
@pytest.mark.parametrize(
    ("known", "lines"),  # of three trials, ten seconds apart, the second of which failed
    [
        ([3, None, 4], ["[3/14] 1 min 50 s", "[3/14]", "[4/14] 2 min 30 s"]),  # nobody else
        ([5, None, 12], ["[5/14] 30 s", "[5/14]", "[12/14] 6.0 s"]),  # others as well
        ([4, None, 14], ["[4/14] 50 s", "[4/14]", "[14/14] nothing"]),  # others have finished the last ones
        ([6, None, 5], ["[6/14] 20 s", "[6/14]", "[6/14] 1 min"]),  # told in another order than read
        ([None, None, None], ["[3/14] 1 min 50 s", "[3/14]", "[4/14] 2 min 30 s"]),  # an event without the count
    ],
)
def test_the_count_and_the_time_left_are_those_of_the_whole_study(
    kind: type[StudyStarted], known: list[int | None], lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("regstudy.cli.progress.time.monotonic", lambda: now)
    stream, best = io.StringIO(), EpochRecord(1, 1.0, 0.5, 1.0, 0.5, 1.0, 0.5, 0.1, 1.0, 1.0)
    started = kind(StudyPlace(Path("x")), 14, 2, None, "val_accuracy", 1, 1.0)
    with StudyDisplay(Console(file=stream, width=300), started) as display:
        for number, finished in enumerate(known):
            now += 10
            failed = number == 1
            display(
                TrialEnded(
                    0, number, number, "search", "failed" if failed else "finished", "no luck", 0.5,
                    None if failed else best, 1, 1.0, finished=finished, confirms=kind is ConfirmationStarted,
                )
            )  # fmt: skip
    found = []
    for line in stream.getvalue().splitlines():
        left = re.search(r", about (.*) left$", line)
        words = "" if "no luck" in line else f" {left[1] if left else 'nothing'}"
        found.append(f"{line.split()[0]}{words}")
    assert found == lines


@pytest.mark.parametrize(("known", "told"), [([19, 21, 21, 26], [21, 26]), ([34, 36, 36], [36])])
def test_what_is_ahead_is_told_also_if_others_finished_the_fifth_trial(known: list[int], told: list[int]) -> None:
    stream = io.StringIO()
    started = StudyStarted(StudyPlace(Path("x")), 36, known[0], None, "val_accuracy", 1, 1.0)
    with StudyDisplay(Console(file=stream, width=200), started) as display:
        for count in known[1:]:
            display(TrialEnded(0, 1, 1, "search", "finished", "", 0.5, None, 3, 1.0, ahead=GAIN, finished=count))
    lines = stream.getvalue().splitlines()
    after = [lines[index - 1].split()[0] for index, line in enumerate(lines) if "next 10" in line]
    assert after == [f"[{count}/36]" for count in told]
