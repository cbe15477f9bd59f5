"""Atomic file writing: nobody ever sees a half-written file."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from regstudy.errors import RegstudyError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write to a temporary file in the same folder, then rename it; missing folders are created.

    Raises RegstudyError if the path cannot be a file there, and OSError if the disk does not take it.
    """
    if path.is_dir():
        raise RegstudyError(f"{path} is a folder. Choose another file name.")
    make_folder(path.parent)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except PermissionError:
        raise RegstudyError(f"{path} cannot be written: permission denied in {path.parent}.") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def check_folder(folder: Path) -> None:
    """RegstudyError if a folder can neither be used nor created; creates nothing."""
    existing = next(path for path in [folder, *folder.absolute().parents] if path.exists())
    if not existing.is_dir():
        raise RegstudyError(f"The folder {folder} cannot be created: {existing} is a file.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise RegstudyError(f"The folder {folder} cannot be used: permission denied in {existing}.")


def make_folder(folder: Path) -> None:
    """Create a folder and its parents; RegstudyError if a file is in the way or it is not possible there."""
    check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        raise RegstudyError(f"The folder {folder} cannot be created: {error.strerror or error}.") from None
