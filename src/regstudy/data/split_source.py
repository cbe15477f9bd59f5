"""Where a run gets its images from: one split for all runs, or another one for each seed."""

from __future__ import annotations

from typing import Protocol

from regstudy.data.image_set import Splits


class SplitSource(Protocol):
    """The images of runs by the seed of their split; it can be pickled, for other processes.

    `Splits` are the source of runs that all use the same split; `regstudy.data.pool.Pool` is the one of runs on fresh
    splits.
    """

    def at(self, split_seed: int) -> Splits:
        """The splits of a run; DataError if the images cannot be split."""

    def share(self) -> SplitSource:
        """The same source in shared memory, for other processes; DataError if there is not enough of it."""
