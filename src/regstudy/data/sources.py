"""The table of sources of images, and what a part must be once a source has returned it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple, get_args

import torch

from regstudy.config.plugins import is_plugin, load_plugin
from regstudy.config.schema import Data, Operation
from regstudy.config.user_code import guarded
from regstudy.data.image_set import ImageSet
from regstudy.data.own.returned import converting
from regstudy.data.requirements import requirement_problem
from regstudy.errors import ConfigError, DataError, unknown

Source = Callable[..., ImageSet | None]
ALL_OPERATIONS: frozenset[str] = frozenset(get_args(Operation))


class SourceEntry(NamedTuple):
    """A source's module, and what its images allow.

    ``operations`` are the augmentations that keep the labels correct, ``because`` is the reason why the others do not;
    ``files`` is False if the images have no paths to group them by.
    """

    module: str
    operations: frozenset[str] = ALL_OPERATIONS
    because: str = ""
    files: bool = True


def _of_digits(module: str) -> SourceEntry:
    return SourceEntry(module, ALL_OPERATIONS - {"flip"}, "a mirrored digit is no longer the same digit", files=False)


SOURCES = {
    "cifar10": SourceEntry("regstudy.data.cifar10"),
    "digits": _of_digits("regstudy.data.digits"),
    "image_folder": SourceEntry("regstudy.data.image_folder"),
    "street_digits": _of_digits("regstudy.data.street_digits"),
    "svhn": _of_digits("regstudy.data.svhn"),
    "table": SourceEntry("regstudy.data.table"),
}


def source(name: str) -> Source:
    """The function that loads a data set; ConfigError if there is none of that name."""
    if is_plugin(name):
        return converting(name, guarded(name, load_plugin(name), DataError))
    if name not in SOURCES:
        raise ConfigError(f"data.name: {unknown('data set', name, SOURCES)}")
    load: Source = import_module(SOURCES[name].module).load
    return load


def operations(name: str) -> frozenset[str]:
    """The augmentation operations that a data set allows; user-defined ones allow all."""
    return SOURCES[name].operations if name in SOURCES else ALL_OPERATIONS


def required(images: ImageSet | None, config: Data, part: str) -> ImageSet:
    """The unchanged images; DataError if the data set lacks this part, or if it is not a valid ImageSet."""
    if images is None:
        raise DataError(f"The data set '{config.name}' has no {part} set.")
    return sound(images, config, part)


def sound(images: ImageSet, config: Data, part: str) -> ImageSet:
    """The unchanged images; DataError if they are not a valid ImageSet, as may happen with a user-defined data set."""
    wrong = requirement_problem(images)
    if wrong is not None:
        raise DataError(f"The {part} set of '{config.name}' cannot be used: {wrong}")
    return images


def check_other_images(train: ImageSet, other: ImageSet, config: Data, part: str) -> None:
    """DataError if a user's function returns the images of the training part for another one: it ignores ``part``."""
    same = (
        is_plugin(config.name) and train.images.shape == other.images.shape and torch.equal(train.labels, other.labels)
    )
    if same and torch.equal(train.images, other.images):
        raise DataError(
            f"The {part} set of '{config.name}' has the same images as its training set. Look at the argument `part`:"
            f" return other images for '{part}', or None if there are none."
        )
