"""The study's folder for workers on nodes that do not see it: a small actor beside the command reads and writes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from regstudy.errors import StorageError
from regstudy.files.file_store import DISK


class FolderKeeper:
    """The actor: files within one folder, on the machine of the command."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: Path) -> bytes | None:
        """See `FileStore`."""
        return DISK.read(self._own(path))

    def write(self, path: Path, content: bytes) -> None:
        """See `FileStore`."""
        DISK.write(self._own(path), content)

    def remove(self, path: Path) -> None:
        """See `FileStore`."""
        DISK.remove(self._own(path))

    def names(self, folder: Path) -> list[str]:
        """See `FileStore`."""
        return DISK.names(self._own(folder))

    def _own(self, path: Path) -> Path:
        if ".." in path.parts or not path.is_relative_to(self._folder):
            raise ValueError(f"{path} is not in {self._folder}")
        return path


@dataclass(frozen=True)
class CarriedFiles:
    """A `FileStore` whose files lie on the machine of the command; every call waits until it is done there."""

    keeper: Any  # handle of a `FolderKeeper`

    def read(self, path: Path) -> bytes | None:
        """See `FileStore`."""
        content: bytes | None = self._get(self.keeper.read.remote(path))
        return content

    def write(self, path: Path, content: bytes) -> None:
        """See `FileStore`."""
        self._get(self.keeper.write.remote(path, content))

    def remove(self, path: Path) -> None:
        """See `FileStore`."""
        self._get(self.keeper.remove.remote(path))

    def names(self, folder: Path) -> list[str]:
        """See `FileStore`."""
        names: list[str] = self._get(self.keeper.names.remote(folder))
        return names

    def _get(self, answer: Any) -> Any:
        try:
            return ray.get(answer)
        except RayTaskError as error:
            raise error.cause from None  # such as a full disk
        except RayActorError:
            raise StorageError(
                "The machine that started the study cannot be reached, and its folder of checkpoints and weights"
                " neither. Give the same command again; finished trials are safe."
            ) from None
