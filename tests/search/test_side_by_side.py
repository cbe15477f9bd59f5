"""How many trials run side by side: which numbers are tried, which one is taken, and what a study does with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from confirmed import finished, load, space, study

from regstudy.search.events import Event, StudyStarted
from regstudy.search.side_by_side import TRIALS_EACH, WORKER_BYTES, best_number, numbers_to_try
from regstudy.study import attributes

PLENTY = 100 * WORKER_BYTES
TINY = space(training={"epochs": 1})


@pytest.mark.parametrize(
    ("threads", "trials", "memory", "expected"),
    [
        (1, 1000, PLENTY, [1]),
        (2, 1000, PLENTY, [1, 2]),
        (6, 1000, PLENTY, [1, 2, 4]),
        (64, 1000, PLENTY, [1, 2, 4, 8]),
        (64, 3 * TRIALS_EACH, PLENTY, [1, 2]),
        (64, 2 * TRIALS_EACH - 1, PLENTY, [1]),
        (64, 1000, 5 * WORKER_BYTES, [1, 2, 4]),
        (64, 1000, 0, [1]),
    ],
)
def test_numbers_that_are_tried(threads: int, trials: int, memory: float, expected: list[int]) -> None:
    assert numbers_to_try(threads, trials, memory) == expected


@pytest.mark.parametrize(
    ("seconds", "number", "gain"),
    [
        ({1: 1.0, 2: 2.0}, 1, 1.0),  # a network that uses all threads
        ({1: 1.0, 2: 1.8}, 1, 1.0),  # faster, but not clearly
        ({1: 1.0, 2: 1.6}, 2, 1.25),
        ({1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0}, 8, 8.0),  # one that uses a single thread
        ({1: 1.0, 2: 1.0, 4: 1.95, 8: 3.9}, 2, 2.0),  # more workers gain nothing
        ({1: 9.0, 2: 1.0}, 2, 18.0),  # threads that wait for each other on cores that others use
    ],
)
def test_the_fewest_workers_that_gain_most(seconds: dict[int, float], number: int, gain: float) -> None:
    assert best_number(seconds) == (number, pytest.approx(gain))


def workers(events: list[Event]) -> list[int]:
    return [event.workers for event in events if isinstance(event, StudyStarted)]


def said(events: list[Event]) -> bool:
    return any("run side by side" in str(event) for event in events)


def test_a_short_study_measures_nothing(tmp_path: Path) -> None:
    events = study(tmp_path, 2 * TRIALS_EACH, space=TINY, workers="auto", confirm=0.0)
    assert set(workers(events)) == {1} and not said(events)
    assert attributes.WORKERS not in load(tmp_path / "s").user_attrs


@pytest.mark.table
def test_a_measured_number_is_used_stored_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[list[int]] = []

    def seconds(_config: object, _splits: object, _device: object, threads: list[int]) -> dict[int, float]:
        measured.append(threads)
        return dict.fromkeys(threads, 1.0)

    monkeypatch.setattr("regstudy.search.side_by_side.SHORT_STUDY", 0.0)
    monkeypatch.setattr("regstudy.search.side_by_side.seconds_per_step", seconds)
    monkeypatch.setattr("regstudy.search.side_by_side.TRIALS_EACH", 2)
    events = study(tmp_path, 4, space=TINY, workers="auto", confirm=0.0, threads=2)
    assert set(workers(events)) == {2} and said(events) and measured == [[1, 2]]
    assert load(tmp_path / "s").user_attrs[attributes.WORKERS] == 2
    more = study(tmp_path, 4 + 2, space=TINY, workers="auto", confirm=0.0, threads=2)
    assert set(workers(more)) == {2} and len(measured) == 1
    alone = study(tmp_path, 4 + 4, space=TINY, workers=1, confirm=0.0, threads=2)
    assert set(workers(alone)) == {1} and not said(alone)
    assert finished(tmp_path / "s") == (4 + 4, 0)
