"""Images as one uint8 tensor in memory, and the splits that a run uses."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from regstudy.data.shared_memory import share_tensors

MAX_CLASSES_SHOWN = 10


@dataclass(frozen=True)
class ImageSet:
    """``images`` uint8 N×C×H×W, ``labels`` int64 N with values below ``len(classes)``.

    ``paths`` names the file of each image, relative to the data set's folder and with forward slashes; it is empty
    if the images have no files. ``groups`` is the number of each image's group, int64 N; `load_pool` fills it in where
    `data.group` is a rule.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    paths: tuple[str, ...] = ()
    groups: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def tensors(self) -> list[Tensor]:
        """Pixels, labels and, where there are any, groups."""
        return [self.images, self.labels] + ([] if self.groups is None else [self.groups])

    def subset(self, indices: Tensor) -> ImageSet:
        """A copy of the images at the given positions (int64)."""
        paths = tuple(self.paths[index] for index in indices.tolist()) if self.paths else ()
        groups = None if self.groups is None else self.groups[indices]
        return ImageSet(self.images[indices], self.labels[indices], self.classes, paths, groups)

    @property
    def per_class(self) -> list[int]:
        """How many images each class has."""
        counts: list[int] = torch.bincount(self.labels, minlength=len(self.classes)).tolist()
        return counts

    def to(self, device: torch.device) -> ImageSet:
        """The same images on a device; not copied if they are already there."""
        groups = None if self.groups is None else self.groups.to(device)
        return ImageSet(self.images.to(device), self.labels.to(device), self.classes, self.paths, groups)

    @cached_property
    def members(self) -> tuple[Tensor, Tensor]:
        """Each image's place among the M pairs of group and class that occur, N, and facts of each pair, M×3.

        The facts are the number of the group among those that occur, the class, and the images. Without groups, all
        images are in one.
        """
        groups = torch.zeros_like(self.labels) if self.groups is None else self.groups
        pairs, place, sizes = torch.unique(
            groups * len(self.classes) + self.labels, return_inverse=True, return_counts=True
        )
        _, number = torch.unique(pairs // len(self.classes), return_inverse=True)
        return place, torch.stack([number, pairs % len(self.classes), sizes], 1)

    @cached_property
    def hash(self) -> str:
        """Sixteen hexadecimal digits over pixels, labels and their order; file names and groups do not matter."""
        digest = hashlib.sha256(repr((tuple(self.images.shape), self.classes)).encode())
        for tensor in (self.images, self.labels):
            digest.update(tensor.cpu().contiguous().numpy().data)
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Grouping:
    """How images were grouped: the rule, the number of groups, and how many are in both training and validation.

    The last is 0, except for data sets with their own validation part.
    """

    rule: str
    groups: int
    in_both_parts: int


@dataclass(frozen=True)
class Splits:
    """The images a run uses: training, a fixed subset of it for the clean training accuracy, and validation.

    Of a folder of images, ``parts`` has the folder of each part (empty if its folders are the classes), and
    ``file_rule`` is the number of the rule that says which files are images.

    With k-fold cross-validation these are the parts of the first fold, and ``fold_of`` has the fold, from 1, of each
    image of training followed by those of validation; see `regstudy.data.fold_split.fold`.
    """

    train: ImageSet
    clean_train: ImageSet
    validation: ImageSet
    name: str
    split_seed: int
    grouping: Grouping | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    file_rule: int | None = None
    named_positive: str | None = None  # by the configuration
    fold_of: tuple[int, ...] = ()  # empty without k-fold cross-validation
    own_validation: bool = False  # whether the data set came with its validation part

    @property
    def folds(self) -> int:
        """The number of folds; 0 without k-fold cross-validation."""
        return max(self.fold_of, default=0)

    @cached_property
    def positive(self) -> int:
        """The number of the positive class: the one that is named, else the rarer one in training.

        Of equally rare classes it is the last one. With more than two classes it is of no use.
        """
        if self.named_positive is not None:
            return self.train.classes.index(self.named_positive)
        counts = self.train.per_class
        return min(range(len(counts)), key=lambda number: (counts[number], -number))

    @cached_property
    def hash(self) -> str:
        """Identifies the split: runs with equal hashes trained and validated on the same images."""
        folds = f" {self.fold_of}" if self.fold_of else ""
        return hashlib.sha256(f"{self.train.hash} {self.validation.hash}{folds}".encode()).hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """Facts about the data that a study stores and a report shows.

        The validation images of a study with folds are those of all folds: its values rest on all of them.
        """
        validated = self.validation.per_class
        if self.folds:
            validated = [sum(both) for both in zip(self.train.per_class, validated, strict=True)]
        facts = {
            "name": self.name,
            "classes": list(self.train.classes),
            "shape": list(self.train.shape),
            "train": len(self.train),
            "clean_train": len(self.clean_train),
            "validation": sum(validated),
            "validation_per_class": validated,
            "positive": self.train.classes[self.positive] if len(self.train.classes) == 2 else None,
            "split_seed": self.split_seed,
            "split_hash": self.hash,
            "group": self.grouping.rule if self.grouping else None,
            "groups": self.grouping.groups if self.grouping else None,
            "groups_in_both_parts": self.grouping.in_both_parts if self.grouping else None,
            "validation_groups": len(torch.unique(self.validation.groups))
            if self.validation.groups is not None
            else None,
            "parts": dict(self.parts),
            "file_rule": self.file_rule,
            "own_validation": self.own_validation,
        }
        return facts | ({"folds": self.folds} if self.folds else {})

    def in_words(self) -> str:
        """Parts and classes with their numbers of images, for the start of a study."""
        names, counts = self.train.classes, []
        for part in (self.train, self.validation):
            counts.append(part.labels.bincount(minlength=len(names)).tolist())
        shown = list(zip(names, *counts, strict=True))[:MAX_CLASSES_SHOWN]
        listed = ", ".join(f"{name} ({train:,} + {validation:,})" for name, train, validation in shown)
        more = f", and {len(names) - len(shown):,} more" if len(names) > len(shown) else ""
        sources = self.parts.get("train"), self.parts.get("validation", self.parts.get("train"))  # perhaps held out
        sizes = [
            f"{len(images):,} for {use}" + (f" (from {folder})" if folder else "")
            for images, use, folder in zip(
                (self.train, self.validation), ("training", "validation"), sources, strict=True
            )
        ]
        folds = f" in the first of {self.folds} folds" if self.folds else ""
        return f"{self.name}, {', '.join(sizes)}{folds}; {len(names)} classes, training + validation: {listed}{more}"

    def at(self, split_seed: int) -> Splits:  # noqa: ARG002 - of SplitSource
        """These splits whatever the seed, as a `SplitSource`: all trials of a search use the same images."""
        return self

    def share(self) -> Splits:
        """The same splits in shared memory, for other processes; DataError if there is not enough of it."""
        share_tensors(tensor for part in (self.train, self.clean_train, self.validation) for tensor in part.tensors)
        return self

    def to(self, device: torch.device) -> Splits:
        """The same parts on a device."""
        return replace(
            self,
            train=self.train.to(device),
            clean_train=self.clean_train.to(device),
            validation=self.validation.to(device),
        )
