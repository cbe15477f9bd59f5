"""Work in parallel: results in order, little ahead of who takes them, and who listens knows how far it is."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regstudy.data import parallel
from regstudy.data.loading_events import Notice, Progress, listening
from regstudy.data.parallel import in_parallel


@settings(max_examples=25)
@given(count=st.integers(0, 70), batch=st.integers(1, 20), threads=st.integers(1, 5))
def test_results_come_in_order_for_any_number_of_threads(count: int, batch: int, threads: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parallel, "THREAD_COUNT", threads)
        assert list(in_parallel(lambda thing: thing * 2, range(count), "doubling", batch)) == list(
            range(0, 2 * count, 2)
        )


def test_work_keeps_little_ahead_of_who_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "THREAD_COUNT", 2)
    done: list[int] = []
    results = in_parallel(lambda thing: done.append(thing) or thing, range(100), "counting", 3)
    assert next(results) == 0
    time.sleep(0.1)
    assert len(done) <= 3 * (2 + parallel.WAITING_BATCHES)
    results.close()
    assert threading.active_count() < 10 and len(done) < 20


def test_an_error_reaches_who_takes_the_results() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_parallel(lambda thing: 1 // (7 - thing), range(100), "dividing", 2))


def test_listeners_are_told_how_far_it_is() -> None:
    seen: list[Progress | Notice] = []
    with listening(seen.append):
        assert list(in_parallel(abs, range(10), "counting", 4)) == list(range(10))
    assert seen == [Progress("counting", done, 10) for done in (4, 8, 10)]
