"""Where a study's checkpoints and weights are written: this machine's disk, or one that is reached otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from regstudy.files import write_atomically


class FileStore(Protocol):
    """Small files of known names, each written whole or not at all; it can be pickled, for other processes.

    Every implementation fulfills `tests/files/file_store_contract.py`.
    """

    def read(self, path: Path) -> bytes | None:
        """The content of a file; None if there is none, or if it cannot be read."""

    def write(self, path: Path, content: bytes) -> None:
        """Write a file and the folders that it needs; OSError if the disk is full."""

    def remove(self, path: Path) -> None:
        """Delete a file, if there is one."""

    def names(self, folder: Path) -> list[str]:
        """The names of the files in a folder, sorted; none if there is no folder."""


class Disk:
    """The files of this machine."""

    def read(self, path: Path) -> bytes | None:
        """See `FileStore`."""
        try:
            return path.read_bytes()
        except OSError:
            return None

    def write(self, path: Path, content: bytes) -> None:
        """See `FileStore`."""
        write_atomically(path, content)

    def remove(self, path: Path) -> None:
        """See `FileStore`."""
        path.unlink(missing_ok=True)

    def names(self, folder: Path) -> list[str]:
        """See `FileStore`."""
        return sorted(path.name for path in folder.glob("*") if path.is_file())


DISK: FileStore = Disk()
