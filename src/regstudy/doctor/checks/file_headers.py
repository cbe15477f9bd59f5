"""What the headers of image files say: size, format and JPEG quality. No pixel is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from regstudy.data.decoding import FORMATS, large_images

QUALITY_50_SUM = 3688  # of the luminance table at quality 50
ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)  # the EXIF tag, and its values that exchange width and height


@dataclass(frozen=True)
class Header:
    """``width`` and ``height`` as seen upright; ``quality`` is that of a JPEG encoder, 100 for other formats."""

    width: int
    height: int
    format: str
    quality: float = 100.0


def headers(files: Sequence[Path]) -> list[Header] | None:
    """The headers of files; None if one of them is missing or not an image, as where paths are only names."""
    found = []
    with large_images():
        for file in files:
            try:
                with Image.open(file, formats=FORMATS) as image:
                    found.append(_header(image))
            except Exception:  # damaged headers make Pillow raise nearly every kind
                return None
    return found


def _header(image: Image.Image) -> Header:
    width, height = image.size
    # the method of the base class: that of PNG files decodes one to look for tags behind its pixels
    if Image.Image.getexif(image).get(ORIENTATION) in SIDEWAYS:
        width, height = height, width
    tables = getattr(image, "quantization", None) or {}
    return Header(width, height, str(image.format), _quality(sum(tables.get(0, ()))))


def _quality(coarseness: int) -> float:
    """The quality 1..100 that gives a quantization table of this sum, by the rule of libjpeg."""
    scale = coarseness / QUALITY_50_SUM
    return 100 - 50 * scale if scale <= 1 else 50 / scale
