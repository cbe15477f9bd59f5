"""Devices (cpu, cuda, mps), threads, and memory settings."""

from __future__ import annotations

import ctypes
import gc
import os
import sys

import torch

from regstudy.config.device_names import DEVICES, device_problem
from regstudy.errors import ArgumentError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def available_devices() -> list[str]:
    """The kinds of device this machine and this torch can use, the fastest first."""
    usable = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [device for device in DEVICES if usable[device]]


def choose_device(name: str | None) -> str:
    """The requested device, or the fastest available one; ArgumentError if this machine does not have it."""
    usable = available_devices()
    if name is None:
        return usable[0]
    if problem := device_problem(name):
        raise ArgumentError(problem)
    kind, colon, index = name.partition(":")
    gpus = torch.cuda.device_count() if "cuda" in usable else 0
    count = gpus if kind == "cuda" else 1
    if kind not in usable or (colon and not (index.isdecimal() and int(index) < count)):
        every = [f"cuda:{number}" for number in range(gpus)] if gpus > 1 else []
        raise ArgumentError(
            f"device (--device): {name} is not available on this machine. Available: {', '.join([*usable, *every])}."
        )
    return name


def limit_threads(threads: int | None) -> None:
    """Let torch use this many CPU threads; None keeps its default, usually one per core."""
    if threads is not None:
        most = 4 * (os.cpu_count() or 1)
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise ArgumentError(f"threads must be a whole number of at least 1, but it is {threads!r}.")
        if threads > most:
            raise ArgumentError(f"threads (--threads) must be at most {most} on this machine, but it is {threads}.")
        torch.set_num_threads(threads)


def give_back_memory() -> None:
    """Return free memory to the system (glibc) and to other processes on the GPU, for example between two trials."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        gc.collect()  # a trial that raised may have left cycles that hold tensors
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def keep_freed_memory() -> None:
    """Let the C library keep large freed blocks instead of returning them to the system after every step.

    A training step frees and allocates the same blocks again and again; each time the system would map fresh pages one
    page fault at a time (small CNN, batch 32, one thread: 2,500 faults per step, a fifth of the time). glibc only.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_MMAP_THRESHOLD, 2**30)
