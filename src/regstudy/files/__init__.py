"""Files are read without waiting, written whole or not at all, and locked; every failure is a FileError in words."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from regstudy.errors import FileError
from regstudy.files.paths import is_dangling, path_errors, shown

WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0)  # opening a pipe would wait for its other end
BINARY = getattr(os, "O_BINARY", 0)
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def read_bytes(path: Path, limit: int = -1) -> bytes:
    """The content of a file, or its first bytes.

    FileError if it cannot be read, or if it is a pipe or device, which might never end.
    """
    with path_errors(path, "read"), os.fdopen(_opened(path), "rb") as file:
        return file.read(limit)


def check_readable(path: Path) -> None:
    """FileError if a file cannot be read, or if it is a pipe or device."""
    with path_errors(path, "read"):
        os.close(_opened(path))


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write to a temporary file in the same folder, then rename it; missing folders are created and links followed.

    A new file has the mode that the umask gives, an old one keeps its own. Raises FileError if the path cannot be a
    file there, and OSError if the disk is full.
    """
    with path_errors(path, "written"):
        path = path.resolve() if path.is_symlink() else path
        before = _mode_of(path)
        if not path.parent.is_dir():
            make_folder(path.parent)
        temporary = path.parent / f".{path.name[:40]}.{secrets.token_hex(4)}"
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o666)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            if before is not None:
                os.chmod(temporary, stat.S_IMODE(before))
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def check_file(path: Path, *, look_only: bool = False) -> None:
    """FileError if a file can neither be written to nor created; creates and changes nothing.

    With ``look_only`` it is not even opened.
    """
    with path_errors(path, "written"):
        if _mode_of(path) is None:
            check_folder(path.parent)
        elif look_only:
            if not os.access(path, os.R_OK | os.W_OK):
                raise PermissionError(errno.EACCES, "", str(path))
        else:
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND | WITHOUT_WAITING))


def check_folder(folder: Path) -> None:
    """FileError if a folder can neither be used nor created; nothing stays behind."""
    with path_errors(folder, "used as a folder"):
        chain = [folder, *folder.absolute().parents]
        existing = next(path for path in chain if path.exists() or path.is_symlink())
        if is_dangling(existing):
            raise FileNotFoundError(errno.ENOENT, "", str(existing))
        if not existing.is_dir():
            raise FileError(f"The folder {shown(folder)} cannot be created: {shown(existing)} is a file.")
        tempfile.TemporaryFile(dir=existing).close()  # the only answer that holds for root and for network drives, too


def make_folder(folder: Path) -> None:
    """Create a folder and its parents; FileError if a file is in the way or it is not possible there."""
    check_folder(folder)
    with path_errors(folder, "created"):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def locked(path: Path, timeout: float = -1) -> Iterator[None]:
    """Only one process at a time is within this block; FileError after ``timeout`` seconds, if that is not negative."""
    with path_errors(path, "locked"):
        _mode_of(path)
        lock = FileLock(path, timeout=timeout)
        try:
            lock.acquire()
        except Timeout:
            raise FileError(
                f"Another process has held {shown(path)} for {timeout:g} seconds. If it is stopped (Ctrl-Z), let it go"
                " on or end it, then give the same command again."
            ) from None
    try:
        yield
    finally:
        lock.release()


def _opened(path: Path) -> int:
    """A handle for reading; opening a pipe or device does not wait."""
    handle = os.open(path, os.O_RDONLY | WITHOUT_WAITING | BINARY)
    kind = stat.S_IFMT(os.fstat(handle).st_mode)
    if kind != stat.S_IFREG:
        os.close(handle)
        raise FileError(f"{shown(path)} cannot be read: it is {KINDS.get(kind, 'no file')}, not a file.")
    return handle


def _mode_of(path: Path) -> int | None:
    """The mode of a file, None if there is none; FileError if something else than a file has its name."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "something else")
        raise FileError(f"{shown(path)} is {kind}, not a file. Choose another name.")
    return mode
