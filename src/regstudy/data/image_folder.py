"""Your own images: ``<root>/<class>/*`` or ``<root>/{train,val,test}/<class>/*``, decoded once to RGB squares.

`regstudy.data.folder_layout` finds the files, `regstudy.data.decoding` decodes them, and `regstudy.data.pixel_cache`
caches the pixels in ``data_dir/image_folder``.
"""

from __future__ import annotations

import hashlib
import os
from itertools import islice
from pathlib import Path

import torch

from regstudy.config.schema import Data
from regstudy.data.decoding import FORMATS, FORMATS_OF_RULE_1, Policy
from regstudy.data.file_digests import File, digested
from regstudy.data.file_rule import LATEST_RULE, SUFFIXES_OF_RULE_1
from regstudy.data.folder_layout import Found, find_part, unusable_test_part
from regstudy.data.folder_parts import division_of
from regstudy.data.folder_walk import printable
from regstudy.data.image_set import ImageSet
from regstudy.data.loading_events import Notice, tell
from regstudy.data.pixel_cache import Skipped, load_pixels, skipped_path
from regstudy.errors import DataError
from regstudy.text import counted

DEFAULT_SIZE = 64
FILES_IN_ERROR = 10  # unreadable files that an error names
FILES_IN_NOTICE = 3  # skipped files that a notice names


def load(part: str, config: Data, data_dir: Path, rule: int = LATEST_RULE) -> ImageSet | None:
    """Part `train`, `validation` or `test`, 3 channels; None if the folder has no such part.

    ``rule`` is the number of the rule that says which files are images. Raises DataError if the folder, a file or the
    data directory cannot be used. Under ``data.unreadable: skip`` files that cannot be decoded are skipped, and a
    notice lists their names. Other notices say what was passed over.
    """
    found = find_part(part, config, rule)
    if found is None:
        return None
    _tell_about(found, part, config, rule)
    files, policy, cache = _digested(found, data_dir), _policy(config, rule), _cache(data_dir)
    pixels, skipped = load_pixels(files, policy, cache)
    kept = [(name, label) for name, label in zip(found.names, found.labels, strict=True) if name not in skipped]
    if skipped:
        listed = skipped_path(files, policy, cache)
        if config.unreadable == "error" or len({label for _, label in kept}) < len(found.classes):
            raise _unreadable(found, skipped, listed)
        count = counted(len(skipped), "unreadable file")
        words = f"Skipped {count} in {found.folder}: {_named(skipped, FILES_IN_NOTICE)}. The full list is in {listed}."
        tell(Notice(words, warning=True))
    labels = torch.tensor([label for _, label in kept], dtype=torch.int64)
    return ImageSet(torch.from_numpy(pixels), labels, found.classes, tuple(name for name, _ in kept))


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


def _policy(config: Data, rule: int) -> Policy:
    """Earlier rules tried fewer formats, which matters only where files are skipped that could be read today."""
    formats = FORMATS_OF_RULE_1 if rule == 1 and config.unreadable == "skip" else FORMATS
    return Policy(config.size or DEFAULT_SIZE, config.fit, formats)


def _cache(data_dir: Path) -> Path:
    return data_dir / "image_folder"


def _digested(found: Found, data_dir: Path) -> list[File]:
    place = hashlib.sha256(os.fsencode(found.folder.absolute())).hexdigest()[:24]
    return digested(found.root, found.names, _cache(data_dir) / f"{place}.files.json")


def _unreadable(found: Found, skipped: Skipped, listed: Path) -> DataError:
    """The error about files that cannot be decoded, and classes that would be empty without them."""
    readable = {label for name, label in zip(found.names, found.labels, strict=True) if name not in skipped}
    lost = [f"'{name}'" for label, name in enumerate(found.classes) if label not in readable]
    way_out = (
        f"They cannot be skipped, because no image of {', '.join(lost)} would be left. Fix or replace them."
        if lost
        else "Fix or remove them, or set data.unreadable: skip to ignore them."
    )
    return DataError(
        f"{len(skipped):,} of {counted(len(found.names), 'image')} in {found.folder} cannot be read:"
        f" {_named(skipped, FILES_IN_ERROR)}. The full list is in {listed}. {way_out}"
    )


def _named(skipped: Skipped, most: int) -> str:
    named = [f"{printable(name)} ({reason})" for name, reason in islice(skipped.items(), most)]
    more = [f"and {len(skipped) - most:,} more"] if len(skipped) > most else []
    return "; ".join(named + more)
