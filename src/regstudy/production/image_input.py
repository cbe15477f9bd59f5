"""What a classifier takes: paths, folders, Pillow images, arrays and tensors, as uint8 batches N×C×S×S."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from regstudy.data.decoding import Policy, Unreadable, decode, from_image, large_images
from regstudy.data.file_rule import LATEST_RULE, image_test
from regstudy.data.folder_walk import Walk, printable
from regstudy.data.loading_events import Notice, Progress, tell
from regstudy.data.parallel import THREAD_COUNT
from regstudy.errors import ArgumentError, DataError, FileError
from regstudy.files import read_bytes
from regstudy.files.paths import given_path, shown
from regstudy.production.preprocessing_file import StoredPreprocessing
from regstudy.text import counted

Picture = str | Path | Image.Image | npt.NDArray[np.uint8] | Tensor
Batch = tuple[list[str], Tensor]  # names of files, empty without any, and uint8 N×C×S×S
COLORS = (1, 3, 4)  # gray, RGB, RGBA: what an array can be besides what the network takes
FILES_IN_ERROR = 10
ALLOWED = (
    "a path, a folder, a Pillow image, a uint8 array or tensor (H×W, H×W×C, C×H×W, N×H×W×C or N×C×H×W), or a list of"
    " such"
)


def as_batches(images: Any, facts: StoredPreprocessing, batch_size: int) -> Iterator[Batch]:
    """All images in batches. Raises ArgumentError for what is no image, DataError after the last file if some cannot be
    read.
    """
    if isinstance(images, np.ndarray | Tensor) and images.ndim == 4:
        for start in range(0, len(images), batch_size):
            yield [], _decoded_stack(_channels_first(images[start : start + batch_size], facts), facts)
        return
    pictures = [images] if isinstance(images, str | Path | Image.Image | np.ndarray | Tensor) else _listed(images)
    paths = [given_path(one, "The path of an image") for one in pictures if isinstance(one, str | Path)]
    if paths and len(paths) < len(pictures):
        raise ArgumentError("images: give either paths or pictures in one list, not both.")
    if paths:
        unreadable: dict[str, str] = {}
        yield from decoded_files(image_files(paths), facts, batch_size, unreadable)
        if unreadable:
            raise DataError(unreadable_words(unreadable))
        return
    for start in range(0, len(pictures), batch_size):
        yield [], torch.stack([decoded(one, facts) for one in pictures[start : start + batch_size]])


def _listed(images: Any) -> list[Any]:
    if isinstance(images, Iterable) and not isinstance(images, bytes | dict):
        return list(images)
    raise ArgumentError(f"images must be {ALLOWED}, but it is of the type {type(images).__name__}.")


def image_files(paths: Sequence[Path]) -> list[Path]:
    """The files that are named, and all images in and below the folders that are; notices say what is passed over.

    DataError if a folder holds no image.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        walk = Walk(path, image_test(LATEST_RULE), LATEST_RULE)
        names = [name.removeprefix("./") for name in walk.images(".")]
        if not names:
            raise DataError(f"There is no image in {shown(path)}. {walk.passed_over.sentence(path)}".rstrip())
        if walk.passed_over.kinds:
            tell(Notice(walk.passed_over.sentence(path)))
        found += [path / name for name in names]
    return found


def decoded_files(
    files: Sequence[Path], facts: StoredPreprocessing, batch_size: int, unreadable: dict[str, str]
) -> Iterator[Batch]:
    """The files in batches, without those that cannot be read; these are added to ``unreadable`` with the reason."""
    _policy(facts)
    for start in range(0, len(files), batch_size):
        some = files[start : start + batch_size]
        with large_images(), ThreadPoolExecutor(THREAD_COUNT) as pool:
            results = list(pool.map(lambda path: _decoded_file(path, facts), some))
        unreadable |= {os.fspath(p): why for p, why in zip(some, results, strict=True) if isinstance(why, str)}
        sound = [(os.fspath(p), got) for p, got in zip(some, results, strict=True) if not isinstance(got, str)]
        if sound:
            yield [name for name, _ in sound], torch.stack([pixels for _, pixels in sound])
        tell(Progress("classifying images", start + len(some), len(files)))


