"""Guesses what the columns of a table of images mean, by their names and content, and looks at its images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from regstudy.config.schema import Data
from regstudy.data.file_rule import SUFFIXES, suffix_of
from regstudy.data.folder_walk import printable, quoted
from regstudy.data.part_words import part_of
from regstudy.data.table_file import read_table, table_lines
from regstudy.data.table_rows import ListedImage, listed_images, missing_files
from regstudy.errors import DataError
from regstudy.files.paths import shown
from regstudy.first_space.group_patterns import GroupProposal
from regstudy.first_space.look import checked, per_class
from regstudy.first_space.picture_sample import look_at_pictures
from regstudy.first_space.seen import Seen

LOOKED_AT = 200  # rows by which a column is judged
IMAGES = ("image", "path", "file", "filename", "filepath", "image_path", "img", "picture", "photo")
LABELS = ("label", "class", "target", "diagnosis", "category", "kind", "y", "species", "disease", "type", "finding")
GROUPS = ("group", "patient", "subject", "person", "case", "slide", "donor", "participant", "video", "animal", "study")
SPLITS = ("split", "part", "set", "subset", "partition", "fold", "usage")

Columns = Mapping[str, Sequence[str]]


def guess_columns(columns: Columns, folder: Path) -> dict[str, str]:
    """The column of each use: image and label always, group and split where there is one. DataError if unclear."""
    left = {name: cells for name, cells in columns.items() if name}
    found: dict[str, str] = {}

    def take(use: str, candidates: list[str], names: Sequence[str]) -> None:
        if candidates:
            found[use] = max(candidates, key=lambda name: _likeness(name, names))  # of equals the first
            del left[found[use]]

    take("image", [name for name, cells in left.items() if _are_files(cells, folder)], IMAGES)
    take("split", [name for name, cells in left.items() if _are_parts(cells)], SPLITS)
    take("group", [name for name, cells in left.items() if _likeness(name, GROUPS) and _repeats(cells)], GROUPS)
    labels = [name for name in left if _likeness(name, LABELS)]
    take("label", labels or [name for name, cells in left.items() if _few_values(cells)], LABELS)
    lacking = [use for use in ("image", "label") if use not in found]
    if lacking:
        what = {
            "image": "a column with the paths of image files, relative to the table",
            "label": "a column with the classes, such as 'label'",
        }
        raise DataError(
            f"{' and '.join(what[use] for use in lacking)} cannot be recognized among the columns"
            f" {quoted(list(columns))}. Name the columns in a space file: data: {{name: table, file: …, image: …,"
            " label: …}."
        )
    return found


def look_at_table(path: Path) -> Seen:
    """What a table lists. DataError if it cannot be read, or with all of its wrong rows."""
    (_, header), *lines = table_lines(path)
    columns = {
        name.strip(): [cells[place].strip() for _, cells in lines[:LOOKED_AT] if place < len(cells)]
        for place, name in enumerate(header)
    }
    try:
        guessed = guess_columns(columns, path.parent)
    except DataError as error:
        raise DataError(f"{shown(path)}: {error}") from None
    config = Data.model_validate({"name": "table", "file": str(path), **guessed})
    found = listed_images(read_table(config), config)
    wrong = [*found.problems, *filter(None, [missing_files(found.images, path.parent)])]
    if wrong:
        listed = "".join(f"\n  - {one}" for one in wrong)
        guesses = ", ".join(f"{use}: '{name}'" for use, name in guessed.items())
        raise DataError(
            f"{shown(path)} cannot be used with the columns {guesses}:{listed}\nFix the table or the files."
        )
    parts = {part: [one for one in found.images if one.part == part] for part in ("train", "validation", "test")}
    used = [*parts["train"], *parts["validation"]]
    return Seen(
        source={"name": "table", "file": str(path), **guessed},
        place=path.name,
        parts={part: len(images) for part, images in parts.items() if images},
        per_class=per_class([image.label for image in parts["train"]], found.classes),
        sample=checked(look_at_pictures(path.parent, [image.name for image in used]), path),
        group=_group(guessed, used, columns),
        groups_in_both=len({one.group for one in parts["train"]} & {one.group for one in parts["validation"]})
        if "group" in guessed
        else 0,
        notes=(_guesses(guessed, columns),),
        labels=[image.label for image in parts["train"]],
        group_of=[image.group for image in parts["train"]] if "group" in guessed else None,
    )


def _guesses(guessed: Mapping[str, str], columns: Columns) -> str:
    """How the columns were read, and which were not."""
    left = [name for name in columns if name not in guessed.values()]
    unused = f" Not used: {quoted(left)}." if left else ""
    return f"Columns, guessed: {', '.join(f'{printable(name)} (data.{use})' for use, name in guessed.items())}.{unused}"


def _group(guessed: Mapping[str, str], used: Sequence[ListedImage], columns: Columns) -> GroupProposal | None:
    if "group" not in guessed:
        return None
    name = guessed["group"]
    return GroupProposal(name, len({image.group for image in used}), columns[name][0])


def _likeness(column: str, words: Sequence[str]) -> int:
    """How much a column is called like one of these words: 3 exactly, 2 in front (patient_id), 1 at the end, 0 not."""
    name = column.lower().replace(" ", "_")
    if name in words:
        return 3
    if any(name.startswith(f"{word}_") or name in (f"{word}id", f"{word}s", f"{word}path") for word in words):
        return 2
    return int(any(name.endswith(f"_{word}") for word in words))


def _are_files(cells: Sequence[str], folder: Path) -> bool:
    """Whether most cells are files next to the table, or are named like images."""
    named = sum(suffix_of(cell) in SUFFIXES or os.path.isfile(folder / cell) for cell in cells)  # noqa: PTH113
    return named > len(cells) / 2


def _are_parts(cells: Sequence[str]) -> bool:
    return bool(cells) and all(part_of(cell) for cell in cells)


def _repeats(cells: Sequence[str]) -> bool:
    return len(set(cells)) < len(cells)


def _few_values(cells: Sequence[str]) -> bool:
    """Whether there are two or more values, each many times."""
    return 2 <= len(set(cells)) <= max(2, len(cells) / 5)
