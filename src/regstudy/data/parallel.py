"""The same work on many files, by several threads, with a bar in a terminal and little held in memory.

Threads, not processes: Pillow and hashlib let go of the interpreter while they work, and processes would first take
seconds to start. Files are handed out in batches, because a task of its own for a small picture takes longer than the
picture.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

Thing = TypeVar("Thing")
Result = TypeVar("Result")

THREADS = os.cpu_count() or 1
BATCH = 16
AHEAD = 2  # batches that may wait beyond those being worked on
MANY = 2000  # from so many things on a bar is shown at once,
SOON = 1.0  # for fewer after so many seconds


def in_parallel(
    work: Callable[[Thing], Result], things: Sequence[Thing], label: str, batch: int = BATCH
) -> Generator[Result, None, None]:
    """Results in the order of the things; at most ``THREADS + AHEAD`` batches are worked on or waiting at a time.

    Closing it waits for what is being worked on and begins nothing more.
    """

    def work_on(start: int) -> list[Result]:
        return [work(thing) for thing in things[start : start + batch]]

    waiting: deque[Future[list[Result]]] = deque()
    with ThreadPoolExecutor(THREADS) as pool, _bar(label, len(things)) as advance:
        for start in range(0, len(things), batch):
            waiting.append(pool.submit(work_on, start))
            if len(waiting) == THREADS + AHEAD:
                results = waiting.popleft().result()
                yield from results
                advance(len(results))
        while waiting:
            results = waiting.popleft().result()
            yield from results
            advance(len(results))


@contextmanager
def _bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """What to call with the number of things done; the bar appears on the error stream if it is a terminal."""
    seen = sys.stderr.isatty()
    progress = Progress(console=Console(stderr=True), transient=True, disable=not seen)
    task = progress.add_task(label, total=total)
    began, shown = time.monotonic(), False

    def advance(done: int) -> None:
        nonlocal shown
        progress.advance(task, done)
        if seen and not shown and (total > MANY or time.monotonic() - began > SOON):
            progress.start()
            shown = True

    try:
        yield advance
    finally:
        if shown:
            progress.stop()
