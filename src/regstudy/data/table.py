"""Images that a table lists: ``data: {name: table, file: labels.csv, image: path, label: diagnosis}``.

Paths are relative to the table's folder. Optional columns give the group of an image (`data.group`) and its part
(`data.split`). All wrong rows are reported together, with what cannot be decoded. `regstudy.data.table_file` reads the
file, `regstudy.data.table_rows` checks it, and `regstudy.data.pictures` decodes into ``data_dir/table``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from regstudy.config.schema import Data
from regstudy.data.image_set import ImageSet
from regstudy.data.loading_events import Notice, tell
from regstudy.data.pictures import decoded, policy_of
from regstudy.data.table_file import read_table
from regstudy.data.table_rows import Listed, listed_images, missing_files
from regstudy.errors import DataError
from regstudy.files.paths import shown

CACHE = "table"  # folder within the data directory


def load(part: str, config: Data, data_dir: Path) -> ImageSet | None:
    """Part `train`, `validation` or `test`; None if no row belongs to it. ``groups`` are those of `data.group`.

    DataError that names everything that is wrong with the table and with the images of this part. Under
    ``data.unreadable: skip``, files that are missing or cannot be decoded are left out with a notice.
    """
    table = read_table(config)
    found = listed_images(table, config)
    rows = [image for image in found.images if image.part == part]
    if not rows and part != "train":
        return None
    strict, wrong = config.unreadable == "error", list(found.problems)
    missing = missing_files(found.images if strict else rows, table.folder)
    if missing and strict:
        wrong.append(missing)
    elif missing:
        tell(Notice(f"Skipped in {shown(table.path)}: {missing}", warning=True))
    present = [image for image in rows if image.exists]
    names, labels = [image.name for image in present], [image.label for image in present]
    taken = decoded(table.folder, names, f"{table.path.absolute()} {part}", policy_of(config), data_dir / CACHE)
    images = taken.without_skipped(names, labels, found.classes)
    if taken.skipped and strict:
        wrong.append(taken.error_words(len(names), f"the {part} part"))
    else:
        taken.tell_skipped(shown(table.path))
    lost = [f"'{name}'" for name, left in zip(found.classes, images.per_class, strict=True) if not left]
    if lost and not wrong:
        wrong.append(f"The {part} part has no images of {', '.join(lost)}. Every part needs every class.")
    if wrong:
        raise DataError(_together(table.path, wrong, skippable=strict and bool(missing or taken.skipped)))
    if part == "train":
        _tell_about_test(found)
    groups = [image.group for image in present if image.name not in taken.skipped]
    return replace(images, groups=torch.tensor(groups, dtype=torch.int64)) if found.grouped else images


def check_test(config: Data) -> None:
    """DataError if there is a test part that lacks a class, or one of whose files is missing; none is opened."""
    found = listed_images(read_table(config), config)
    lacking = _lacking_in_test(found)
    if lacking:
        raise DataError(f"The test part cannot be used, so no training was started: {lacking}")


def _tell_about_test(found: Listed) -> None:
    lacking = _lacking_in_test(found)
    if lacking:
        words = f"A search does not use the test part, but `regstudy train` will, and it cannot be used: {lacking}"
        tell(Notice(words, warning=True))


def _lacking_in_test(found: Listed) -> str | None:
    """Why the test part cannot be used, as far as the table tells; None if it can, or if there is none."""
    there = {image.label for image in found.images if image.part == "test" and image.exists}
    if not any(image.part == "test" for image in found.images):
        return None
    lost = [f"'{name}'" for number, name in enumerate(found.classes) if number not in there]
    return f"it has no images of {', '.join(lost)}." if lost else None


def _together(path: Path, wrong: Sequence[str], skippable: bool) -> str:
    """All that is wrong as one message."""
    what = f"{shown(path)}: {wrong[0]}" if len(wrong) == 1 else f"{shown(path)} has {len(wrong)} problems:"
    lines = "".join(f"\n  - {one}" for one in wrong) + "\n" if len(wrong) > 1 else " "
    skip = ", or set data.unreadable: skip to leave out missing and unreadable files" if skippable else ""
    return f"{what}{lines}Fix the table or the files{skip}."
