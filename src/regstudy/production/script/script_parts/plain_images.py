"""Reading the images of a script."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.datasets import CIFAR10

from regstudy.data.decoding import Policy, Unreadable, decode
from regstudy.data.file_rule import LEFT_BEHIND, SUFFIXES
from regstudy.production.script.script_parts.matlab import read_svhn
from regstudy.production.script.script_parts.plain_settings import (
    CHANNELS,
    CLASSES,
    DATASET,
    FIT,
    OPTIONS,
    OWN_LOADER,
    SECTION,
    SIZE,
    SKIP_UNREADABLE,
    TEST_FOLDER,
    TRAIN_FOLDER,
    VALIDATION_FOLDER,
)

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Images:
    """``pixels`` uint8 N×C×H×W, ``labels`` int64 N; ``paths`` of their files, if they have any."""

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    paths: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, places: Any) -> Images:
        """The images at some places."""
        chosen = torch.from_numpy(places)
        return Images(self.pixels[chosen], self.labels[chosen], self.classes)

    def to(self, device: torch.device) -> Images:
        """The same images on a device."""
        return Images(self.pixels.to(device), self.labels.to(device), self.classes)


def read_part(part: str, root: Path) -> Images | None:
    """The images of train, validation or test; None if the data set has no such part."""
    if OWN_LOADER:
        return read_own(part, root)
    if DATASET == "image_folder":
        folder = {"train": TRAIN_FOLDER, "validation": VALIDATION_FOLDER, "test": TEST_FOLDER}[part]
        return read_folder(root, folder) if folder else None
    if DATASET == "cifar10":
        return read_cifar10(part, root)
    if DATASET == "svhn":
        return None if part == "validation" else Images(*read_svhn(part, root), tuple("0123456789"))
    return read_arrays(part, root)


def read_folder(root: Path, part: str) -> Images:
    """The images in root/part/<class>/, with the folders' names in alphabetical order as classes."""
    folder = root / part
    if not folder.is_dir():
        raise SystemExit(f"There is no folder {folder}. Give the folder of the images with --data.")
    classes = tuple(sorted(one.name for one in folder.iterdir() if one.is_dir() and not is_ignored(one.name)))
    pixels, labels, paths = [], [], []
    for label, name in enumerate(classes):
        found = [path for path in (folder / name).rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
        for path in sorted(one.relative_to(root).as_posix() for one in found):
            if any(map(is_ignored, path.split("/"))):
                continue
            try:
                pixels.append(decode((root / path).read_bytes(), Policy(SIZE, FIT, channels=CHANNELS)))
            except Unreadable as error:
                if not SKIP_UNREADABLE:
                    raise SystemExit(f"{root / path} cannot be read: {error}") from None
                print(f"Skipped {root / path}: {error}")
                continue
            labels.append(label)
            paths.append(path)
    return Images(torch.from_numpy(np.stack(pixels)), torch.tensor(labels), classes, tuple(paths))


def is_ignored(name: str) -> bool:
    """Whether a file or folder is hidden, or left behind by a system or an archive."""
    return name.startswith(".") or name.lower() in LEFT_BEHIND


def read_cifar10(part: str, root: Path) -> Images | None:
    """CIFAR-10 from class folders in root/train and root/test, or as torchvision reads it; downloaded if missing."""
    if part == "validation":
        return None
    if (root / part).is_dir():
        whole = read_folder(root, part)
    else:
        found = CIFAR10(root, train=part == "train", download=True)
        pixels = torch.from_numpy(np.ascontiguousarray(found.data.transpose(0, 3, 1, 2)))
        whole = Images(pixels, torch.tensor(found.targets), CIFAR10_CLASSES)
    if CLASSES:
        names = tuple(dict.fromkeys(name.strip() for name in CLASSES.split(",")))
        number = torch.full((len(CIFAR10_CLASSES),), -1)
        number[[CIFAR10_CLASSES.index(name) for name in names]] = torch.arange(len(names))
        kept = whole.at((number[whole.labels] >= 0).nonzero()[:, 0].numpy())
        return Images(kept.pixels, number[kept.labels], names)
    return whole


def read_arrays(part: str, root: Path) -> Images | None:
    """The arrays ``images`` (uint8 N×C×H×W) and ``labels`` (N) of root/train.npz, validation.npz and test.npz."""
    path = root / f"{part}.npz"
    if not path.exists():
        if part == "train":
            raise SystemExit(f"There is no {path}; the beginning of this script says how to make it.")
        return None
    with np.load(path) as found:
        labels = torch.from_numpy(found["labels"].astype(np.int64))
        names = found["classes"] if "classes" in found else range(int(labels.max()) + 1)
        return Images(torch.from_numpy(found["images"]), labels, tuple(map(str, names)))


def read_own(part: str, root: Path) -> Images | None:
    """What the project's own function returns, which may need other packages."""
    found = own_function(part, SimpleNamespace(**SECTION), root, **OPTIONS)
    if found is not None and not hasattr(found, "images"):
        raise SystemExit(f"Your function returned a {type(found).__name__}, without images, labels, classes, paths.")
    return None if found is None else Images(found.images, found.labels, tuple(found.classes), tuple(found.paths))


def own_function(part: str, config: Any, root: Path, **options: Any) -> Any:
    """The project's own images: an object with images, labels, classes and paths."""
    raise NotImplementedError


def groups_of(images: Images, pattern: str) -> Any:
    """The number of each image's group: its path's first (…) of the pattern, or all that matches."""
    search, numbers, found = re.compile(pattern), dict[str, int](), []
    for path in images.paths:
        match = search.search(path)
        if match is None:
            raise SystemExit(f"The pattern {pattern} of the groups does not match {path}.")
        found.append(numbers.setdefault(match[min(1, search.groups)], len(numbers)))
    return np.array(found)
