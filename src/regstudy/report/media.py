"""What a section of a page may show besides tables and figures: findings with their support, and pictures."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image

LARGEST = 320  # pixels per side of a picture in a page
SMALL, SHOWN = 96, 128  # a smaller picture is shown enlarged to about so many pixels


@dataclass(frozen=True)
class Remark:
    """One finding: a word for how grave it is, a sentence, and what supports it; ``lines`` are of a configuration."""

    mark: str
    sentence: str
    evidence: tuple[str, ...] = ()
    advice: str = ""
    lines: str = ""
    sure: str = ""
    grave: bool = False


@dataclass(frozen=True)
class Picture:
    """An image as a `data:` address with the width in pixels at which it is shown."""

    address: str
    width: int
    caption: str


@dataclass(frozen=True)
class Album:
    """Pictures under a title; with ``columns`` so many stand side by side."""

    title: str
    pictures: list[Picture] = field(default_factory=list)
    columns: int = 0


def picture(pixels: npt.NDArray[np.uint8], caption: str) -> Picture:
    """A picture of H×W×3 pixels; a small one is enlarged by a whole number, so that its pixels can be seen."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((LARGEST, LARGEST))
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    factor = max(1, SHOWN // max(image.size)) if max(image.size) < SMALL else 1
    address = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
    return Picture(address, image.width * factor, caption)
