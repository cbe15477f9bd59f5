"""Picture files of any data set: decoded once into the cache of pixels, without those that cannot be read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from regstudy.config.schema import Data
from regstudy.data.decoding import FORMATS, FORMATS_OF_RULE_1, Pixels, Policy
from regstudy.data.file_digests import digested
from regstudy.data.file_rule import LATEST_RULE
from regstudy.data.folder_walk import printable
from regstudy.data.image_set import ImageSet
from regstudy.data.loading_events import Notice, tell
from regstudy.data.pixel_cache import Skipped, load_pixels, skipped_path
from regstudy.text import counted

DEFAULT_SIZE = 64
FILES_IN_ERROR = 10  # unreadable files that an error names
FILES_IN_NOTICE = 3  # skipped files that a notice names


def policy_of(config: Data, rule: int = LATEST_RULE) -> Policy:
    """How picture files become squares under a configuration.

    Earlier rules for files tried fewer formats, which matters only where files are skipped that could be read today.
    """
    formats = FORMATS_OF_RULE_1 if rule == 1 and config.unreadable == "skip" else FORMATS
    return Policy(config.size or DEFAULT_SIZE, config.fit, formats, config.channels or 3)


@dataclass(frozen=True)
class Decoded:
    """The pixels of the readable files, the reason by name for the others, and the file that lists those."""

    pixels: Pixels
    skipped: Skipped
    listed: Path

    def error_words(self, total: int, where: object) -> str:
        """How many files cannot be read, which, and why."""
        return (
            f"{len(self.skipped):,} of {counted(total, 'image')} in {where} cannot be read:"
            f" {_named(self.skipped, FILES_IN_ERROR)}. The full list is in {self.listed}."
        )

    def tell_skipped(self, where: object) -> None:
        """Say which files were skipped, if any."""
        if self.skipped:
            words = f"Skipped {counted(len(self.skipped), 'unreadable file')} in {where}:"
            words += f" {_named(self.skipped, FILES_IN_NOTICE)}. The full list is in {self.listed}."
            tell(Notice(words, warning=True))

    def without_skipped(self, names: Sequence[str], labels: Sequence[int], classes: tuple[str, ...]) -> ImageSet:
        """The readable files with their labels."""
        kept = [(name, label) for name, label in zip(names, labels, strict=True) if name not in self.skipped]
        numbers = torch.tensor([label for _, label in kept], dtype=torch.int64)
        return ImageSet(torch.from_numpy(self.pixels), numbers, classes, tuple(name for name, _ in kept))


def decoded(root: Path, names: Sequence[str], place: str, policy: Policy, cache: Path) -> Decoded:
    """The pixels of the files with these names below ``root``.

    ``place`` tells this set of files from others in the index of known files, which lies in ``cache`` with the pixels.
    """
    index = hashlib.sha256(os.fsencode(place)).hexdigest()[:24]
    files = digested(root, names, cache / f"{index}.files.json")
    pixels, skipped = load_pixels(files, policy, cache)
    return Decoded(pixels, skipped, skipped_path(files, policy, cache))


def _named(skipped: Skipped, most: int) -> str:
    named = [f"{printable(name)} ({reason})" for name, reason in islice(skipped.items(), most)]
    more = [f"and {len(skipped) - most:,} more"] if len(skipped) > most else []
    return "; ".join(named + more)
