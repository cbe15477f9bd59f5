"""Your own images: ``<root>/<class>/*`` or ``<root>/{train,val,test}/<class>/*``, decoded once to squares.

`regstudy.data.folder_layout` finds the files, and `regstudy.data.pictures` decodes them into a cache in
``data_dir/image_folder``.
"""

from __future__ import annotations

from pathlib import Path

from regstudy.config.schema import Data
from regstudy.data.file_rule import LATEST_RULE, SUFFIXES_OF_RULE_1
from regstudy.data.folder_layout import Found, find_part, unusable_test_part
from regstudy.data.folder_parts import division_of
from regstudy.data.image_set import ImageSet
from regstudy.data.loading_events import Notice, tell
from regstudy.data.pictures import Decoded, decoded, policy_of
from regstudy.errors import DataError

CACHE = "image_folder"  # folder within the data directory


def load(part: str, config: Data, data_dir: Path, rule: int = LATEST_RULE) -> ImageSet | None:
    """Part `train`, `validation` or `test`; None if the folder has no such part.

    ``rule`` is the number of the rule that says which files are images. Raises DataError if the folder, a file or the
    data directory cannot be used. Under ``data.unreadable: skip`` files that cannot be decoded are skipped, and a
    notice lists their names. Other notices say what was passed over.
    """
    found = find_part(part, config, rule)
    if found is None:
        return None
    _tell_about(found, part, config, rule)
    taken = decoded(found.root, found.names, str(found.folder.absolute()), policy_of(config, rule), data_dir / CACHE)
    images = taken.without_skipped(found.names, found.labels, found.classes)
    if taken.skipped and (config.unreadable == "error" or 0 in images.per_class):
        raise _unreadable(found, taken, images)
    taken.tell_skipped(found.folder)
    return images


def check_test(config: Data) -> None:
    """DataError if there is a test part that cannot be used, by the names of its files; none of them is opened."""
    train = find_part("train", config)
    problem = unusable_test_part(train, config) if train else None
    if problem is not None:
        raise DataError(f"The test part cannot be used, so no training was started: {problem}")


def part_folders(config: Data, rule: int = LATEST_RULE) -> dict[str, str]:
    """The folder of each part within `data.root`; empty if its folders are the classes."""
    division = division_of(config, rule)
    return dict(division.folders) if division.divided else {}


def _tell_about(found: Found, part: str, config: Data, rule: int) -> None:
    for remark in found.remarks:
        tell(Notice(remark, warning=True))
    if part != "train":
        return
    if rule < LATEST_RULE:
        tell(
            Notice(
                "This study was created by an earlier version of regstudy and keeps its rule for image files: only"
                f" {', '.join(sorted(SUFFIXES_OF_RULE_1))}. A new study (--study NAME) reads all formats."
            )
        )
    problem = unusable_test_part(found, config, rule)
    if problem is not None:
        words = f"A search does not use the test part, but `regstudy train` will, and it cannot be used: {problem}"
        tell(Notice(words, warning=True))


def _unreadable(found: Found, taken: Decoded, readable: ImageSet) -> DataError:
    """The error about files that cannot be decoded, and classes that would be empty without them."""
    lost = [f"'{name}'" for name, left in zip(found.classes, readable.per_class, strict=True) if not left]
    way_out = (
        f"They cannot be skipped, because no image of {', '.join(lost)} would be left. Fix or replace them."
        if lost
        else "Fix or remove them, or set data.unreadable: skip to ignore them."
    )
    return DataError(f"{taken.error_words(len(found.names), found.folder)} {way_out}")
