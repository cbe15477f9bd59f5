"""Lets waiting threads sleep instead of spin while other programs use the same cores.

Threads that compute one step together wait for each other many times per step. libgomp, which torch uses on Linux,
spins while it waits, which is fastest on free cores. On cores that are shared it is ruinous: a spinning thread keeps
the core from the very thread that it waits for, and two trainings of a small network on two cores together make a sixth
of the epochs that one makes (benchmarks/shared_cores.py). libgomp hardly spins when a process has more OpenMP threads
than there are cores, and looks at that at every wait. So while the cores are crowded, further threads are kept that
only sleep. They compute nothing: results stay the same to the bit.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

LOOK_EVERY = 1.0  # seconds
TOLERATED = 0.5  # cores that other programs may use besides those that are free; a browser needs no more
CPU_TIMES = Path("/proc/stat")
AT_WORK = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal: columns of a line of /proc/stat
GRAIN = 2**15  # numbers per thread from which torch divides an operation between threads


@contextmanager
def sharing_cores() -> Iterator[None]:
    """Within the block, threads of torch that wait do not spin while other programs use the cores, too."""
    if sys.platform != "linux" or torch.get_num_threads() == 1 or not CPU_TIMES.is_file():
        yield
        return
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(over, torch.get_num_threads()), daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


def crowded(threads: int, cores: int, others: float) -> bool:
    """Whether there is no core for each of our threads while other programs use ``others`` cores."""
    return threads > 1 and threads + others > cores + TOLERATED


def cores_at_work(text: str, cores: set[int], ticks: int) -> float:
    """Seconds that these cores have been at work since the machine started, from the text of /proc/stat."""
    lines = (line.split() for line in text.splitlines() if line.startswith("cpu"))
    return sum(int(line[1 + column]) for line in lines for column in AT_WORK if line[0][3:] in map(str, cores)) / ticks


def _watch(over: threading.Event, threads: int) -> None:
    """Hold sleeping threads whenever the last second was crowded."""
    cores, ticks = os.sched_getaffinity(0), os.sysconf("SC_CLK_TCK")
    free: threading.Event | None = None
    try:
        while True:
            began, own, all_ = time.monotonic(), time.process_time(), _at_work(cores, ticks)
            if over.wait(LOOK_EVERY):
                return
            spent = _at_work(cores, ticks) - all_ - (time.process_time() - own)
            needed = crowded(threads, len(cores), spent / (time.monotonic() - began))
            if needed and free is None:
                free = hold_sleeping_threads(threads, len(cores))
            elif not needed and free is not None:
                free.set()
                free = None
    finally:
        if free is not None:
            free.set()


def _at_work(cores: set[int], ticks: int) -> float:
    return cores_at_work(CPU_TIMES.read_text(), cores, ticks)


def hold_sleeping_threads(threads: int, cores: int) -> threading.Event:
    """Keep more OpenMP threads than cores in this process, until the returned event is set.

    Every Python thread that runs an operation of torch gets a team of ``threads`` for as long as it lives.
    """
    free = threading.Event()

    def hold() -> None:
        torch.ones(GRAIN * threads).add_(1)
        free.wait()

    for _ in range((cores - threads) // (threads - 1) + 1 if threads <= cores else 0):
        threading.Thread(target=hold, daemon=True).start()
    return free
