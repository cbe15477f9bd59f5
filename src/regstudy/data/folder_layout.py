"""Finds the images in ``<root>/<class>/*`` or ``<root>/{train,val,test}/<class>/*`` without opening them.

Classes are the sorted names of the folders. Images may be in subfolders of a class; hidden files and folders and files
without an image extension are ignored. Links are followed, but a folder that can be reached in several ways is entered
once per class, and parents of the class folder never are.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from regstudy.errors import DataError
from regstudy.text import counted

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
PART_FOLDERS = {"train": ("train", "training"), "validation": ("val", "valid", "validation"), "test": ("test",)}

Identity = tuple[int, int]  # of a folder, by whatever path: device and inode


@dataclass(frozen=True)
class Found:
    """One part of a folder of images: the files' names relative to ``root`` and the number of each one's class."""

    root: Path
    folder: Path
    classes: tuple[str, ...]
    names: list[str]
    labels: list[int]


def find_part(part: str, given: str) -> Found | None:
    """The images of `train`, `validation` or `test` in the given folder; None if it has no such part.

    Raises DataError if there is no such folder, if it has another layout, or if a class has no images.
    """
    root = _root(given)
    parts = _parts(root)
    folder = parts.get(part)
    if folder is None:
        return None
    classes = _folders(folder)
    if part != "train":
        _check_same_classes(folder, classes, parts["train"])
    if len(classes) < 2:
        raise _too_few_classes(folder, classes)
    within = "" if folder == root else f"{folder.name}/"
    files = [(name, label) for label, own in enumerate(classes) for name in _images(root, within + own)]
    counts = Counter(label for _, label in files)
    empty = [name for label, name in enumerate(classes) if not counts[label]]
    if empty:
        raise DataError(
            f"{folder} has no images for {_quoted(empty)}. Add images ({', '.join(sorted(IMAGE_SUFFIXES))}) or remove"
            " the"
            " folder."
        )
    return Found(root, folder, classes, [name for name, _ in files], [label for _, label in files])


def _root(given: str) -> Path:
    try:
        root = Path(given).expanduser()
        exists, is_folder = root.exists(), root.is_dir()
    except (OSError, RuntimeError) as error:  # name too long, unknown home directory, permission denied
        raise DataError(f"data.root '{given}' cannot be accessed: {str(error).rstrip('.')}.") from None
    if not is_folder:
        what = "is a file; unpack it if it is an archive" if exists else f"does not exist (looked in {root.absolute()})"
        raise DataError(f"data.root '{given}' {what}. It must be a folder with one subfolder per class.")
    return root


def _parts(root: Path) -> dict[str, Path]:
    """The folder of each part; a root without train, val and test folders is the training part."""
    found: dict[str, Path] = {}
    folders = _folders(root)
    for name in folders:
        part = next((part for part, names in PART_FOLDERS.items() if name.lower() in names), None)
        if part in found:
            raise DataError(
                f"{root} has both '{found[part].name}' and '{name}', which mean the same. Remove or rename one of them."
            )
        if part:
            found[part] = root / name
    if "train" in found:
        return found
    if found and len(found) == len(folders):
        raise DataError(
            f"{root} has {_quoted(folders)} but no 'train'. Add that folder, with one subfolder of images per class."
        )
    return {"train": root}


def _folders(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(entry.name for entry in _entries(folder) if _is_folder(entry)))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder, without hidden ones."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be read: {(error.strerror or str(error)).lower()}.") from None


def _images(root: Path, name: str) -> list[str]:
    """Names of the images in and below a folder, relative to ``root``, sorted."""
    folder = root / name
    above = {_identity(parent) for parent in [*folder.absolute().parents, *folder.resolve().parents]}
    return sorted(_images_below(root, name, above))


def _images_below(root: Path, name: str, entered: set[Identity]) -> Iterator[str]:
    identity = _identity(root / name)
    if identity in entered:
        return
    entered.add(identity)
    for entry in sorted(_entries(root / name), key=lambda entry: entry.name):
        below = f"{name}/{entry.name}"
        if _is_folder(entry):
            yield from _images_below(root, below, entered)
        elif Path(entry.name).suffix.lower() in IMAGE_SUFFIXES:
            yield below


def _identity(folder: Path) -> Identity:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _check_same_classes(folder: Path, classes: tuple[str, ...], train: Path) -> None:
    trained = _folders(train)
    missing = [name for name in trained if name not in classes]
    extra = [name for name in classes if name not in trained]
    if missing or extra:
        lacks = [f"{_quoted(missing)} only in {train.name}"] if missing else []
        lacks += [f"{_quoted(extra)} only in {folder.name}"] if extra else []
        raise DataError(
            f"{folder} and {train} have different classes: {', '.join(lacks)}. Both need the same subfolders, with"
            " images"
            " in each."
        )


def _too_few_classes(folder: Path, classes: tuple[str, ...]) -> DataError:
    has = f"only {_quoted(classes)}" if classes else "none"
    loose = sum(Path(entry.name).suffix.lower() in IMAGE_SUFFIXES for entry in _entries(folder))
    images = f" and {counted(loose, 'image')} outside of subfolders" if loose else ""
    return DataError(
        f"{folder} must have at least two subfolders, one per class with its images, but it has {has}{images}."
    )


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
