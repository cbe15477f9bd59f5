"""Which folders of a data set are parts (training, validation, test) and which are classes.

Parts are known by their names, whatever the case of the letters, or named by `data.parts`. Folders that could be
either are refused, because a wrong guess is not seen later: a network would learn to tell training images from test
images.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from regstudy.config.schema import Data, Parts
from regstudy.data.folder_walk import folders, quoted
from regstudy.errors import DataError, unknown

PART_FOLDERS = {"train": ("train", "training"), "validation": ("val", "valid", "validation"), "test": ("test",)}
# what the name of a part's folder contains, the first match counts
HINTS = {
    "train": ("train",),
    "test": ("test", "holdout", "hold_out", "hold-out"),
    "validation": ("val", "dev", "eval"),
}


@dataclass(frozen=True)
class Division:
    """The folder of each part, relative to ``root``; that of an undivided root is empty.

    ``others`` are folders next to the parts; ``given`` is True if `data.parts` says what is a part.
    """

    root: Path
    folders: Mapping[str, str]
    others: tuple[str, ...] = ()
    given: bool = False

    @property
    def divided(self) -> bool:
        """Whether the root has folders for parts."""
        return "" not in self.folders.values()

    def folder(self, part: str) -> Path:
        """The folder of an existing part."""
        return self.root / self.folders[part] if self.folders[part] else self.root


def division_of(config: Data, rule: int) -> Division:
    """The parts of an `image_folder`. Raises DataError if the folder does not exist, or if its parts are unclear."""
    root = _root(config.root)
    if config.parts == "none":
        return Division(root, {"train": ""}, given=True)
    if config.parts is not None:
        return _given(root, config.parts, rule)
    found: dict[str, str] = {}
    names = folders(root, rule)
    for name in names:
        part = next((part for part, known in PART_FOLDERS.items() if name.lower() in known), None)
        if part in found:
            raise DataError(
                f"{root} has both '{found[part]}' and '{name}', which mean the same. Remove or rename one of them, or"
                f" name the parts: data.parts: {{{part}: {name}, …}}."
            )
        if part:
            found[part] = name
    others = tuple(name for name in names if name not in found.values())
    if "train" in found:
        return Division(root, found, others)
    if found and not others:
        raise DataError(
            f"{root} has {quoted(names)} but no 'train'. Add that folder, with one subfolder of images per class. If"
            " these folders are the classes, set data.parts: none."
        )
    return Division(root, {"train": ""})


def parts_problem(parts: Parts) -> str | None:
    """What is wrong with `data.parts`, as far as it can be seen without the folder."""
    given = _named(parts)
    for part, name in given.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            return f"{part} is '{name}', but it must be a folder within data.root, such as {part}."
    paths = {part: PurePosixPath(name.lower()) for part, name in given.items()}
    for one, path in paths.items():
        for other, inner in paths.items():
            if one != other and inner.is_relative_to(path):
                return f"{one} and {other} must be different folders, and none may lie within another."
    return None


def unknown_folders(division: Division, names: Sequence[str]) -> str:
    """The sentence about folders with images next to known parts."""
    return (
        f"{division.root} has the parts {quoted(list(division.folders.values()))} and next to them {quoted(names)} with"
        f" images, which is no known name of a part. {_remedy((*division.folders.values(), *names))}"
    )


def looks_divided(folder: Path, inner: Mapping[str, Collection[str]]) -> str | None:
    """Why folders look like parts and not like classes; None if they do not.

    ``inner`` has the subfolders with images of each folder.
    """
    names = list(inner)
    kinds = {name: kind for name in names if (kind := kind_of(name))}
    shared = shared_subfolders(inner)
    both = "train" in kinds.values() and len(set(kinds.values())) > 1
    deep = any(kind == "train" and len(inner[name]) > 1 for name, kind in kinds.items())
    if (kinds and shared) or (both and (deep or len(kinds) == len(names))):
        each = f" Each has the subfolders {quoted(shared)}." if shared else ""
        return (
            f"{folder} has the folders {quoted(names)}, which look like parts of a data set, not like classes.{each}"
            f" {_remedy(names)}"
        )
    parts = [name for name in shared if kind_of(name)]
    if len({kind_of(name) for name in parts}) > 1:
        top = next((name for name in parts if kind_of(name) == "train"), parts[0])
        return (
            f"Each folder of {folder} ({quoted(names)}) has the subfolders {quoted(parts)}, which look like parts of a"
            " data set, so test images would be used for training. Move the parts to the top:"
            f" {top}/{names[0]} instead of {names[0]}/{top}. If all images may be used, set data.parts: none."
        )
    return None


def equal_subfolders(folder: Path, inner: Mapping[str, Collection[str]]) -> str | None:
    """How folders with equal subfolders were read; None if they have none."""
    shared = shared_subfolders(inner)
    if not shared:
        return None
    return (
        f"Each folder of {folder} ({quoted(list(inner))}) has the subfolders {quoted(shared)}. The folders were read as"
        " the classes. If they are parts, name them in data.parts."
    )


def shared_subfolders(inner: Mapping[str, Collection[str]]) -> list[str]:
    """The two or more subfolders that all folders have, whatever the case of their letters; else none."""
    if len(inner) < 2:
        return []
    first, *rest = inner.values()
    common = {name.casefold() for name in first}.intersection(*({name.casefold() for name in one} for one in rest))
    return sorted(name for name in first if name.casefold() in common) if len(common) > 1 else []


def kind_of(name: str) -> str | None:
    """The part that a folder's name hints at."""
    return next((part for part, hints in HINTS.items() if any(hint in name.lower() for hint in hints)), None)


