"""The cache of decoded pictures: one memory-mapped file per set of pictures and policy.

``<key>.npy`` holds uint8 N×C×size×size. The key is a digest of the pictures' names and bytes and of the policy, so a
copied or touched folder finds its pixels again, and a changed one never gets stale pixels. ``<key>.skipped.txt`` lists
the files that could not be decoded and have no place in the array.

A file is written as ``<key>.partial``, flushed to disk and renamed when complete, by one process at a time; the next
process removes what a dead one left behind. Type, shape and length are checked at every start. There is no checksum: it
would require reading everything again, to detect a failure that atomic renaming already prevents.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL
from filelock import FileLock, Timeout

from regstudy.data.decoding import FORMATS, Pixels, Policy, Unreadable, decode, large_images
from regstudy.data.file_digests import File, stamp_of
from regstudy.data.loading_events import Notice, tell
from regstudy.data.parallel import FILES_PER_BATCH, in_parallel
from regstudy.errors import DataError
from regstudy.files import make_folder, write_atomically
from regstudy.files.paths import DISK_FULL

MAX_BATCH_BYTES = 16_000_000  # of decoded pixels that one thread holds before they are written
SILENT_WAIT = 1.0  # seconds to wait for another process before a notice

Skipped = dict[str, str]  # reason by file name

_READER = f"# not readable by Pillow {PIL.__version__}, {len(FORMATS)} formats"


def load_pixels(files: Sequence[File], policy: Policy, folder: Path) -> tuple[Pixels, Skipped]:
    """The decodable files' pixels in their order, and the other files; decoded only if they are not cached.

    The array is a private view of the file: writing to it changes memory, never the file. Raises DataError if the
    array cannot be saved.
    """
    key = key_of(files, policy)
    found = _kept(key, len(files), policy, folder)
    if found is not None:
        return found
    try:
        make_folder(folder)
        with _alone(folder):
            return _kept(key, len(files), policy, folder) or _build(key, files, policy, folder)
    except NotImplementedError:
        raise DataError(
            f"{folder} is on a file system without file locks. Choose another data folder (--data-dir)."
        ) from None
    except OSError as error:
        if error.errno in DISK_FULL:
            raise DataError(f"The disk with {folder} is full. {_room(files, policy)}") from None
        raise DataError(
            f"The decoded images cannot be saved in {folder}: {error}. Choose another data folder (--data-dir)."
        ) from None


def _kept(key: str, count: int, policy: Policy, folder: Path) -> tuple[Pixels, Skipped] | None:
    path, skipped = folder / f"{key}.npy", _read_skipped(_list_path(key, folder))
    if skipped is None:
        return None
    try:
        pixels = np.lib.format.open_memmap(path, mode="c")
        whole = path.stat().st_size == pixels.offset + pixels.nbytes
    except (OSError, ValueError, EOFError):
        return None
    expected = (count - len(skipped), *_shape(policy))
    if not whole or pixels.dtype != np.uint8 or pixels.shape != expected:
        return None
    return np.asarray(pixels), skipped


def key_of(files: Sequence[File], policy: Policy) -> str:
    """Twenty-four hexadecimal digits over the files' names and contents and the policy."""
    digest = hashlib.sha256(f"{policy}\n".encode())
    for file in files:
        digest.update(os.fsencode(file.name) + f"\0{file.digest}\n".encode())
    return digest.hexdigest()[:24]


def skipped_path(files: Sequence[File], policy: Policy, folder: Path) -> Path:
    """The list of files that could not be decoded, if there are any."""
    return _list_path(key_of(files, policy), folder)


