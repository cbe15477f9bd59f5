"""Street-view house numbers (Netzer et al. 2011, non-commercial): 32×32 RGB crops in MATLAB files.

A file holds ``X`` 32×32×3×N uint8 and ``y`` N×1 where 10 stands for digit 0. Missing files are downloaded, with a
checksum and a progress bar; an existing file that cannot be read is an error, not a reason to use the fallback data.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.io import loadmat
from torchvision.datasets import SVHN
from torchvision.datasets.utils import download_url

from regstudy.config.schema import Data
from regstudy.data.image_set import ImageSet
from regstudy.errors import DataError, DataUnavailable
from regstudy.files import make_folder

LABEL_OF_ZERO = 10


def load(part: str, config: Data, data_dir: Path) -> ImageSet | None:
    """The training or test part, 3 channels; DataUnavailable if it is not here and cannot be downloaded."""
    if part == "validation":
        return None
    url, filename, checksum = SVHN.split_list[part]
    path = data_dir / "svhn" / filename
    if not path.exists():
        _download(url, path, checksum)
    return read_mat(path)


def read_mat(path: Path) -> ImageSet:
    """The images of one MATLAB file as N×3×32×32; DataError if it is not of SVHN's layout."""
    try:
        content: dict[str, Any] = loadmat(path, variable_names=["X", "y"])
        images, labels = content["X"], content["y"].reshape(-1).astype(np.int64)
    except Exception as error:  # scipy raises many kinds for damaged files
        raise _damaged(path, f"it cannot be read ({type(error).__name__})") from None
    if images.dtype != np.uint8 or images.shape != (32, 32, 3, len(labels)) or len(labels) == 0:
        raise _damaged(path, f"X must be 32×32×3×N uint8 with N labels in y, but it is {images.shape} {images.dtype}")
    if labels.min() < 1 or labels.max() > LABEL_OF_ZERO:
        raise _damaged(path, "y must contain labels 1 to 10")
    pixels: npt.NDArray[np.uint8] = np.ascontiguousarray(images.transpose(3, 2, 0, 1))
    return ImageSet(torch.from_numpy(pixels), torch.from_numpy(labels % LABEL_OF_ZERO), tuple("0123456789"))


def _damaged(path: Path, what: str) -> DataError:
    return DataError(
        f"{path} is not a complete SVHN file: {what}. It may be a partial download. Delete it and try again, or copy"
        " the"
        " original file there."
    )


def _download(url: str, path: Path, checksum: str) -> None:
    """Download into a temporary folder and move the file to its place once its checksum is right."""
    make_folder(path.parent)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".download-") as folder:
            download_url(url, folder, path.name, checksum)
            os.replace(Path(folder) / path.name, path)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise DataUnavailable(
            f"SVHN is not in {path.parent} and cannot be downloaded ({reason}). Put {path.name} there (from the Street"
            " View House Numbers page of Stanford University), or use another data set."
        ) from None
