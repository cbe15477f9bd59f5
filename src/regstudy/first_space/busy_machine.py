"""How much slower other programs make this machine for the moment, so that a choice for hours does not rest on that."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import torch

from regstudy.text import counted
from regstudy.training.cost import ImageCost

BUSY = 0.75  # load per core in the last minute


class Machine:
    """Times of this machine as they would be without other programs, as far as the load and CPU time tell."""

    def __init__(self, device: torch.device) -> None:
        """The load is that of now, before anything of ours has run."""
        self.device, self.cores = device, os.cpu_count() or 1
        has_load = device.type == "cpu" and hasattr(os, "getloadavg")
        self.load = os.getloadavg()[0] if has_load else 0.0
        self.slower = 1.0  # the most so far

    def alone(self, timed: Callable[[], ImageCost]) -> ImageCost:
        """What ``timed`` returns, corrected for other programs."""
        wall, cpu = time.perf_counter(), time.process_time()
        cost = timed()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        factor = slowdown(self.load, self.cores, wall, cpu, torch.get_num_threads())
        self.slower = max(self.slower, factor)
        return ImageCost(cost.train / factor, cost.evaluate / factor)

    def remark(self) -> str:
        """A sentence about other programs, empty if there are none that matter."""
        if self.slower <= 1:
            return ""
        return (
            f"Other programs keep this machine busy (load {self.load:.1f} on {counted(self.cores, 'core')}): for now,"
            f" everything takes up to {self.slower:.1f} times as long as estimated here."
        )

    def __str__(self) -> str:
        """Device and threads."""
        return f"cpu, {torch.get_num_threads()} threads" if self.device.type == "cpu" else str(self.device)


def slowdown(load: float, cores: int, wall: float, cpu: float, threads: int) -> float:
    """How many times as long something took because of other programs, at most.

    It is never more than the load explains, nor more than the CPU time that ``threads`` did not get in ``wall``
    seconds.
    """
    if load < BUSY * cores:
        return 1.0
    return max(1.0, min(1 + load / cores, wall * threads / max(cpu, 1e-6)))
