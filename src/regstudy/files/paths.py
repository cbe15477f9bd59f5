"""Paths that a user names: what can be one, how it is shown, and what the system says about it in words.

`path_errors` is the one place that turns an OSError into a sentence. Only a full disk stays an OSError: a study ends
at once for it, while anything else ends a trial.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regstudy.errors import FileError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
MAX_NAME_BYTES, MAX_PATH_BYTES = 255, 4095  # what Linux and macOS allow
MAX_SHOWN = 160  # characters of a path in a message
REASONS = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.EISDIR: "it is a folder",
    errno.ELOOP: "its links lead in a circle",
    errno.ENXIO: "it is a pipe, a socket or a device, not a file",
    **dict.fromkeys(DISK_FULL, "the disk is full"),
}


def given_path(text: str | Path, name: str = "The path") -> Path:
    """A path as a user wrote it, with ``~`` expanded; FileError if no system could have such a path.

    A `Path` is taken literally. ``name`` is what the message calls it, such as ``--results``.
    """
    path = str(text)
    if not path.strip():
        raise FileError(f"{name} is empty. Give the path of a file or folder.")
    if "\0" in path:
        raise FileError(f"{name} {shown(path)} contains a NUL character, which no path may.")
    if long := _too_long(path):
        raise FileError(f"{name} {shown(path)} cannot be used: {long}.")
    if isinstance(text, Path) or not path.startswith("~"):
        return Path(path)
    try:
        return Path(path).expanduser()
    except RuntimeError:
        user = path.partition(os.sep)[0]
        raise FileError(
            f"{name} {shown(path)} cannot be used: there is no home folder of {user}. For a folder of that very name,"
            f" write .{os.sep}{user}."
        ) from None


def shown(path: str | Path) -> str:
    """A path for a message: long ones are shortened, and what cannot be printed is escaped."""
    text = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(path))
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN // 2]}…{text[-MAX_SHOWN // 4 :]}"


@contextmanager
def path_errors(path: Path, action: str) -> Iterator[None]:
    """What the system says about a path within this block becomes a FileError: `<path> cannot be <action>: …`.

    A full disk, and an OSError that does not come from the system, are raised as they are.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.errno in DISK_FULL:
            raise
        raise FileError(f"{shown(path)} cannot be {action}: {reason(error, path)}.") from None
    except ValueError as error:
        if "null" not in str(error):
            raise
        raise FileError(f"{shown(path)} cannot be {action}: its name contains a NUL character.") from None


def reason(error: OSError, path: str | Path | None = None) -> str:
    """Why the system refused a path, in words without a final period."""
    where = Path(os.fsdecode(path if path is not None else error.filename or ""))
    chain = [where, *where.absolute().parents]
    if error.errno in (errno.ENOENT, errno.EEXIST):
        link = next((step for step in chain if is_dangling(step)), None)
        if link is not None:
            return f"{shown(link)} is a link to {shown(link.readlink())}, which does not exist"
        if error.errno == errno.ENOENT:
            return "there is no such file or folder"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        file = next((step for step in chain if _exists(step) and not step.is_dir()), None)
        if file is not None:
            return f"{shown(file)} is a file, not a folder"
    if error.errno == errno.ENAMETOOLONG:
        return _too_long(str(where)) or "its name is too long"
    words = REASONS.get(error.errno or 0) or (error.strerror or str(error)).rstrip(".")
    return words[:1].lower() + words[1:]


def system_error(error: OSError) -> str:
    """A whole sentence about an error of the system that nothing else has explained."""
    where = f"{shown(os.fsdecode(error.filename))} cannot be used: " if isinstance(error.filename, str | bytes) else ""
    sentence = f"{where}{reason(error)}"
    return f"{sentence[:1].upper() if not where else sentence[:1]}{sentence[1:]}."


def is_dangling(path: Path) -> bool:
    """Whether this is a link to nothing."""
    try:
        return path.is_symlink() and not path.exists()
    except OSError:
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _too_long(path: str) -> str:
    """Which part of a path is too long, empty if none is."""
    long = next((part for part in Path(path).parts if len(os.fsencode(part)) > MAX_NAME_BYTES), None)
    if long is not None:
        size = len(os.fsencode(long))
        return f"the name {shown(long)[:20]}… has {size} bytes, and at most {MAX_NAME_BYTES} are allowed"
    size = len(os.fsencode(path))
    return f"it has {size} bytes, and at most {MAX_PATH_BYTES} are allowed" if size > MAX_PATH_BYTES else ""
