"""A source of images as one small pickle and plain arrays, which other processes can map instead of copying."""

from __future__ import annotations

import io
import pickle
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from regstudy.data.split_source import SplitSource


@dataclass
class PackedSource:
    """``content`` is the pickled source without its tensors, which are ``arrays``."""

    content: bytes = b""
    arrays: list[NDArray[Any]] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        """The bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays)


def pack(source: SplitSource) -> PackedSource:
    """A source whose tensors lie on the CPU; the arrays share their memory."""
    packed, written = PackedSource(), io.BytesIO()
    _Pickler(written, packed).dump(source)
    packed.content = written.getvalue()
    return packed


def unpack(packed: PackedSource) -> SplitSource:
    """The source again. Its tensors share the memory of the arrays, which may be read-only: never write to them."""
    source: SplitSource = _Unpickler(io.BytesIO(packed.content), packed).load()
    return source


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, packed: PackedSource) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._arrays, self._places = packed.arrays, dict[int, int]()

    def persistent_id(self, value: Any) -> int | None:
        """The place of a tensor among the arrays, each of which is there once."""
        if not isinstance(value, torch.Tensor):
            return None
        if id(value) not in self._places:
            self._places[id(value)] = len(self._arrays)
            self._arrays.append(np.ascontiguousarray(value.numpy()))
        return self._places[id(value)]


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, packed: PackedSource) -> None:
        super().__init__(file)
        self._tensors: dict[int, torch.Tensor] = {}
        self._packed = packed

    def persistent_load(self, place: int) -> torch.Tensor:
        """The tensor of a place."""
        if place not in self._tensors:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
                self._tensors[place] = torch.from_numpy(self._packed.arrays[place])
        return self._tensors[place]
