"""Proposes `data.group` from the names of files: only where the names leave little doubt.

Several images of a patient, slide or video are not independent, and their names often show it. A pattern is proposed
if it matches every file, if there are many groups in every class, and if most images share their group with another.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

SUBJECTS = (
    *("patient", "person", "subject", "participant", "volunteer", "donor", "speaker", "user", "animal", "mouse", "rat"),
    *("slide", "specimen", "sample", "case", "study", "session", "series", "video", "clip", "movie", "scene", "film"),
    *("plate", "well", "house", "building", "tree", "plant", "plot", "camera"),
)
SUBJECT = re.compile(rf"(?<![A-Za-z])((?:{'|'.join(SUBJECTS)})s?[ _-]?)\d", re.IGNORECASE)
EXPORTED_COPIES = r"([^/]+)\.rf\.[0-9A-Za-z]+\."  # Roboflow writes augmented copies of a file with its name in front
NUMBERED = r"(?:^|/)([^/]*\d[^/]*)[_-]\d{1,4}\.[^./]+$"  # slide_7_003.png: what stands before the last number
FEWEST_IMAGES = 20
FEWEST_PER_CLASS = 4  # groups, so that every class can be in both parts
LEAST_SHARED = 0.5  # share of the images whose group has another image
LARGEST_SHARE = 0.25  # of all images in one group
LEAST_NUMBERED = 0.8  # share of groups with a digit: groups are numbered, kinds of things have names


@dataclass(frozen=True)
class GroupProposal:
    """A value of `data.group`, how many groups it makes, and one of them as an example.

    It is a pattern on the paths, or a column of a table.
    """

    rule: str
    groups: int
    example: str


def propose_groups(paths: Sequence[str], labels: Sequence[int], depth: int = 1) -> GroupProposal | None:
    """The first pattern with good evidence; ``depth`` is the number of folders in a path down to the class."""
    for rule in _candidates(paths, depth):
        pattern = re.compile(rule)
        found = [match[1] if (match := pattern.search(path)) else None for path in paths]
        keys = [key for key in found if key is not None]
        if len(keys) == len(paths) and good_evidence(keys, labels):
            return GroupProposal(rule, len(set(keys)), keys[0])
    return None


def good_evidence(keys: Sequence[str], labels: Sequence[int]) -> bool:
    """Whether the group of each image looks like a group: many of them, most with several images, none too large."""
    sizes = Counter(keys)
    of_class = Counter(label for _, label in set(zip(keys, labels, strict=True)))
    return (
        len(keys) >= FEWEST_IMAGES
        and min(of_class.values()) >= FEWEST_PER_CLASS
        and sum(size for size in sizes.values() if size > 1) >= LEAST_SHARED * len(keys)
        and max(sizes.values()) <= LARGEST_SHARE * len(keys)
        and sum(any(sign.isdigit() for sign in key) for key in sizes) >= LEAST_NUMBERED * len(sizes)
    )


def _candidates(paths: Sequence[str], depth: int) -> Iterator[str]:
    for word in dict.fromkeys(match[1] for match in SUBJECT.finditer(paths[0])):
        yield rf"({re.escape(word)}\d+)".replace(r"\-", "-").replace(r"\ ", " ")
    if all(path.count("/") > depth for path in paths):
        yield rf"^(?:[^/]+/){{{depth}}}([^/]+)/"
    yield EXPORTED_COPIES
    yield NUMBERED
