"""What a section of a page may show besides tables and figures: findings with their evidence, and pictures."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image

MAX_PICTURE_SIDE = 320  # pixels per side of a picture in a page
ENLARGE_BELOW, ENLARGED_SIDE = 96, 128  # pixels: smaller pictures are enlarged to about this side


@dataclass(frozen=True)
class FindingCard:
    """One finding: its severity, a sentence, and the evidence; ``lines`` are configuration to copy."""

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
    """Pictures under a title, in ``columns`` columns unless that is 0."""

    title: str
    pictures: list[Picture] = field(default_factory=list)
    columns: int = 0


def picture(pixels: npt.NDArray[np.uint8], caption: str) -> Picture:
    """A picture of H×W×3 pixels; a small one is enlarged by an integer factor, so that its pixels are visible."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((MAX_PICTURE_SIDE, MAX_PICTURE_SIDE))
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    factor = max(1, ENLARGED_SIDE // max(image.size)) if max(image.size) < ENLARGE_BELOW else 1
    address = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
    return Picture(address, image.width * factor, caption)
