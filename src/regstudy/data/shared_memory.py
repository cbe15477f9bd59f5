"""Tensors in shared memory, which several processes use without a copy in each."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from regstudy.errors import DataError

SHARED_MEMORY = Path("/dev/shm")


def share_tensors(tensors: Iterable[Tensor]) -> None:
    """Move tensors to shared memory, in place; DataError if there is not enough of it, and then none is moved.

    A tensor that is a view takes all that it is a view of with it. Those that are shared already need no more.
    """
    moved = [tensor for tensor in tensors if not tensor.is_shared()]  # type: ignore[no-untyped-call]
    storages = [tensor.untyped_storage() for tensor in moved]
    needed = sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
    if SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).free < needed:
        raise DataError(
            f"The images need {needed / 1e9:.1f} GB of shared memory, but {SHARED_MEMORY} has less free space. Use one"
            " worker, or increase shared memory (for a container: --shm-size)."
        )
    for tensor in moved:
        tensor.share_memory_()  # type: ignore[no-untyped-call]
