"""scikit-learn's bundled handwritten digits: 1,797 real gray images of 8×8 pixels, no download.

Values 0..16 become 0..255 and the images are enlarged with bicubic interpolation to `data.size` (default 32) pixels,
so that networks for larger images can be used. A fixed, stratified fifth is the test set.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn.functional import interpolate

from regstudy.config.schema import Data
from regstudy.data.image_set import ImageSet


def load(part: str, config: Data, data_dir: Path) -> ImageSet | None:
    """The training or test part, 1 channel; `data_dir` is not used."""
    if part == "validation":
        return None
    pixels, labels = load_digits(return_X_y=True)
    train, test = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=0)
    chosen = np.sort(train if part == "train" else test)
    small = torch.from_numpy(pixels[chosen].astype(np.float32)).view(-1, 1, 8, 8) * (255 / 16)
    size = config.size or 32
    large = interpolate(small, size=(size, size), mode="bicubic", align_corners=False)
    images = large.round_().clamp_(0, 255).to(torch.uint8)
    return ImageSet(images, torch.from_numpy(labels[chosen].astype(np.int64)), tuple("0123456789"))