def _remedy(names: Iterable[str]) -> str:
    """How to say which folders are parts, with a guess."""
    guess: dict[str, str] = {}
    left = []
    for name in names:
        kind = kind_of(name)
        if kind is None or kind in guess:
            left.append(name)
        else:
            guess[kind] = name
    for part in PART_FOLDERS:
        if part not in guess and left:
            guess[part] = left.pop(0)
    said = ", ".join(f"{part}: {guess[part]}" for part in PART_FOLDERS if part in guess)
    return (
        f"Say which folders are the parts, for example data.parts: {{{said}}}; other folders are then left out. If the"
        " folders are the classes, set data.parts: none."
    )


def _given(root: Path, parts: Parts, rule: int) -> Division:
    """The parts that `data.parts` names; the case of letters matters only where two folders differ in nothing else."""
    wrong = parts_problem(parts)
    if wrong is not None:
        raise DataError(f"data.parts: {wrong}")
    found = {}
    for part, name in _named(parts).items():
        place = PurePosixPath()
        for step in PurePosixPath(name).parts:
            there = folders(root / place, rule)
            same = [one for one in there if one == step] or [one for one in there if one.lower() == step.lower()]
            if not same:
                what = unknown("folder", step, there[:50])
                raise DataError(f"data.parts.{part} is '{name}', but in {root / place} {what}")
            place /= same[0]
        found[part] = str(place)
    tops = {PurePosixPath(name).parts[0] for name in found.values()}
    return Division(root, found, tuple(name for name in folders(root, rule) if name not in tops), given=True)


def _named(parts: Parts) -> dict[str, str]:
    return {part: name for part, name in parts.model_dump().items() if name is not None}


def _root(given: str | None) -> Path:
    if given is None:
        raise DataError("data.root is missing: the folder that has one subfolder of images per class.")
    try:
        root = Path(given).expanduser()
        exists, is_folder = root.exists(), root.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # name too long, unknown home, permission denied, a null byte
        raise DataError(f"data.root '{given}' cannot be accessed: {str(error).rstrip('.')}.") from None
    if not is_folder:
        what = "is a file; unpack it if it is an archive" if exists else f"does not exist (looked in {root.absolute()})"
        raise DataError(f"data.root '{given}' {what}. It must be a folder with one subfolder per class.")
    return root
