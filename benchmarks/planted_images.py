"""Images whose validation part is planted: real digits, of which only those for validation are turned or moved.

A space names them as ``data: {name: "planted_images:digits", options: {turned: 25, moved: 3}}``.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from regstudy import ImageSet
from regstudy.data.digits import load

TRAINING, HELD_OUT = 200, 500  # images


def digits(
    part: str, config: Any, data_dir: Path, *, turned: float = 0.0, moved: int = 0, noise: int = 0
) -> ImageSet | None:
    """Training images upright and centered; those for validation turned by up to so many degrees, and moved by up to so
    many pixels. ``noise``: further training images that are noise with random labels."""
    if part == "test":
        return load("test", config, data_dir)
    everything = _everything(config.size, data_dir)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(everything)))
    if part == "train":
        chosen = everything.subset(order[:TRAINING])
        rng = np.random.default_rng(2)
        extra = torch.from_numpy(rng.integers(0, 256, (noise, *chosen.shape), dtype=np.uint8))
        labels = torch.from_numpy(rng.integers(0, len(chosen.classes), noise))
        return ImageSet(torch.cat([chosen.images, extra]), torch.cat([chosen.labels, labels]), chosen.classes)
    held_out = everything.subset(order[TRAINING : TRAINING + HELD_OUT])
    rng = np.random.default_rng(1)
    changed = [_changed(image, rng, turned, moved) for image in held_out.images.numpy()]
    return ImageSet(torch.from_numpy(np.stack(changed)), held_out.labels, held_out.classes)


@lru_cache(maxsize=1)
def _everything(size: int | None, data_dir: Path) -> ImageSet:
    from regstudy.config.schema import Data

    images = load("train", Data(name="digits", size=size), data_dir)
    assert images is not None
    return images


def _changed(image: Any, rng: np.random.Generator, turned: float, moved: int) -> Any:
    """An image 1×H×W turned around its center and moved; what comes in from outside is black."""
    angle, (down, across) = rng.uniform(-turned, turned), rng.integers(-moved, moved + 1, 2)
    plane = ndimage.rotate(image[0], angle, reshape=False, order=1) if turned else image[0]
    return ndimage.shift(plane, (down, across), order=0)[None]
