"""One picture to one square of RGB or gray pixels.

Only the formats of `FORMATS` are tried, whatever a file is called. Pillow would pass other formats to external
programs, such as PostScript to an interpreter, or they can hold a picture larger than the size that they declare, as
icons can. Color profiles are ignored. Resizing is bilinear with
antialiasing. An image more than twice as large as needed is first reduced (Pillow's ``draft`` and ``reducing_gap``):
JPEG is decoded at a half, quarter or eighth of its size, any other is averaged over whole blocks. That looks the same
and takes a fraction of the time.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

Pixels = npt.NDArray[np.uint8]

DECODING_VERSION = 1  # increase if the same file and policy give different pixels
FORMATS_OF_RULE_1 = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # of version 0.1.0, see `file_rule`
FORMATS = (*FORMATS_OF_RULE_1, "AVIF", "JPEG2000", "QOI", "PSD", "DDS", "SGI", "SUN", "PCX", "TGA")
MAX_PIXELS = 200_000_000  # width × height; an image of this size takes 600 MB while it is decoded
REDUCING_GAP = 2.0  # fast reduction leaves an image this much larger than the target, for the antialiased resize
BLACK = (0, 0, 0)
_PILLOW_SETTINGS_LOCK = threading.Lock()


@dataclass(frozen=True)
class Policy:
    """How a picture becomes a square of ``size`` pixels per side.

    ``fit`` is crop (the shorter side is resized, the center cut out), pad (the longer side is resized, the rest black)
    or stretch (both sides are resized). ``formats`` are those that are tried. ``channels`` is 3 for RGB and 1 for gray.
    """

    size: int
    fit: str = "crop"
    formats: tuple[str, ...] = FORMATS
    channels: int = 3

    @property
    def mode(self) -> str:
        """Pillow's name of the colors."""
        return "L" if self.channels == 1 else "RGB"

    def __str__(self) -> str:
        """Identifies the policy, for the key of the cache; formats only matter where fewer of them leave files out."""
        fewer = "" if self.formats == FORMATS else f", {' '.join(self.formats)}"
        gray = ", gray" if self.channels == 1 else ""
        return f"decoding {DECODING_VERSION}, {self.size} pixels, {self.fit}{fewer}{gray}"


class Unreadable(Exception):
    """The reason why a file is not a usable picture."""


@contextmanager
def large_images() -> Iterator[None]:
    """Let Pillow open images up to `MAX_PIXELS` and ignore odd metadata without a warning.

    These are settings of the whole process, so only one thread may hold them; threads that it starts share them.
    """
    with _PILLOW_SETTINGS_LOCK, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def decode(content: bytes, policy: Policy) -> Pixels:
    """The first frame as uint8 C×size×size, upright; raises Unreadable. To be called within `large_images`.

    Transparent pixels and the margin of a padded image become black.
    """
    try:
        with Image.open(io.BytesIO(content), formats=policy.formats) as image:
            return squared(_opened(image, policy), policy)
    except Unreadable:
        raise
    except UnidentifiedImageError:
        raise Unreadable("not an image" if content else "empty") from None
    except MemoryError:
        raise Unreadable("too large for the available memory") from None
    except Exception as error:  # damaged files make Pillow raise nearly every kind
        raise Unreadable(_reason(error)) from None


def squared(image: Image.Image, policy: Policy) -> Pixels:
    """A picture of any mode as uint8 C×size×size; raises Unreadable for values that are no gray values."""
    pixels = np.array(_square(_colors(image, policy.mode), policy))  # a copy, because Pillow's own must not be changed
    return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


def from_image(image: Image.Image, policy: Policy) -> Pixels:
    """As `decode`, for a picture that is open already and stays unchanged.

    A JPEG that is large enough for the fast reduction may differ from its file by a few gray levels.
    """
    try:
        upright = image.copy()
        upright.format = image.format  # which a copy forgets, and which tells the range of 16-bit gray values
        return squared(_turned(upright), policy)
    except Unreadable:
        raise
    except Exception as error:  # damaged files, which Pillow reads only now
        raise Unreadable(_reason(error)) from None


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return "truncated" if "truncated" in text.lower() else text or type(error).__name__


def _opened(image: Image.Image, policy: Policy) -> Image.Image:
    """The decoded image, upright."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise Unreadable(f"{width}×{height} pixels, more than the limit of {MAX_PIXELS:,}")
    image.draft(None, tuple(int(REDUCING_GAP * side) for side in _target(image.size, policy)))  # type: ignore[arg-type]
    image.load()
    return _turned(image)


def _turned(image: Image.Image) -> Image.Image:
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # broken metadata: the picture itself is fine
        return image
    return image


def _colors(image: Image.Image, mode: str) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = Image.fromarray(_eight_bits(image))
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        seen = image.convert("RGBA")
        image = Image.new("RGB", image.size, BLACK)
        image.paste(seen, mask=seen.getchannel("A"))
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(image: Image.Image) -> Pixels:
    """Gray values of 16 or 32 bits or floating point as uint8, by the range that they lie in."""
    values: npt.NDArray[Any] = np.asarray(image)
    if image.mode.startswith("I;16") or (image.mode, image.format) == ("I", "PPM"):  # white is known to be 65535
        return _rounded(values / np.float32(257))
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 65535):  # NaN too
        raise Unreadable(f"gray values from {low:g} to {high:g}; they must lie within 0..1, 0..255 or 0..65535")
    if image.mode == "F" and high <= 1:
        return _rounded(values * 255)
    return _rounded(values) if high <= 255 else _rounded(values / np.float32(257))


def _rounded(values: npt.NDArray[Any]) -> Pixels:
    rounded: Pixels = np.rint(values).astype(np.uint8)
    return rounded


def _square(image: Image.Image, policy: Policy) -> Image.Image:
    size = policy.size
    if policy.fit == "crop":
        side = min(image.size)
        left, top = ((length - side) / 2 for length in image.size)
        box = (left, top, left + side, top + side)
        return image.resize((size, size), Image.Resampling.BILINEAR, box, reducing_gap=REDUCING_GAP)
    target = _target(image.size, policy)
    resized = image.resize(target, Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
    if target == (size, size):
        return resized
    square = Image.new(resized.mode, (size, size))  # black
    square.paste(resized, ((size - target[0]) // 2, (size - target[1]) // 2))
    return square


def _target(sides: tuple[int, int], policy: Policy) -> tuple[int, int]:
    """What width and height become, before a crop or a margin."""
    if policy.fit == "stretch":
        return policy.size, policy.size
    choose: Callable[..., int] = min if policy.fit == "crop" else max
    width, height = (max(1, round(side * policy.size / choose(sides))) for side in sides)
    return width, height
