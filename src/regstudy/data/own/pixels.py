"""Pixels of the user's own as uint8 channels: which axis has the channels, which range the values have, which size.

Whatever cannot be decided is refused, because a wrong guess is not seen later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from regstudy.data.decoding import Policy, squared
from regstudy.data.own.refusals import Unusable

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]

CHANNELS = (1, 2, 3, 4)
UNIT_HIGH = 1.001  # rounding may exceed 1 a little
HALF = 128  # images in 0..255 have at least one brighter pixel
LUMA = (0.299, 0.587, 0.114)
LAYOUTS = {"first": "C×H×W", "last": "H×W×C", "none": "H×W"}
FACTORS = {"bytes": 1.0, "unit": 255.0, "16 bits": 1 / 257}
RANGES = {"bytes": "0 to 255", "unit": "0 to 1", "16 bits": "0 to 65535"}


def as_array(value: Any) -> Array | None:
    """A tensor, array or picture as NumPy's, not copied if that is possible; None for anything else."""
    if isinstance(value, Tensor):
        plain = value.detach().cpu()
        return np.asarray(plain.float() if plain.is_floating_point() and plain.element_size() == 2 else plain)
    if isinstance(value, np.ndarray | Image.Image):
        return np.asarray(value)
    if hasattr(value, "__array__") and hasattr(value, "shape") and not isinstance(value, type):
        return np.asarray(value)
    return None


def shape_words(shape: tuple[int, ...]) -> str:
    """A shape as it is written here."""
    return "×".join(map(str, shape)) or "that of a single number"


def layout_of(shape: tuple[int, ...], channels: int | None) -> str:
    """Where one image of this shape has its channels: first, last or none. Raises Unusable if that is unclear.

    ``channels`` is `data.channels`, which decides where both ends of the shape could be channels.
    """
    if len(shape) == 2:
        return "none"
    if len(shape) != 3:
        raise Unusable(f"an image must be C×H×W, H×W×C or H×W, but its shape is {shape_words(shape)}.")
    for allowed in ((channels,) if channels else (), CHANNELS):
        ends = shape[0] in allowed, shape[2] in allowed
        if ends == (True, False):
            return "first"
        if ends == (False, True):
            return "last"
    if shape[0] in CHANNELS:
        raise Unusable(
            f"in an image of the shape {shape_words(shape)}, the first or the last axis can be the channels. Set"
            " data.channels to 1 or 3 if that decides it, or return an ImageSet, which is always N×C×H×W."
        )
    raise Unusable(
        f"an image must have 1 to 4 channels in its first or last axis, but its shape is {shape_words(shape)}. If the"
        " first axis has the channels nevertheless, return an ImageSet, which is always N×C×H×W."
    )


def extremes(values: Array) -> tuple[float, float]:
    """The lowest and the highest value. Raises Unusable if they are no numbers."""
    if values.dtype.kind not in "biuf":
        raise Unusable(f"images must be numbers, but they are {values.dtype}. Use images.astype('float32').")
    return float(values.min()), float(values.max())


def range_of(dtype: np.dtype[Any], low: float, high: float) -> str:
    """What the values of one or more images of a type mean: bytes, unit or 16 bits. Raises Unusable."""
    if dtype == np.uint8:
        return "bytes"
    if not low >= 0 or not np.isfinite(high):
        shown = f"from {low:g} to {high:g}" if np.isfinite(low + high) else "that are NaN or infinite"
        raise Unusable(
            f"images must have values from 0 to 1 or from 0 to 255, but they are {dtype} {shown}. Leave out a"
            " normalization such as transforms.Normalize; preprocessing.normalize does it. Or use"
            " (images - images.min()) / (images.max() - images.min())."
        )
    if high <= UNIT_HIGH:
        return "unit"
    if high <= 255:
        return "bytes"
    if high <= 65535 and dtype == np.uint16:
        return "16 bits"
    raise Unusable(
        f"images must have values from 0 to 1 or from 0 to 255, but they are {dtype} up to {high:g}. Use"
        f" images / {high:g}, or divide by the largest possible value."
    )


