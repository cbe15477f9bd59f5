"""What the rows of a table of images say: the class, the group and the part of each image; all mistakes are counted."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from regstudy.config.schema import Data
from regstudy.data.folder_walk import printable
from regstudy.data.own.refusals import MULTI_LABEL, REGRESSION
from regstudy.data.part_words import PART_WORDS, part_of
from regstudy.data.table_file import Row, Table, columns_of
from regstudy.files.paths import shown
from regstudy.text import counted

EXAMPLES = 3
LABEL_SEPARATORS = ("|", ";", ",")


@dataclass(frozen=True)
class ListedImage:
    """One row without mistakes: the file's name below the table's folder, and numbers of its class and group."""

    name: str
    line: int
    label: int
    group: int
    part: str
    exists: bool


@dataclass(frozen=True)
class Listed:
    """All images of a table, the classes of all its parts, and sentences about wrong rows."""

    images: tuple[ListedImage, ...]
    classes: tuple[str, ...]
    grouped: bool
    problems: tuple[str, ...]


@dataclass
class _Mistakes:
    """Examples of wrong rows by the kind of mistake."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, example: str) -> None:
        self.found.setdefault(kind, []).append(example)

    def sentences(self) -> Iterable[str]:
        for kind, examples in self.found.items():
            yield f"{counted(len(examples), 'row')} {kind}: {examples_of(examples)}."


def examples_of(examples: Sequence[str]) -> str:
    """The first ones of many."""
    return ", ".join(examples[:EXAMPLES]) + (", …" if len(examples) > EXAMPLES else "")


def missing_files(images: Iterable[ListedImage], folder: Path) -> str | None:
    """How many files do not exist below the table's folder, with examples; None if all do."""
    missing = [f"'{printable(image.name[:100])}' (line {image.line})" for image in images if not image.exists]
    if not missing:
        return None
    return f"{counted(len(missing), 'missing file')} (paths start in {shown(folder)}): {examples_of(missing)}."


def listed_images(table: Table, config: Data) -> Listed:
    """The images of a table; files are looked up, but not opened."""
    mistakes, columns = _Mistakes(), columns_of(config)
    for line in table.uneven:
        mistakes.add("with more or fewer cells than the header", f"line {line}")
    rows = [row for row in table.rows if _complete(row, columns, mistakes)]
    labels = [row.cells["label"] for row in rows]
    classes = _ordered(set(labels))
    number = {name: place for place, name in enumerate(classes)}
    groups: dict[str, int] = {}
    images = tuple(
        ListedImage(
            name := _name(row),
            row.line,
            number[row.cells["label"]],
            groups.setdefault(row.cells.get("group", ""), len(groups)),
            part_of(row.cells.get("split", "train")) or "train",
            os.path.isfile(table.folder / name),  # noqa: PTH113 - False for impossible names, too
        )
        for row in rows
    )
    problems = [*mistakes.sentences(), *_repeated(images), *_label_problems(labels, columns["label"])]
    if rows and len(classes) < 2:
        problems.append(f"The column '{columns['label']}' has only the class '{classes[0]}'. Two or more are needed.")
    if rows and all(image.part != "train" for image in images):
        problems.append(f"No row of the column '{columns['split']}' says train.")
    return Listed(images, classes, "group" in columns, tuple(problems))


def _complete(row: Row, columns: Mapping[str, str], mistakes: _Mistakes) -> bool:
    """Whether a row has all that is needed."""
    empty = [use for use in columns if not row.cells[use]]
    for use in empty:
        mistakes.add(f"without a value in the column '{columns[use]}' (data.{use})", f"line {row.line}")
    word = row.cells.get("split")
    if word and part_of(word) is None:
        kind = f"whose '{columns['split']}' is not one of {', '.join(PART_WORDS)}"
        mistakes.add(kind, f"'{printable(word[:40])}' (line {row.line})")
        return False
    return not empty


def _name(row: Row) -> str:
    """The file's name with forward slashes."""
    return PurePath(row.cells["image"].replace("\\", "/")).as_posix()


def _repeated(images: Iterable[ListedImage]) -> Iterable[str]:
    first: dict[str, int] = {}
    again = [
        f"'{printable(image.name[:100])}' (lines {first[image.name]} and {image.line})"
        for image in images
        if first.setdefault(image.name, image.line) != image.line
    ]
    if again:
        listed = "1 image is" if len(again) == 1 else f"{len(again):,} images are"
        yield f"{listed} listed more than once: {examples_of(again)}. Give each image one row and one class."


def _label_problems(labels: Sequence[str], column: str) -> Iterable[str]:
    """Whether the labels look like several per image, or like numbers to be predicted."""
    distinct = sorted(set(labels))
    for sign in LABEL_SEPARATORS:
        joined = [
            one for one in distinct if sign in one and {piece.strip() for piece in one.split(sign)} <= {*distinct}
        ]
        if joined:
            yield f"'{printable(joined[0][:60])}' in the column '{column}' has several labels. {MULTI_LABEL}"
            return
    numbers = [_number(label) for label in distinct]
    broken = [label for label, number in zip(distinct, numbers, strict=True) if number and not number.is_integer()]
    if broken and None not in numbers:
        yield f"The column '{column}' has numbers such as {broken[0]}. {REGRESSION}"


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _ordered(names: set[str]) -> tuple[str, ...]:
    """Class names in order: as numbers if all are whole numbers, otherwise as text."""
    if all(name.isdecimal() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))
