"""One's own images: ``<root>/<class>/*`` or ``<root>/{train,val,test}/<class>/*``, decoded once to RGB squares.

`regstudy.data.folder_layout` says which files belong where, `regstudy.data.decoding` what becomes of each, and
`regstudy.data.pixel_cache` how the pixels are kept in ``data_dir/image_folder`` and found again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch

from regstudy.config.schema import Data
from regstudy.data.decoding import Policy
from regstudy.data.file_digests import File, digested
from regstudy.data.folder_layout import Found, find_part
from regstudy.data.image_set import ImageSet
from regstudy.data.loading_events import Notice, tell
from regstudy.data.pixel_cache import Skipped, find_pixels, load_pixels, skipped_path
from regstudy.errors import DataError
from regstudy.text import counted

DEFAULT_SIZE = 64
NAMED = 10  # unreadable files that an error names
NAMED_IN_PASSING = 3  # and a line about skipped ones


def load(part: str, config: Data, data_dir: Path) -> ImageSet | None:
    """Part `train`, `validation` or `test`, 3 channels; None if the folder has no such part.

    Raises DataError if the folder, a file or the data directory cannot be used. Under ``data.unreadable: skip`` files
    that cannot be decoded are left out, and listeners are told their names.
    """
    found = _find(part, config)
    if found is None:
        return None
    files, policy, cache = _digested(found, data_dir), _policy(config), _cache(data_dir)
    pixels, skipped = load_pixels(files, policy, cache)
    kept = [(name, label) for name, label in zip(found.names, found.labels, strict=True) if name not in skipped]
    if skipped:
        listed = skipped_path(files, policy, cache)
        if config.unreadable == "error" or len({label for _, label in kept}) < len(found.classes):
            raise _unreadable(found, skipped, listed)
        count = counted(len(skipped), "unreadable file")
        words = f"skipped {count} in {found.folder}: {_named(skipped, NAMED_IN_PASSING)}. All are listed in {listed}."
        tell(Notice(words, warning=True))
    labels = torch.tensor([label for _, label in kept], dtype=torch.int64)
    return ImageSet(torch.from_numpy(pixels), labels, found.classes, tuple(name for name, _ in kept))


def skipped_files(config: Data, data_dir: Path, parts: Sequence[str] = ("train", "validation")) -> list[str]:
    """The files that `load` left out of these parts, as in ``cat/3.png (truncated)``; decodes nothing."""
    lines: list[str] = []
    for found in filter(None, (_find(part, config) for part in parts)):
        kept = find_pixels(_digested(found, data_dir), _policy(config), _cache(data_dir))
        lines += [f"{name} ({reason})" for name, reason in kept[1].items()] if kept else []
    return lines


def _policy(config: Data) -> Policy:
    return Policy(config.size or DEFAULT_SIZE, config.fit)


def _cache(data_dir: Path) -> Path:
    return data_dir / "image_folder"


def _digested(found: Found, data_dir: Path) -> list[File]:
    place = hashlib.sha256(os.fsencode(found.folder.absolute())).hexdigest()[:24]
    return digested(found.root, found.names, _cache(data_dir) / f"{place}.files.json")


def _find(part: str, config: Data) -> Found | None:
    if config.root is None:
        raise DataError("data.root is missing: the folder with one sub-folder of images per class.")
    return find_part(part, config.root)


def _unreadable(found: Found, skipped: Skipped, listed: Path) -> DataError:
    """The error about files that cannot be decoded, and about classes that would be empty without them."""
    readable = {label for name, label in zip(found.names, found.labels, strict=True) if name not in skipped}
    lost = [f"'{name}'" for label, name in enumerate(found.classes) if label not in readable]
    way_out = (
        f"Without them there would be no image of {', '.join(lost)}, so they cannot be skipped: mend or replace them."
        if lost
        else "Mend or remove them, or set data.unreadable: skip to go on without them."
    )
    return DataError(
        f"{len(skipped):,} of {counted(len(found.names), 'image')} in {found.folder} cannot be read:"
        f" {_named(skipped, NAMED)}. All are listed in {listed}. {way_out}"
    )


def _named(skipped: Skipped, most: int) -> str:
    named = [f"{name} ({reason})" for name, reason in islice(skipped.items(), most)]
    more = [f"and {len(skipped) - most:,} more"] if len(skipped) > most else []
    return "; ".join(named + more)