def check_bright(dtype: np.dtype[Any], meaning: str, high: float) -> None:
    """Unusable if values that are no bytes would make nearly black images, such as 0 to 16."""
    if meaning == "bytes" and dtype != np.uint8 and high < HALF:
        raise Unusable(
            f"images must have values from 0 to 1 or from 0 to 255, but the largest of these {dtype} values is"
            f" {high:g}, so neither is likely. Use images / {high:g}, or divide by the largest possible value; if they"
            " are 0 to 255, use images / 255."
        )


def to_bytes(values: Array, meaning: str) -> Bytes:
    """Values of that meaning as uint8."""
    if values.dtype == np.uint8:
        return values
    scaled = values.astype(np.float32) * np.float32(FACTORS[meaning])
    return np.asarray(np.rint(scaled).clip(0, 255).astype(np.uint8))


def channels_first(image: Array, layout: str) -> Array:
    """C×H×W of one image, or N×C×H×W of several with the layout of one."""
    if layout == "none":
        return image[..., None, :, :]
    return image if layout == "first" else np.moveaxis(image, -1, -3)


def with_channels(images: Bytes, channels: int) -> Bytes:
    """…×C×H×W with 1 or 3 channels made from 3 or 1, as Pillow does it. Raises Unusable for other numbers."""
    there = images.shape[-3]
    if there == channels:
        return images
    if there == 1:
        return np.repeat(images, channels, axis=-3)
    if (there, channels) != (3, 1):
        raise Unusable(f"images have {there} channels, of which data.channels: {channels} cannot be made. Remove it.")
    red, green, blue = (images[..., place, :, :].astype(np.float32) for place in range(3))
    gray = red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]
    return np.asarray(np.rint(gray).astype(np.uint8)[..., None, :, :])


def resized(image: Bytes, policy: Policy) -> Bytes:
    """One C×H×W image as C×size×size, resized as files are."""
    if image.shape[1:] == (policy.size, policy.size):
        return image
    if len(image) == 3:
        return squared(Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))), policy)
    gray = Policy(policy.size, policy.fit, channels=1)
    return np.concatenate([squared(Image.fromarray(np.ascontiguousarray(channel)), gray) for channel in image])


@dataclass(frozen=True)
class Look:
    """What one image looks like, or what all of several have in common.

    ``sides`` is None if they differ; ``kind`` is picture for Pillow's, else the type of the values; ``meaning`` is that
    of `range_of`.
    """

    kind: str
    channels: int
    sides: tuple[int, int] | None
    meaning: str

    def joined(self, other: Look) -> Look:
        """What holds for both. Raises Unusable if they do not go together."""
        if self.kind != other.kind:
            raise Unusable(f"all images must be of one type, but some are {self.kind} and others {other.kind}.")
        if self.channels != other.channels and {self.channels, other.channels} != {1, 3}:
            raise Unusable(
                f"all images must have the same channels, but some have {self.channels} and others {other.channels}."
            )
        order = list(FACTORS) if self.kind == "picture" else ["unit", "bytes", "16 bits"]
        meaning = max(self.meaning, other.meaning, key=order.index)
        sides = self.sides if self.sides == other.sides else None
        return Look(self.kind, max(self.channels, other.channels), sides, meaning)


GRAY_MODES = ("1", "L", "LA", "La", "I", "F")


def look_of(image: Any, channels: int | None) -> Look:
    """What one picture, array or tensor looks like. Raises Unusable if it is none."""
    if isinstance(image, Image.Image):
        gray = image.mode in GRAY_MODES or image.mode.startswith("I;16")
        return Look("picture", channels or (1 if gray else 3), image.size, "bytes")
    array = as_array(image)
    if array is None:
        hint = " Use Image(decode=True) for its column." if isinstance(image, Mapping) else ""
        raise Unusable(
            f"an image must be a picture (PIL.Image), an array or a tensor, but it is of the type"
            f" {type(image).__name__}.{hint}"
        )
    layout = layout_of(array.shape, channels)
    if array.size == 0:
        raise Unusable(f"an image must have at least one pixel, but its shape is {shape_words(array.shape)}.")
    first = channels_first(array, layout)
    meaning = range_of(array.dtype, *extremes(array))
    return Look(str(array.dtype), channels or len(first), (first.shape[2], first.shape[1]), meaning)
