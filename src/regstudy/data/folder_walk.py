"""Lists the images in and below a folder, and keeps account of everything else that lies there.

Links are followed, but a folder that can be reached in several ways is entered once, and parents never are.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from regstudy.data.file_rule import Entry, ImageTest, ignored, is_regular, suffix_of
from regstudy.errors import DataError
from regstudy.text import counted

Identity = tuple[int, int]  # of a folder, by whatever path: device and inode
MAX_NAMED = 3  # files that were passed over, in a notice
MAX_KINDS = 5


@dataclass
class PassedOver:
    """What was found but not used: kinds of files with their number, and a few names of each."""

    kinds: Counter[str] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)

    def add(self, kind: str, name: str) -> None:
        """Count one file or folder, by its name relative to the data set's folder."""
        self.kinds[kind] += 1
        if len(self.names) < MAX_NAMED:
            self.names.append(name)

    def add_file(self, entry: Entry, name: str) -> None:
        """Count a file that is not an image."""
        suffix = suffix_of(entry.name) or "without a suffix"
        self.add(suffix if is_regular(entry) else "no regular file", name)

    def sentence(self, folder: Path) -> str:
        """How many files in a folder were passed over, of which kinds, and some names; empty if there are none."""
        if not self.kinds:
            return ""
        most = [f"{count:,} {kind}" for kind, count in self.kinds.most_common(MAX_KINDS)]
        rest = self.kinds.total() - sum(count for _, count in self.kinds.most_common(MAX_KINDS))
        most += [f"{rest:,} of other kinds"] if rest else []
        example = "for example " if self.kinds.total() > len(self.names) else ""
        count = counted(self.kinds.total(), "file")
        return f"Passed over {count} in {folder}: {', '.join(most)} ({example}{quoted(self.names)})."


@dataclass(frozen=True)
class Walk:
    """Walks in and below ``root``: which entries count as images, and what else was found."""

    root: Path
    is_image: ImageTest
    rule: int
    passed_over: PassedOver = field(default_factory=PassedOver)

    def images(self, name: str) -> list[str]:
        """Names of the images in and below a folder, relative to ``root``, sorted."""
        folder = self.root / name
        with_links = [*folder.absolute().parents, *resolved(folder).parents]
        return sorted(self._below(name, {identity(parent) for parent in with_links}))

    def has_image(self, name: str) -> bool:
        """Whether there is any image in or below a folder."""
        return next(Walk(self.root, self.is_image, self.rule)._below(name, set()), None) is not None

    def loose(self, folder: Path, within: str) -> None:
        """Keep account of the files in a folder that has room for folders only."""
        for entry in entries(folder, self.rule):
            if is_folder(entry):
                continue
            if self.is_image(entry):
                self.passed_over.add("image outside of the class folders", within + entry.name)
            else:
                self.passed_over.add_file(entry, within + entry.name)

    def _below(self, top: str, entered: set[Identity]) -> Iterator[str]:
        waiting = [top]
        while waiting:  # not recursive: folders may be nested more deeply than Python calls
            name = waiting.pop()
            here = identity(self.root / name)
            if here in entered:
                self.passed_over.add("link to a folder read elsewhere", name)
                continue
            entered.add(here)
            found = entries(self.root / name, self.rule)
            within = [entry for entry in found if is_folder(entry)]
            waiting += [f"{name}/{entry.name}" for entry in reversed(within)]
            for entry in found:
                below = f"{name}/{entry.name}"
                if is_folder(entry):
                    continue
                if self.is_image(entry):
                    yield below
                else:
                    self.passed_over.add_file(entry, below)


def folders(folder: Path, rule: int) -> tuple[str, ...]:
    """The names of the folders in a folder."""
    return tuple(entry.name for entry in entries(folder, rule) if is_folder(entry))


def entries(folder: Path, rule: int) -> list[Entry]:
    """The entries of a folder by their names, without those that are ignored."""
    try:
        with os.scandir(folder) as found:
            wanted = (entry for entry in found if not ignored(entry.name, rule))
            return sorted(wanted, key=lambda entry: entry.name)
    except OSError as error:
        raise unusable(folder, error) from None


def is_folder(entry: Entry) -> bool:
    """Whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def identity(folder: Path) -> Identity:
    """What is the same for all paths to a folder."""
    try:
        status = folder.stat()
    except OSError as error:
        raise unusable(folder, error) from None
    return status.st_dev, status.st_ino


def resolved(folder: Path) -> Path:
    """The path without links."""
    try:
        return folder.resolve()
    except (OSError, RuntimeError) as error:
        raise unusable(folder, error) from None


def unusable(folder: Path, error: Exception) -> DataError:
    """The error about a folder that the operating system does not let us read."""
    reason = (getattr(error, "strerror", None) or str(error)).lower()
    return DataError(f"The folder {folder} cannot be read: {reason}. Make it readable, or move it elsewhere.")


def quoted(names: Sequence[str], most: int = 10) -> str:
    """Names in quotation marks, the first ones of many."""
    more = [f"and {len(names) - most:,} more"] if len(names) > most else []
    return ", ".join([f"'{printable(name)}'" for name in names[:most]] + more)


def printable(name: str) -> str:
    """A name on one line: control characters, and bytes that are not UTF-8, are escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)
