"""The batches of CIFAR-10 as published by its authors: downloaded, unpacked, and read only if they are the originals.

They are pickles, which can run code when they are read. So a file is unpickled only if its checksum is the known one,
and even then only arrays and plain values are allowed.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import download_url

from regstudy.errors import DataError, DataUnavailable
from regstudy.files import make_folder

BATCHES: dict[str, list[list[str]]] = {"train": CIFAR10.train_list, "test": CIFAR10.test_list}  # names, MD5 sums
FOLDER: str = CIFAR10.base_folder
ARCHIVE: str = CIFAR10.filename
ARRAYS = {"_reconstruct": np.empty(0).__reduce__()[0], "ndarray": np.ndarray, "dtype": np.dtype}


def read_batches(folder: Path, part: str) -> tuple[npt.NDArray[np.uint8], list[int]]:
    """Pixels N×3×32×32 and labels N of a part; DataError if a batch is missing or not the authors' own."""
    batches = [_read_batch(folder / name, checksum) for name, checksum in BATCHES[part]]
    pixels = np.concatenate([np.asarray(batch["data"], dtype=np.uint8).reshape(-1, 3, 32, 32) for batch in batches])
    return pixels, [label for batch in batches for label in batch["labels"]]


def fetch_batches(home: Path) -> Path:
    """The folder of batches in ``home``, unpacked from the archive there, which is downloaded if it is not there yet.

    Raises DataUnavailable if it cannot be downloaded, and DataError if the files are incomplete.
    """
    if not (home / ARCHIVE).exists():
        _download(home)
    _unpack(home / ARCHIVE)
    return home / FOLDER


def _read_batch(path: Path, checksum: str) -> dict[str, Any]:
    """What a batch holds; DataError, and not a byte of it interpreted, unless it has the checksum of the original."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _damaged(path, f"it cannot be read ({error.strerror or error})") from None
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != checksum:
        raise _damaged(path, f"its MD5 sum is not {checksum}")
    found: dict[str, Any] = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    return found


class _ArraysOnly(pickle.Unpickler):
    """Refuses to find anything but what numpy arrays are made of."""

    def find_class(self, module: str, name: str) -> Any:
        """The constructor that a pickle names."""
        if module.split(".")[0] == "numpy" and name in ARRAYS:
            return ARRAYS[name]
        raise DataError(f"A batch of CIFAR-10 contains {module}.{name}, which could be unsafe, so it is not read.")


def _damaged(path: Path, what: str) -> DataError:
    remove = path if path.name == ARCHIVE else path.parent
    return DataError(
        f"{path} is not a complete CIFAR-10 file: {what}. It may be a partial download. Delete {remove} and try again,"
        " or"
        " copy the original there."
    )


def _download(home: Path) -> None:
    """Download into a temporary folder and move the file to its place once its checksum is right."""
    make_folder(home)
    try:
        with tempfile.TemporaryDirectory(dir=home, prefix=".download-") as folder:
            download_url(CIFAR10.url, folder, ARCHIVE, CIFAR10.tgz_md5)
            os.replace(Path(folder) / ARCHIVE, home / ARCHIVE)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise DataUnavailable(
            f"CIFAR-10 is not in {home} and cannot be downloaded ({reason}). Put {ARCHIVE} there (from Alex"
            " Krizhevsky's page at the University of Toronto) or a zip file with pictures in train/<class> and"
            " test/<class>, or use another data set."
        ) from None


def _unpack(archive: Path) -> None:
    """Unpack all batches of the archive, or none."""
    try:
        digest = hashlib.md5(archive.read_bytes(), usedforsecurity=False).hexdigest()
        if digest != CIFAR10.tgz_md5:
            raise _damaged(archive, f"its MD5 sum is not {CIFAR10.tgz_md5}")
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".unpacked-") as folder:
            with tarfile.open(archive) as content:
                content.extractall(folder, filter="data")
            os.replace(Path(folder) / FOLDER, archive.parent / FOLDER)
    except (OSError, tarfile.TarError, EOFError) as error:
        raise DataError(f"{archive} cannot be unpacked in {archive.parent}: {error}.") from None
