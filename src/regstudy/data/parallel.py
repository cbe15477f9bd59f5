"""The same work on many files, by several threads, with little held in memory.

Threads, not processes: Pillow and hashlib let go of the interpreter while they work, and processes would first take
seconds to start. Files are handed out in batches, because a task of its own for a small picture takes longer than the
picture.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from regstudy.data.loading_events import Progress, tell

Thing = TypeVar("Thing")
Result = TypeVar("Result")

THREADS = os.cpu_count() or 1
BATCH = 16
AHEAD = 2  # batches that may wait beyond those being worked on


def in_parallel(
    work: Callable[[Thing], Result], things: Sequence[Thing], label: str, batch: int = BATCH
) -> Generator[Result, None, None]:
    """Results in the order of the things; at most ``THREADS + AHEAD`` batches are worked on or waiting at a time.

    Closing it waits for what is being worked on and begins nothing more. Listeners are told after each batch.
    """

    def work_on(start: int) -> list[Result]:
        return [work(thing) for thing in things[start : start + batch]]

    done = 0
    waiting: deque[Future[list[Result]]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(things), batch):
            waiting.append(pool.submit(work_on, start))
            if len(waiting) == THREADS + AHEAD:
                results = waiting.popleft().result()
                yield from results
                tell(Progress(label, done := done + len(results), len(things)))
        while waiting:
            results = waiting.popleft().result()
            yield from results
            tell(Progress(label, done := done + len(results), len(things)))
