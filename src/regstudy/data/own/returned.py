"""What a data set of the user's own returned, as an `ImageSet`.

It may be an ImageSet, ``(images, labels)`` or ``(images, labels, classes)``, a torch or Hugging Face data set, a list
of items, or a mapping of parts to these. The error for anything else says what was given and how to convert it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from math import isqrt
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset

from regstudy.config.schema import Data
from regstudy.config.user_code import returned
from regstudy.data.image_set import ImageSet
from regstudy.data.loading_events import Notice, tell
from regstudy.data.own.items import Items, policy_for
from regstudy.data.own.labels import class_names, read_labels
from regstudy.data.own.pixels import (
    LAYOUTS,
    RANGES,
    Array,
    Bytes,
    Look,
    as_array,
    channels_first,
    check_bright,
    extremes,
    layout_of,
    range_of,
    resized,
    shape_words,
    to_bytes,
    with_channels,
)
from regstudy.data.own.refusals import Unusable
from regstudy.data.part_words import PART_WORDS, part_of
from regstudy.errors import DataError
from regstudy.text import listing

ALLOWED = (
    "Return an ImageSet, (images, labels), (images, labels, classes), a torch or Hugging Face data set, or a mapping of"
    " train, validation and test to these"
)


def converting(name: str, load: Callable[..., Any]) -> Callable[..., ImageSet | None]:
    """The same source, whose results are image sets; it keeps its signature. DataError for what cannot be one."""

    @functools.wraps(load, updated=())
    def call(part: str, config: Data, *arguments: Any, **options: Any) -> ImageSet | None:
        given = load(part, config, *arguments, **options)
        try:
            return as_image_set(given, part, config)
        except Unusable as error:
            words = "training" if part == "train" else part
            raise DataError(f"The {words} set of '{name}' cannot be used: {error}") from None

    return call


def as_image_set(given: Any, part: str, config: Data) -> ImageSet | None:
    """One part of what a data set returned; None if it has no such part. Raises Unusable."""
    if isinstance(given, Mapping):
        given = _part(given, part)
    if given is None:
        return None
    if isinstance(given, ImageSet):
        _check_unused(config, "an ImageSet", "channels", "image", "label")
        return given
    if isinstance(given, tuple):
        _check_unused(config, "(images, labels)", "image", "label")
        pixels, labels, names, words = _from_arrays(given, config)
    else:
        items = _items(given, config)
        pixels, labels, look = items.read()
        names, words = items.names, _words(look, None, config)
    numbers, classes = read_labels(labels, len(pixels), names)
    if part == "train":
        named = f"classes are {classes[0]} to {classes[-1]}" if names is None else f"{len(classes)} classes"
        tell(Notice(f"'{config.name}': {words}; {named}."))
    return ImageSet(torch.from_numpy(pixels), numbers, classes)


def _check_unused(config: Data, what: str, *fields: str) -> None:
    """Unusable if fields are set that do nothing to what was returned."""
    unused = [f"data.{field}" for field in fields if getattr(config, field) is not None]
    if unused:
        raise Unusable(f"it is {what}, so {listing(unused)} would have no effect. Remove {listing(unused)}.")


def _part(given: Mapping[Any, Any], part: str) -> Any:
    """One part of a mapping of parts, under any word for it."""
    parts = {key: part_of(str(key)) for key in given}
    unknown = [str(key) for key, known in parts.items() if known is None]
    found = [key for key, known in parts.items() if known == part]
    if unknown or "train" not in parts.values() or len(found) > 1:
        raise Unusable(
            f"it is a mapping of {', '.join(map(str, given)) or 'nothing'}, but must be one of parts:"
            f" {', '.join(PART_WORDS)}, with train among them. Use {{'train': …, 'test': …}}, or return"
            " (images, labels, classes)."
        )
    return given[found[0]] if found else None


def _items(given: Any, config: Data) -> Items:
    if hasattr(given, "dataset") and hasattr(given, "batch_size"):
        raise Unusable("it is a loader of batches. Return its data set: loader.dataset.")
    if as_array(given) is not None:
        shape = shape_words(np.shape(given))
        raise Unusable(f"it is one array of the shape {shape}, without labels. Return (images, labels).")
    if not isinstance(given, str | bytes | type):
        ordered = isinstance(given, IterableDataset)
        if not ordered and callable(getattr(given, "__getitem__", None)) and callable(getattr(given, "__len__", None)):
            return Items(given, config)
        if callable(getattr(given, "__iter__", None)):
            raise Unusable(
                f"it is {returned(given)}, which can only be read in order. Return a list of its items: list(data)."
            )
    raise Unusable(f"it must be images with labels, but it is {returned(given)}. {ALLOWED}.")


def _from_arrays(given: tuple[Any, ...], config: Data) -> tuple[Bytes, Any, tuple[str, ...] | None, str]:
    """Pixels, labels as they are, the names of the classes, and how the pixels were read."""
    if len(given) not in (2, 3):
        raise Unusable(f"it is a tuple of {len(given)} values. Return (images, labels) or (images, labels, classes).")
    images, labels, names = (*given, None)[:3]
    if isinstance(images, tuple) and isinstance(labels, tuple):
        raise Unusable("it is a tuple of tuples. Return {'train': (images, labels), 'test': (images, labels)}.")
    array = None if isinstance(images, list) else as_array(images)
    if array is not None and array.dtype.kind == "O":
        array, images = None, list(images)
    if array is None:
        if not isinstance(images, list):
            raise Unusable(
                f"images must be an array, a tensor or a list of pictures, but are {returned(images)}. {ALLOWED}."
            )
        several = labels if isinstance(labels, list | tuple) else as_array(labels)
        if several is None or (isinstance(several, np.ndarray) and several.ndim == 0):
            raise Unusable(f"labels must be a list, an array or a tensor, but are {returned(labels)}.")
        if len(images) != len(several):
            raise Unusable(f"there must be one label per image, but there are {len(several):,} for {len(images):,}.")
        pixels, taken, look = Items(list(zip(images, several, strict=True)), config).read()
        return pixels, taken, class_names(names), _words(look, None, config)
    classes = class_names(names)
    pixels, words = _whole(array, labels, config)
    return pixels, labels, classes, words


def _whole(array: Array, labels: Any, config: Data) -> tuple[Bytes, str]:
    """All images of one array, and how they were read."""
    shape = array.shape
    if len(shape) < 3:
        other = np.shape(labels) if hasattr(labels, "shape") else ()
        side = isqrt(shape[-1])
        square = f"-1, {side}, {side}" if side * side == shape[-1] > 1 else "N, H, W"
        how = f"Use images.reshape({square}), with their height and width."
        if len(other) > 2:
            how = "It seems to be the labels: return images first, then labels."
        raise Unusable(f"images must be N×H×W×C, N×C×H×W or N×H×W, but the shape is {shape_words(shape)}. {how}")
    if array.size == 0:
        raise Unusable(
            f"there must be at least one image with at least one pixel, but the shape is {shape_words(shape)}."
        )
    layout = layout_of(shape[1:], config.channels)
    low, high = extremes(array)
    meaning = range_of(array.dtype, low, high)
    check_bright(array.dtype, meaning, high)
    ordered = channels_first(array, layout)
    count, there, height, width = ordered.shape
    look = Look(str(array.dtype), config.channels or there, (width, height), meaning)
    policy = policy_for(look, config)
    pixels = np.empty((count, look.channels, policy.size, policy.size), np.uint8)
    for place, image in enumerate(ordered):
        pixels[place] = resized(with_channels(to_bytes(image, meaning), look.channels), policy)
    return pixels, _words(look, layout, config)


def _words(look: Look, layout: str | None, config: Data) -> str:
    """How images were read, for a notice."""
    policy = policy_for(look, config)
    order = f" N×{LAYOUTS[layout]}" if layout else ""
    what = "pictures" if look.kind == "picture" else f"{look.kind}{order}, taken as {RANGES[look.meaning]}"
    sides = "several sizes" if look.sides is None else f"{look.sides[0]}×{look.sides[1]} pixels"
    side = f"{policy.size}×{policy.size}"
    size = sides if look.sides == (policy.size,) * 2 else f"{sides} resized to {side} (fit: {config.fit})"
    channels = {1: "gray", 3: "RGB"}.get(look.channels, f"{look.channels} channels")
    return f"{what}, {channels}, {size}"
