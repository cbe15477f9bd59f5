"""The same work on many files, in several threads, with little memory.

Threads, not processes: Pillow and hashlib release the GIL while they work, and processes take seconds to start. Files
are handled in batches, because one task per small picture would cost more than decoding it.
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

THREAD_COUNT = os.cpu_count() or 1
FILES_PER_BATCH = 16
WAITING_BATCHES = 2  # finished or waiting beyond those being worked on, to limit memory


def in_parallel(
    work: Callable[[Thing], Result], things: Sequence[Thing], label: str, batch: int = FILES_PER_BATCH
) -> Generator[Result, None, None]:
    """Results in the order of the things; at most ``THREAD_COUNT + WAITING_BATCHES`` batches exist at a time.

    Closing it waits for running batches and starts no new ones. Sends a progress event after each batch.
    """

    def work_on(start: int) -> list[Result]:
        return [work(thing) for thing in things[start : start + batch]]

    done = 0
    waiting: deque[Future[list[Result]]] = deque()
    with ThreadPoolExecutor(THREAD_COUNT) as pool:
        for start in range(0, len(things), batch):
            waiting.append(pool.submit(work_on, start))
            if len(waiting) == THREAD_COUNT + WAITING_BATCHES:
                results = waiting.popleft().result()
                yield from results
                tell(Progress(label, done := done + len(results), len(things)))
        while waiting:
            results = waiting.popleft().result()
            yield from results
            tell(Progress(label, done := done + len(results), len(things)))
