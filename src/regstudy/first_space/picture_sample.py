"""Looks at a bounded number of picture files: the sizes in their headers, and some of them decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from regstudy.data.decoding import FORMATS, Pixels, Policy, Unreadable, decode, large_images
from regstudy.data.near_duplicates import clusters
from regstudy.data.parallel import in_parallel
from regstudy.errors import FileError
from regstudy.files import read_bytes
from regstudy.first_space.seen import PictureSample

MOST_HEADERS = 2_000
MOST_DECODED = 500
NEIGHBORS = 20  # files that are taken together, because copies often have similar names
SIDE = 32  # pixels to which pictures are decoded here
GRAY_MODES = ("1", "L", "LA", "La", "I", "F")
SAME = 2.0  # gray levels between the channels of a picture, on average, that compression explains

Header = tuple[tuple[int, int], bool]  # width and height, whether it is stored in gray


def look_at_pictures(root: Path, names: Sequence[str]) -> PictureSample:
    """What pictures below ``root`` look like; the names are in order."""
    headed = [names[place] for place in spread(len(names), MOST_HEADERS)]
    taken = [headed[place] for place in spread(len(headed), MOST_DECODED)]
    with large_images():
        headers = [_header(root / name) for name in headed]
        found = list(in_parallel(lambda name: _decoded(root / name), taken, "Looking at images"))
    pictures = [picture for picture in found if not isinstance(picture, str)]
    colors = [_is_gray(picture) for picture in pictures]
    stored = [header[1] for header in headers if header]
    return PictureSample(
        tuple(header[0] for header in headers if header),
        len(pictures),
        sum(colors),
        stored_as_color=not all(stored),
        unreadable={name: one for name, one in zip(taken, found, strict=True) if isinstance(one, str)},
        copies=_copies(pictures),
    )


def spread(total: int, most: int, block: int = NEIGHBORS) -> list[int]:
    """At most ``most`` places of so many, in blocks of neighbors that are spread evenly."""
    if total <= most:
        return list(range(total))
    blocks = most // block
    starts = [number * (total - block) // max(blocks - 1, 1) for number in range(blocks)]
    return sorted({start + step for start in starts for step in range(block)})


def _header(path: Path) -> Header | None:
    """The size and kind that a file declares; None if it declares none."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            gray = image.mode in GRAY_MODES or image.mode.startswith("I;16")
            return (image.size, gray) if min(image.size) > 0 else None
    except Exception:  # damaged files make Pillow raise nearly every kind
        return None


def _decoded(path: Path) -> Pixels | str:
    """A small picture, or why there is none."""
    try:
        return decode(read_bytes(path), Policy(SIDE, "stretch"))
    except (Unreadable, FileError, OSError) as error:
        return str(error)


def _is_gray(picture: Pixels) -> bool:
    channels = picture.astype(np.int16)
    return bool((channels.max(axis=0) - channels.min(axis=0)).mean() < SAME)


def _copies(pictures: Sequence[Pixels]) -> int:
    """How many pictures are near duplicates of another one, the first of each kind not counted."""
    if len(pictures) < 2:
        return 0
    sizes = Counter(clusters(torch.from_numpy(np.stack(pictures))).tolist())
    return sum(size - 1 for size in sizes.values())
