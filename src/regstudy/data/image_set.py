"""Images as one resident uint8 tensor, and the parts of a data set that a run sees."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regstudy.errors import DataError

SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class ImageSet:
    """``images`` uint8 N×C×H×W, ``labels`` int64 N with values below ``len(classes)``.

    ``paths`` names the file of each image, relative to the data set's folder and with forward slashes; it is empty
    where images have no files of their own.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    paths: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def subset(self, indices: Tensor) -> ImageSet:
        """A copy of the images at the given positions (int64)."""
        paths = tuple(self.paths[index] for index in indices.tolist()) if self.paths else ()
        return ImageSet(self.images[indices], self.labels[indices], self.classes, paths)

    def to(self, device: torch.device) -> ImageSet:
        """The same images on a device; no copy if they are there already."""
        return ImageSet(self.images.to(device), self.labels.to(device), self.classes, self.paths)

    @cached_property
    def hash(self) -> str:
        """Sixteen hexadecimal digits over pixels, labels and their order; the files' names do not matter."""
        digest = hashlib.sha256(repr((tuple(self.images.shape), self.classes)).encode())
        for tensor in (self.images, self.labels):
            digest.update(tensor.cpu().contiguous().numpy().data)
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Grouping:
    """Which images were kept together: by what rule, how many groups there are, and how many are in both parts.

    The last is 0 but for data sets that bring a validation part of their own.
    """

    rule: str
    groups: int
    in_both_parts: int


@dataclass(frozen=True)
class Splits:
    """What a run may see: the training part, a fixed subset of it for clean measurements, and the validation part."""

    train: ImageSet
    clean_train: ImageSet
    validation: ImageSet
    name: str
    split_seed: int
    grouping: Grouping | None = None

    @cached_property
    def hash(self) -> str:
        """Identifies the division: two runs with equal hashes trained and validated on the same images."""
        return hashlib.sha256(f"{self.train.hash} {self.validation.hash}".encode()).hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """The facts about the data that a study keeps and a report shows."""
        return {
            "name": self.name,
            "classes": list(self.train.classes),
            "shape": list(self.train.shape),
            "train": len(self.train),
            "clean_train": len(self.clean_train),
            "validation": len(self.validation),
            "split_seed": self.split_seed,
            "split_hash": self.hash,
            "group": self.grouping.rule if self.grouping else None,
            "groups": self.grouping.groups if self.grouping else None,
            "groups_in_both_parts": self.grouping.in_both_parts if self.grouping else None,
        }

    def share(self) -> Splits:
        """The same parts in memory that other processes can use without a copy; DataError if there is too little."""
        parts = (self.train, self.clean_train, self.validation)
        needed = sum(part.images.nbytes + part.labels.nbytes for part in parts)
        if SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).free < needed:
            raise DataError(
                f"The images need {needed / 1e9:.1f} GB of shared memory, more than {SHARED_MEMORY} has free. Use one"
                " worker, or give it more room (for a container: --shm-size)."
            )
        for part in parts:
            part.images.share_memory_()  # type: ignore[no-untyped-call]
            part.labels.share_memory_()  # type: ignore[no-untyped-call]
        return self

    def to(self, device: torch.device) -> Splits:
        """The same parts on a device."""
        return replace(
            self,
            train=self.train.to(device),
            clean_train=self.clean_train.to(device),
            validation=self.validation.to(device),
        )
