"""What a study may be called: its name is also the name of its folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from regstudy.errors import ArgumentError

LONGEST_NAME = 100  # characters
STUDY_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9@._-]{{0,{LONGEST_NAME - 1}}}")


def check_name(name: str) -> None:
    """ArgumentError if a text cannot be the name of a study."""
    if not STUDY_NAME.fullmatch(name):
        raise ArgumentError(
            f"'{name}' cannot be the name of a study: use letters, digits and any of '@._-', beginning with a letter or"
            f" digit, at most {LONGEST_NAME} in all."
        )


def default_name(paths: Sequence[Path]) -> str:
    """The name of a comparison of these files: ``compare-`` with their stems, cut to what a study's name may have."""
    stems = dict.fromkeys(path.stem for path in paths)
    return re.sub(r"[^A-Za-z0-9@._-]+", "-", "compare-" + "-".join(stems))[:LONGEST_NAME]


def substitute_name(name: str, data: str) -> str:
    """The name of a study on a substitute data set."""
    suffix = f"@{data}"
    return name[: LONGEST_NAME - len(suffix)] + suffix
