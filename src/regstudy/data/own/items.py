"""Data sets of items, image and label each, read one by one into one array: torch's, Hugging Face's, or a plain list.

What the images have in common (channels, sides, range of values) is known only after all of them. So it is assumed
from the first, and reading starts again with less assumed where an image does not fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from regstudy.config.schema import Data
from regstudy.config.user_code import user_code
from regstudy.data.decoding import Policy, Unreadable, large_images, squared
from regstudy.data.loading_events import Progress, tell
from regstudy.data.own.columns import columns_of_items, names_of, pair_of
from regstudy.data.own.pixels import (
    Array,
    Bytes,
    Look,
    as_array,
    channels_first,
    check_bright,
    layout_of,
    look_of,
    resized,
    to_bytes,
    with_channels,
)
from regstudy.data.own.refusals import Unusable
from regstudy.data.pictures import DEFAULT_SIZE
from regstudy.errors import DataError, describe

ITEMS_PER_EVENT = 200
READ_TWICE = 8  # first items, to see whether they are the same each time


class _Surprise(Exception):
    """An image that does not fit what was assumed; it carries what holds for all so far."""

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look


class Items:
    """The items of a data set: any object with a length and numbered items."""

    def __init__(self, data: Any, config: Data) -> None:
        self._data, self._config = data, config
        self._count = len(data)
        if not self._count:
            raise Unusable("it has no images. Return at least a few of each class.")
        first = self._item(0)
        self._columns = columns_of_items(data, first, config) if isinstance(first, Mapping) else None
        if self._columns is None and (config.image or config.label):
            raise Unusable("its items have no named columns, so data.image and data.label have no effect. Remove them.")
        self.names = names_of(data, self._columns[1] if self._columns else None)

    def read(self) -> tuple[Bytes, list[Any], Look]:
        """All images uint8 N×C×size×size, their labels, and what the images looked like. Raises Unusable."""
        self._check_fixed()
        look = self._look(self._image(0), 0)
        while True:
            try:
                return (*self._read(look), look)
            except _Surprise as surprise:
                look = surprise.look

    def _read(self, look: Look) -> tuple[Bytes, list[Any]]:
        policy = policy_for(look, self._config)
        images = np.empty((self._count, policy.channels, policy.size, policy.size), np.uint8)
        labels, high, dtype = [], 0.0, np.dtype(np.uint8)
        for place in range(self._count):
            image, label = self._pair(place)
            common = look.joined(self._look(image, place))
            if common != look:
                raise _Surprise(common)
            array = None if isinstance(image, Image.Image) else as_array(image)
            if array is not None:
                high, dtype = max(high, float(array.max())), array.dtype
            images[place] = _square(image, array, look, policy, self._config.channels)
            labels.append(label)
            if (place + 1) % ITEMS_PER_EVENT == 0 or place + 1 == self._count:
                tell(Progress("reading images", place + 1, self._count))
        if look.kind != "picture":
            check_bright(dtype, look.meaning, high)
        return images, labels

    def _check_fixed(self) -> None:
        """Unusable if items are changed at random each time they are read."""
        for place in range(min(READ_TWICE, self._count)):
            one, two = (as_array(self._image(place)) for _ in range(2))
            if one is None or two is None:
                continue
            if not np.array_equal(one, two, equal_nan=one.dtype.kind == "f"):
                raise Unusable(
                    f"item {place} is another image each time it is read. Leave out random transforms, such as"
                    " RandomCrop: regstudy augments by itself (section augmentation)."
                )

    def _look(self, image: Any, place: int) -> Look:
        try:
            return look_of(image, self._config.channels)
        except Unusable as error:
            raise Unusable(f"item {place}: {error}") from None

    def _image(self, place: int) -> Any:
        return self._pair(place)[0]

    def _pair(self, place: int) -> tuple[Any, Any]:
        try:
            image, label = pair_of(self._item(place), self._columns)
        except Unusable as error:
            raise Unusable(f"item {place}: {error}") from None
        if not isinstance(image, Image.Image):
            return image, label
        try:
            with large_images():
                return ImageOps.exif_transpose(image), label
        except Exception as error:  # damaged files make Pillow raise nearly every kind
            raise Unusable(f"item {place}: its picture cannot be read: {describe(error)}.") from None

    def _item(self, place: int) -> Any:
        with user_code(f"Item {place} of '{self._config.name}'", DataError), large_images():
            return self._data[place]


def policy_for(look: Look, config: Data) -> Policy:
    """How such images become squares: `data.size`, else their own size if it is one square, else that of files."""
    own = look.sides[0] if look.sides and look.sides[0] == look.sides[1] else DEFAULT_SIZE
    return Policy(config.size or own, config.fit, channels=look.channels)


def _square(image: Any, array: Array | None, look: Look, policy: Policy, channels: int | None) -> Bytes:
    if array is None:
        try:
            return squared(image, policy)
        except Unreadable as error:
            raise Unusable(f"an image has {error}.") from None
    pixels = to_bytes(channels_first(array, layout_of(array.shape, channels)), look.meaning)
    changed = with_channels(pixels, look.channels)
    return resized(changed, replace(policy, channels=len(changed)))
