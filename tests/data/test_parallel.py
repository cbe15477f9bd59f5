"""Work in parallel: results in order, little ahead of who takes them, and a bar only where somebody sees it."""

from __future__ import annotations

import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.progress import Progress

from regstudy.data import parallel
from regstudy.data.parallel import in_parallel


@settings(max_examples=25, deadline=None)
@given(count=st.integers(0, 70), batch=st.integers(1, 20), threads=st.integers(1, 5))
def test_results_come_in_order_for_any_number_of_threads(count: int, batch: int, threads: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parallel, "THREADS", threads)
        assert list(in_parallel(lambda thing: thing * 2, range(count), "doubling", batch)) == list(
            range(0, 2 * count, 2)
        )


def test_work_keeps_little_ahead_of_who_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "THREADS", 2)
    done: list[int] = []
    results = in_parallel(lambda thing: done.append(thing) or thing, range(100), "counting", 3)
    assert next(results) == 0
    time.sleep(0.1)
    assert len(done) <= 3 * (2 + parallel.AHEAD)
    results.close()
    assert threading.active_count() < 10 and len(done) < 20


def test_an_error_reaches_who_takes_the_results() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_parallel(lambda thing: 1 // (7 - thing), range(100), "dividing", 2))


@pytest.mark.parametrize(
    ("terminal", "many", "soon", "shown"),
    [
        (True, 10, 60.0, True),  # many things
        (True, 1000, 0.0, True),  # few, but it takes a while
        (True, 1000, 60.0, False),
        (False, 10, 0.0, False),
    ],
)
def test_a_bar_is_shown_on_a_terminal_for_many_things_or_long_work(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, many: int, soon: float, shown: bool
) -> None:
    started: list[Progress] = []
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(parallel, "MANY", many)
    monkeypatch.setattr(parallel, "SOON", soon)
    monkeypatch.setattr(Progress, "start", lambda self: started.append(self))
    assert list(in_parallel(abs, range(100), "counting")) == list(range(100))
    assert len(started) == shown
