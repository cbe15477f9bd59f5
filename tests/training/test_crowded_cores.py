"""Waiting threads sleep while other programs use the cores."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from regstudy.training.crowded_cores import cores_at_work, crowded

STAT = """cpu  30 3 30 999 9 3 3 3 0 0
cpu0 10 1 10 333 3 1 1 1 0 0
cpu1 20 2 20 666 6 2 2 2 0 0
intr 1 2 3
"""
# CPU time of short operations with pauses between them: only threads that spin use any in the pauses
SPINNING = """
import os, threading, time, torch
from regstudy.training.crowded_cores import hold_sleeping_threads
torch.set_num_threads(2)
numbers = torch.ones(2**16)

def used():
    began = time.process_time()
    for _ in range(50):
        numbers.add_(1)
        time.sleep(0.004)
    return time.process_time() - began

used()
spinning = used()
free = hold_sleeping_threads(2, len(os.sched_getaffinity(0)))
time.sleep(0.5)
sleeping = used()
free.set()
while threading.active_count() > 1:
    time.sleep(0.01)
time.sleep(0.2)  # a thread's team ends after it
print(spinning, sleeping, used())
"""


@pytest.mark.parametrize(
    ("threads", "cores", "others", "expected"),
    [
        (2, 2, 0.0, False),  # alone
        (2, 2, 0.3, False),  # a browser
        (2, 2, 1.0, True),  # a training beside it
        (2, 4, 2.0, False),  # a core for everybody
        (2, 4, 3.0, True),
        (1, 2, 2.0, False),  # one thread waits for nobody
        (4, 2, 0.0, True),  # more threads than cores
    ],
)
def test_crowded(threads: int, cores: int, others: float, expected: bool) -> None:
    assert crowded(threads, cores, others) is expected


@pytest.mark.parametrize(("cores", "seconds"), [({0}, 0.24), ({1}, 0.48), ({0, 1}, 0.72)])
def test_work_of_cores(cores: set[int], seconds: float) -> None:
    assert cores_at_work(STAT, cores, 100) == pytest.approx(seconds)


@pytest.mark.skipif(sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="needs libgomp and two cores")
def test_held_threads_end_the_spinning_and_freed_ones_bring_it_back() -> None:
    environment = {**os.environ, "GOMP_SPINCOUNT": "100000", "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", SPINNING], env=environment, capture_output=True, text=True, check=True)
    spinning, sleeping, again = map(float, done.stdout.split())
    assert sleeping < spinning / 2 and sleeping < again / 2, done.stdout
