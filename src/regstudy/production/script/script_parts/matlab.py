"""SVHN's files, which are in a format of MATLAB, without scipy."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.datasets import SVHN
from torchvision.datasets.utils import download_url

NUMBERS = {
    1: "i1",
    2: "u1",
    3: "<i2",
    4: "<u2",
    5: "<i4",
    6: "<u4",
    7: "<f4",
    9: "<f8",
    12: "<i8",
    13: "<u8",
}  # types of MATLAB 5 files
COMPRESSED, MATRIX = 15, 14


def read_svhn(part: str, root: Path) -> tuple[Tensor, Tensor]:
    """Images N×3×32×32 and labels of SVHN's train or test part; downloaded if missing."""
    url, name, checksum = SVHN.split_list[part]
    if not (root / name).exists():
        download_url(url, str(root), name, checksum)
    found = read_matlab((root / name).read_bytes())
    pixels = np.ascontiguousarray(found["X"].transpose(3, 2, 0, 1))
    labels = found["y"].reshape(-1).astype(np.int64) % 10  # 10 stands for the digit 0
    return torch.from_numpy(pixels), torch.from_numpy(labels)


def read_matlab(content: bytes) -> dict[str, np.ndarray]:
    """The matrices of numbers in a MATLAB 5 file, by name; see "MAT-File Format" by The MathWorks."""
    found, at = {}, 128
    while at < len(content):
        kind, size = np.frombuffer(content, "<u4", 2, at).tolist()
        element = content[at + 8 : at + 8 + size]
        at += 8 + size
        if kind == COMPRESSED:
            element = zlib.decompress(element)
            kind, size = np.frombuffer(element, "<u4", 2).tolist()
            element = element[8 : 8 + size]
        if kind == MATRIX:
            _, shape, name, numbers = (part for _, part in zip(range(4), _parts(element), strict=False))
            found[name.tobytes().decode()] = numbers.reshape(shape, order="F")
    return found


def _parts(element: bytes):  # type: ignore[no-untyped-def]
    """The arrays of one matrix: flags, shape, name, numbers."""
    at = 0
    while at < len(element):
        kind, size = np.frombuffer(element, "<u4", 2, at).tolist()
        begin = at + 8
        if kind >> 16:  # short enough to share eight bytes with its type
            kind, size, begin = kind & 0xFFFF, kind >> 16, at + 4
        yield np.frombuffer(element, NUMBERS[kind], size // np.dtype(NUMBERS[kind]).itemsize, begin)
        at = max(begin + size, at + 8)
        at += -at % 8