def _list_path(key: str, folder: Path) -> Path:
    return folder / f"{key}.skipped.txt"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process, and one thread in it, decodes into a folder; leftovers of dead ones are removed."""
    lock = FileLock(folder / "decoding.lock")
    try:
        lock.acquire(timeout=SILENT_WAIT)
    except Timeout:
        tell(Notice(f"Waiting for another process that is decoding images into {folder}.", warning=True))
        lock.acquire()
    try:
        for leftover in folder.glob("*.partial"):
            leftover.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def _build(key: str, files: Sequence[File], policy: Policy, folder: Path) -> tuple[Pixels, Skipped]:
    needed = len(files) * prod(_shape(policy))
    if shutil.disk_usage(folder).free < needed:
        raise DataError(f"The disk with {folder} does not have enough free space. {_room(files, policy)}")
    partial = folder / f"{key}.partial"
    try:
        with partial.open("wb") as content:
            skipped = _decode_into(content, files, policy)
            content.flush()
            os.fsync(content.fileno())
        listed = _list_path(key, folder)
        if skipped:
            write_atomically(listed, _skipped_text(skipped))
        else:
            listed.unlink(missing_ok=True)
        if len(skipped) == len(files):
            return np.empty((0, *_shape(policy)), np.uint8), skipped
        os.replace(partial, folder / f"{key}.npy")
    finally:
        partial.unlink(missing_ok=True)
    built = _kept(key, len(files), policy, folder)
    if built is None:
        raise DataError(
            f"The decoded images were written to {folder} but cannot be read back. Choose another data folder"
            " (--data-dir)."
        )
    return built


def _decode_into(content: BinaryIO, files: Sequence[File], policy: Policy) -> Skipped:
    """Write the array's header and picture after picture; the files that have none, and why."""
    skipped: Skipped = {}
    start = _write_header(content, len(files), policy)
    batch = max(1, min(FILES_PER_BATCH, MAX_BATCH_BYTES // prod(_shape(policy))))
    decoded = in_parallel(lambda file: _decoded(file, policy), files, "decoding images", batch)
    with large_images(), closing(decoded) as results:
        for file, result in zip(files, results, strict=True):
            if isinstance(result, str):
                skipped[file.name] = result
            else:
                content.write(result.data)
    if skipped:
        content.seek(0)  # NumPy pads the header so that any number of pictures fits into it
        if _write_header(content, len(files) - len(skipped), policy) != start:
            raise AssertionError("the header of the array has another length for another number of pictures")
    return skipped


def _shape(policy: Policy) -> tuple[int, int, int]:
    """Channels, height and width of every picture."""
    return policy.channels, policy.size, policy.size


def _write_header(content: BinaryIO, count: int, policy: Policy) -> int:
    """Where the pixels begin."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *_shape(policy))}
    np.lib.format.write_array_header_1_0(content, header)
    return content.tell()


def _decoded(file: File, policy: Policy) -> Pixels | str:
    """One picture, or why there is none."""
    if file.reason:
        return file.reason
    try:
        with file.path.open("rb") as content:
            if stamp_of(os.fstat(content.fileno())) != file.stamp:
                raise FileNotFoundError
            return decode(content.read(), policy)
    except FileNotFoundError:
        raise DataError(f"{file.path} changed while the images were being read. Try again.") from None
    except MemoryError:
        return "too large for the available memory"
    except (Unreadable, OSError) as error:
        return str(error)


def _room(files: Sequence[File], policy: Policy) -> str:
    needed = len(files) * prod(_shape(policy))
    return (
        f"{len(files):,} images of {policy.size}×{policy.size} pixels need {needed / 1e9:.2g} GB. Free some space,"
        " lower data.size, or choose another data folder (--data-dir)."
    )


def _skipped_text(skipped: Skipped) -> bytes:
    """One line per file: its name in quotation marks and the reason. The first names the Pillow that failed."""
    lines = [_READER]
    lines += [f"{json.dumps(name, ensure_ascii=False)} {reason}" for name, reason in skipped.items()]
    return os.fsencode("\n".join(lines) + "\n")


def _read_skipped(path: Path) -> Skipped | None:
    """The files listed by `_skipped_text`; None if this version of Pillow or of the formats might read them."""
    try:
        head, *lines = os.fsdecode(path.read_bytes()).split("\n")
    except FileNotFoundError:
        return {}
    except OSError:
        return None
    if head != _READER:
        return None
    skipped: Skipped = {}
    for line in filter(None, lines):
        try:
            name, end = json.JSONDecoder().raw_decode(line)
        except ValueError:
            return None
        skipped[str(name)] = line[end + 1 :]
    return skipped
