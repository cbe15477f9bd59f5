"""Synthetic house numbers (see `regstudy.house_numbers`), any number of them, drawn once and cached on disk.

The training part is series 0 and the test part series 1, so the two never share a picture. `data.options.count` is
the number of training pictures. Default: as many as `data.train_limit` and `data.validation` need, or 73,257 as in
SVHN. The test part has a fifth as many, but at most 26,032 as in SVHN.
"""

from __future__ import annotations

import math
import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from regstudy.config.schema import Data
from regstudy.data.image_set import ImageSet
from regstudy.data.loading_events import Progress, tell
from regstudy.errors import DataError
from regstudy.files import write_atomically
from regstudy.house_numbers.picture import SIZE, Labels, Pixels, draw_chunk
from regstudy.interrupts import serve_parent, signals_held_back

PICTURES_VERSION = 1  # part of the cache name; increase if pictures change
PICTURES_PER_CHUNK = 500  # that a process draws at a time
MIN_FOR_PROCESSES = 4000  # pictures; for fewer, starting processes costs more than it saves
SERIES_SEEDS = {"train": 0, "test": 1}  # the seed of each part
TRAIN_IMAGES, TEST_IMAGES = 73257, 26032  # as in SVHN


def load(part: str, config: Data, data_dir: Path, count: int | None = None) -> ImageSet | None:
    """The training or test part, 3 channels of 32×32 pixels. Raises DataError if ``count`` is not positive."""
    if part == "validation":
        return None
    if count is not None and count < 1:
        raise DataError(f"data.options.count must be at least 1, but it is {count}.")
    wanted = count or _needed(config)
    if part == "test":
        wanted = min(TEST_IMAGES, math.ceil(wanted / 5))
    pixels, labels = load_cached(data_dir, SERIES_SEEDS[part], 0, wanted)
    return ImageSet(torch.from_numpy(pixels), torch.from_numpy(labels), tuple("0123456789"))


def _needed(config: Data) -> int:
    """Number of pictures for `train_limit` training images and their validation images."""
    if config.train_limit is None:
        return TRAIN_IMAGES
    if config.validation >= 1:
        return config.train_limit + int(config.validation)
    return math.ceil(config.train_limit / (1 - config.validation))


def draw_many(seed: int, start: int, count: int, workers: int | None = None) -> tuple[Pixels, Labels]:
    """Pictures start..start+count: uint8 N x 3 x 32 x 32 and int64 N, the same for any number of worker processes."""
    chunks = [
        (seed, at, min(PICTURES_PER_CHUNK, start + count - at))
        for at in range(start, start + count, PICTURES_PER_CHUNK)
    ]
    images, labels = np.empty((count, 3, SIZE, SIZE), np.uint8), np.empty(count, np.int64)
    workers = min(workers or os.cpu_count() or 1, len(chunks))
    with ExitStack() as stack:
        drawn: Iterable[tuple[Pixels, Labels]] = map(draw_chunk, chunks)
        if workers > 1 and count >= MIN_FOR_PROCESSES and not multiprocessing.current_process().daemon:
            context = multiprocessing.get_context("spawn")  # safe where torch already runs threads
            pool = ProcessPoolExecutor(workers, context, serve_parent)
            stack.callback(pool.shutdown, cancel_futures=True)
            with signals_held_back():
                drawn = pool.map(draw_chunk, chunks)
        for at, (part, part_labels) in zip(range(0, count, PICTURES_PER_CHUNK), drawn, strict=True):
            images[at : at + PICTURES_PER_CHUNK], labels[at : at + PICTURES_PER_CHUNK] = part, part_labels
            tell(Progress("drawing street_digits", min(at + PICTURES_PER_CHUNK, count), count))
    return images, labels


def load_cached(data_dir: Path, seed: int, start: int, count: int) -> tuple[Pixels, Labels]:
    """As `draw_many`, cached in data_dir/street_digits/; a damaged file is drawn again.

    The file is the SHA-256 of what follows, then the images, then the labels (little-endian). Raises DataError if it
    cannot be written.
    """
    path = data_dir / "street_digits" / f"v{PICTURES_VERSION}_seed{seed}_{start}_{count}.bin"
    found = read_cache(path, count)
    if found is not None:
        return found
    images, labels = draw_many(seed, start, count)
    body = images.tobytes() + labels.astype("<i8").tobytes()
    try:
        write_atomically(path, sha256(body).digest() + body)
    except OSError as error:
        message = (
            f"The drawn pictures cannot be saved in {path.parent}: {error}. Choose another data folder (--data-dir)."
        )
        raise DataError(message) from error
    return images, labels


def read_cache(path: Path, count: int) -> tuple[Pixels, Labels] | None:
    """What `load_cached` saved; None if it is missing, unreadable or incomplete."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    pixels = count * 3 * SIZE * SIZE
    if len(content) != 32 + pixels + 8 * count or sha256(memoryview(content)[32:]).digest() != content[:32]:
        return None
    images = np.frombuffer(content, np.uint8, pixels, 32).reshape(count, 3, SIZE, SIZE).copy()
    return images, np.frombuffer(content, "<i8", count, 32 + pixels).astype(np.int64)
