"""SHA-256 of many files; only new and changed ones are read.

An index stores each file's size, times and digest, so that unchanged files are not read again. It is only a cache:
without it, the same digests are computed from the files.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from regstudy.data.parallel import in_parallel
from regstudy.errors import RegstudyError
from regstudy.files import write_atomically

MIN_AGE = 2.0  # seconds; a file that changed more recently may change again without a new modification time

IndexEntry = tuple[int, int, int, str]  # a stamp and a digest
Stamp = tuple[int, int, int]  # size in bytes; when the content and when the entry last changed, in nanoseconds


@dataclass(frozen=True)
class File:
    """One file of a data set: its name relative to the set's folder, with forward slashes, and what is known of it.

    ``digest`` is the SHA-256 of its bytes; of a file that cannot be opened it is empty and ``reason`` says why.
    """

    name: str
    path: Path
    stamp: Stamp = (0, 0, 0)
    digest: str = ""
    reason: str = ""


def stamp_of(status: os.stat_result) -> Stamp:
    """What changes when a file is written, replaced or renamed, even if its modification time is set back."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def digested(root: Path, names: Sequence[str], index: Path) -> list[File]:
    """The files with their digests, in the order of the names, which are relative to ``root``.

    The index is updated if it can be written.
    """
    known = _read_index(index)
    files = [_looked_up(File(name, root / name), known) for name in names]
    unread = [number for number, file in enumerate(files) if not file.digest and not file.reason]
    now = time.time()
    fresh = in_parallel(_read, [files[number] for number in unread], "reading images")
    for number, file in zip(unread, fresh, strict=True):
        files[number] = file
    entries = {file.name: (*file.stamp, file.digest) for file in files if file.digest and _settled(file.stamp, now)}
    if entries != known:
        with suppress(OSError, RegstudyError):  # without an index, the files are read again next time
            write_atomically(index, json.dumps(entries, separators=(",", ":")))
    return files


def _looked_up(file: File, known: dict[str, IndexEntry]) -> File:
    """The file with its stamp, and with the digest that is known for that stamp."""
    try:
        status = file.path.stat()
    except OSError as error:
        broken = isinstance(error, FileNotFoundError) and file.path.is_symlink()
        return replace(file, reason="a broken link" if broken else _why(error))
    if not stat.S_ISREG(status.st_mode):
        return replace(file, reason="not a file")
    stamp = stamp_of(status)
    entry = known.get(file.name)
    return replace(file, stamp=stamp, digest=entry[3] if entry and entry[:3] == stamp else "")


def _read(file: File) -> File:
    try:
        with file.path.open("rb") as content:
            return replace(file, digest=hashlib.file_digest(content, "sha256").hexdigest())
    except OSError as error:
        return replace(file, reason=_why(error))


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _settled(stamp: Stamp, now: float) -> bool:
    return not 0 <= now - max(stamp[1:]) / 1e9 < MIN_AGE


def _read_index(path: Path) -> dict[str, IndexEntry]:
    """Stamp and digest by name; empty if there is no valid index."""
    try:
        entries = json.loads(path.read_bytes())
        known = {name: _entry(*entry) for name, entry in entries.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
    return known


def _entry(size: int, modified: int, changed: int, digest: str) -> IndexEntry:
    return int(size), int(modified), int(changed), str(digest)
