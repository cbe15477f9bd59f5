"""Looks at a folder of images as `data.name: image_folder` reads it; nothing is written and no file is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from regstudy.config.schema import Data
from regstudy.data.file_rule import LATEST_RULE
from regstudy.data.folder_layout import Found, find_part, unusable_test_part
from regstudy.data.folder_walk import folders, printable
from regstudy.data.groups import path_groups
from regstudy.errors import DataError, unknown
from regstudy.files.paths import shown
from regstudy.first_space.group_patterns import propose_groups
from regstudy.first_space.picture_sample import look_at_pictures
from regstudy.first_space.seen import PictureSample, Seen

TABLES = (".csv", ".tsv")
FEWEST_CLASSES = 2
MOST_NAMED = 5  # unreadable files in an error


def is_table(path: Path) -> bool:
    """Whether a path is meant as a table of images."""
    return path.suffix.lower() in TABLES


def check_place(path: Path) -> None:
    """DataError unless a path is a folder, or a table that exists."""
    if path.is_dir() or (is_table(path) and path.exists()):
        return
    if path.exists():
        raise DataError(
            f"{shown(path)} is a file, not a folder. Give a folder with one subfolder of images per class, or a CSV"
            " file that lists images and labels. Unpack archives first."
        )
    try:
        near = [entry.name for entry in path.parent.iterdir() if entry.is_dir() or is_table(entry)]
    except OSError:
        near = []
    what = unknown("folder or table", path.name, [name for name in near if not name.startswith(".")][:20])
    raise DataError(f"{shown(path)} does not exist: in {shown(path.absolute().parent)} {what}")


def look_at_folder(path: Path) -> Seen:
    """What a folder holds. DataError if it cannot be an `image_folder`, or if none of its images can be decoded."""
    config = Data(name="image_folder", root=str(path))
    try:
        train, validation = find_part("train", config), find_part("validation", config)
    except DataError as error:
        raise DataError(f"{error}{_advice(path, str(error))}") from None
    if train is None:
        raise DataError(f"{shown(path)} has no training images.")
    found = [part for part in (train, validation) if part is not None]
    names = [name for part in found for name in part.names]
    notes = [remark for part in found for remark in part.remarks]
    problem = unusable_test_part(train, config)
    test = find_part("test", config) if problem is None else None
    notes += [f"The test part cannot be used: {problem}"] if problem else []
    group = propose_groups(names, [label for part in found for label in part.labels], _depth(train))
    group_of = [] if group is None else path_groups(tuple(names), group.rule, "image_folder").tolist()
    trained = len(train.names)
    return Seen(
        source={"name": "image_folder", "root": str(path)},
        place=path.resolve().name or str(path),
        parts=_parts(train=len(train.names), validation=len(validation.names) if validation else 0, test=_size(test)),
        per_class=per_class(train.labels, train.classes),
        sample=checked(look_at_pictures(path, names), path),
        group=group,
        groups_in_both=len(set(group_of[:trained]) & set(group_of[trained:])),
        notes=tuple(notes),
        labels=train.labels,
        group_of=group_of[:trained] or None,
    )


def per_class(labels: Sequence[int], classes: Sequence[str]) -> dict[str, int]:
    """How many images each class has."""
    counts = Counter(labels)
    return {name: counts[number] for number, name in enumerate(classes)}


def checked(sample: PictureSample, path: Path) -> PictureSample:
    """The same sample; DataError if nothing in it can be decoded."""
    if sample.decoded and sample.sides:
        return sample
    wrong = list(sample.unreadable.items())[:MOST_NAMED]
    named = "; ".join(f"{printable(name)} ({reason})" for name, reason in wrong)
    raise DataError(
        f"None of the {len(sample.unreadable):,} images tried in {shown(path)} can be decoded: {named}. See"
        " docs/data.md for the formats."
    )


def _parts(**counts: int) -> Mapping[str, int]:
    return {part: count for part, count in counts.items() if count}


def _size(part: Found | None) -> int:
    return len(part.names) if part else 0


def _depth(train: Found) -> int:
    """The number of folders in a path down to the class."""
    return 1 + len(train.folder.relative_to(train.root).parts)


def _advice(path: Path, message: str) -> str:
    """What a user can do who has no space file yet."""
    if len(folders(path, LATEST_RULE)) < FEWEST_CLASSES:
        tables = [name for name in sorted(entry.name for entry in path.iterdir()) if is_table(Path(name))]
        table = shown(path / tables[0]) if tables else "labels.csv"
        return (
            " Put the images of each class into a folder of its own, or list them with their classes in a CSV file:"
            f" regstudy init {table}."
        )
    if "data." in message:
        return (
            " The words with `data.` are keys of a space file: rename the folders, or write a file as in docs/data.md."
        )
    return ""
