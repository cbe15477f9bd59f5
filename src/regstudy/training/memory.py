"""The memory of a device: what it has, what a training needs of it, and what to say where it is not enough."""

from __future__ import annotations

import gc
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import torch

from regstudy.config.run_config import RunConfig
from regstudy.errors import OUT_OF_MEMORY, NotEnoughMemory, RegstudyError, describe, lacks_memory
from regstudy.text import format_bytes
from regstudy.training.devices import give_back_memory

ASKED = re.compile(r"[Tt]ried to allocate ([\d.]+) ?([KMGT]i?B|bytes)")
UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "KB": 1e3, "MB": 1e6, "GB": 1e9}


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes of a device: all of them, those that no process uses, and those that this process may and does use."""

    total: float
    free: float
    own: float = 0.0
    share: float | None = None  # None: as many as are free


def memory_of(device: torch.device) -> DeviceMemory:
    """The memory of a GPU, or of the machine for any other device."""
    if device.type != "cuda":
        found = psutil.virtual_memory()
        return DeviceMemory(found.total, found.available, psutil.Process().memory_info().rss)
    index = torch.cuda.current_device() if device.index is None else device.index
    free, total = torch.cuda.mem_get_info(index)
    fraction = torch.cuda.get_per_process_memory_fraction(index)
    return DeviceMemory(total, free, torch.cuda.memory_reserved(index), None if fraction >= 1 else fraction * total)


@contextmanager
def enough_memory(config: RunConfig, device: torch.device) -> Iterator[None]:
    """Turn any lack of memory within the block into NotEnoughMemory, and give back what the block held."""
    try:
        yield
    except RegstudyError:
        raise
    except Exception as error:
        if not lacks_memory(error):
            raise
        words = shortage(error, config, device, memory_of(device))
        _let_go(error)
        raise NotEnoughMemory(words) from error


def shortage(error: BaseException, config: RunConfig, device: torch.device, memory: DeviceMemory) -> str:
    """A paragraph about a lack of memory: what was asked for, what there is, and what to do."""
    found = ASKED.search(str(error))
    asked = format_bytes(float(found[1]) * UNITS[found[2]]) if found and found[2] in UNITS else ""
    size = max(phase.training.batch_size for phase in config.in_phases())
    what = f"asked for {asked} more" if asked else f"failed ({describe(error)})"
    if device.type == "cuda":
        others = max(memory.total - memory.free - memory.own, 0.0)
        share = f", of its share of {format_bytes(memory.share)}" if memory.share is not None else ""
        there = (
            f"{device} has {format_bytes(memory.total)}: {format_bytes(memory.own)} are held by this"
            f" training{share}, {format_bytes(others)} by other processes and the driver, and"
            f" {format_bytes(memory.free)} are free"
        )
    else:
        there = (
            f"the machine has {format_bytes(memory.total)}: {format_bytes(memory.own)} are held by this process, and"
            f" {format_bytes(memory.free)} are free"
        )
    return (
        f"{OUT_OF_MEMORY}: training with batch_size {size} {what}, but {there}. Use a smaller training.batch_size (or a"
        " lower end of its range), fewer workers (--workers), smaller images (data.size) or a smaller network."
    )


def _let_go(error: BaseException) -> None:
    """Give back the tensors that the frames of an error hold, so that the next training finds the memory free."""
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__context__
    gc.collect()
    give_back_memory()