def unreadable_words(unreadable: dict[str, str]) -> str:
    """How many files cannot be read, and the first of them with the reason."""
    named = [f"{printable(shown(name))} ({why})" for name, why in list(unreadable.items())[:FILES_IN_ERROR]]
    more = [f"and {len(unreadable) - FILES_IN_ERROR:,} more"] if len(unreadable) > FILES_IN_ERROR else []
    return f"{counted(len(unreadable), 'file')} cannot be read as an image: {'; '.join(named + more)}."


def decoded(image: Any, facts: StoredPreprocessing) -> Tensor:
    """One picture as uint8 C×S×S. Raises ArgumentError or DataError."""
    if isinstance(image, str | Path):
        path = given_path(image, "The path of an image")
        with large_images():
            found = _decoded_file(path, facts)
        if isinstance(found, str):
            raise DataError(f"{shown(path)} cannot be read as an image: {found}.")
        return found
    if isinstance(image, Image.Image):
        return _from_pillow(image, facts)
    if isinstance(image, np.ndarray | Tensor):
        one = image[None, None] if image.ndim == 2 else image[None]
        if one.ndim == 4:
            return _decoded_stack(_channels_first(one, facts), facts)[0]
        raise ArgumentError(_wrong_shape(image, facts))
    raise ArgumentError(f"images must be {ALLOWED}, but one is of the type {type(image).__name__}.")


def _decoded_file(path: Path, facts: StoredPreprocessing) -> Tensor | str:
    """One file, or why it is no picture."""
    try:
        return torch.from_numpy(decode(read_bytes(path), _policy(facts)))
    except FileError as error:
        return str(error).partition(" cannot be read: ")[2].rstrip(".") or str(error).rstrip(".")
    except MemoryError:
        return "too large for the available memory"
    except (Unreadable, OSError) as error:
        return str(error)


def _from_pillow(image: Image.Image, facts: StoredPreprocessing) -> Tensor:
    try:
        with large_images():
            return torch.from_numpy(from_image(image, _policy(facts)))
    except Unreadable as error:
        raise DataError(f"A picture cannot be used: {error}.") from None


def _policy(facts: StoredPreprocessing) -> Policy:
    if facts.channels not in (1, 3):
        raise DataError(
            f"The network takes images of {facts.channels} channels, which no image file has. Read your files yourself"
            f" and give uint8 arrays N×{facts.channels}×{facts.size}×{facts.size}."
        )
    return Policy(facts.size, facts.fit, channels=facts.channels)


def _channels_first(images: Any, facts: StoredPreprocessing) -> Tensor:
    """N×C×H×W of an array or tensor of four dimensions, whichever of them has the channels."""
    given = torch.from_numpy(np.require(images, requirements=["C", "W"])) if _is_plain(images) else images
    if not isinstance(given, Tensor) or given.dtype != torch.uint8:
        kind = str(given.dtype).removeprefix("torch.")
        raise ArgumentError(
            f"images must be uint8 with values 0..255, but they are {kind}. Files of any kind can be given as paths."
        )
    first, last = given.shape[1], given.shape[3]
    if 0 in given.shape:
        raise ArgumentError(_wrong_shape(images[0] if len(images) == 1 else images, facts))
    for channels in (facts.channels, *(COLORS if facts.channels in (1, 3) else ())):
        if first == channels:
            return given
        if last == channels:
            return given.permute(0, 3, 1, 2)
    raise ArgumentError(_wrong_shape(images[0] if len(images) == 1 else images, facts))


def _is_plain(images: Any) -> bool:
    return isinstance(images, np.ndarray) and images.dtype == np.uint8


def _decoded_stack(images: Tensor, facts: StoredPreprocessing) -> Tensor:
    """N×C×H×W of any colors and size as the network takes them."""
    if tuple(images.shape[1:]) == (facts.channels, facts.size, facts.size):
        return images
    arrays = images.permute(0, 2, 3, 1).cpu().numpy()
    pictures = [Image.fromarray(one[..., 0] if one.shape[2] == 1 else np.ascontiguousarray(one)) for one in arrays]
    return torch.stack([_from_pillow(one, facts) for one in pictures])


def _wrong_shape(images: Any, facts: StoredPreprocessing) -> str:
    shape = "×".join(map(str, images.shape)) or "that of a single number"
    return (
        f"images must be {ALLOWED}, with {counted(facts.channels, 'channel')} or as gray, RGB or RGBA, but the shape is"
        f" {shape}. Several gray images need a dimension for the channel: images[:, None]."
    )
