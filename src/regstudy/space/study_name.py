"""Valid names of studies; the name is also that of the study's folder."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from regstudy.errors import ArgumentError

MAX_STUDY_NAME_LENGTH = 100
# These end the names of companions; those users give have no slash.
CONFIRMATION, ABLATION, PILOT = "/confirmation", "/ablation", "/pilot"
STUDY_NAME_PATTERN = re.compile(rf"[A-Za-z0-9][A-Za-z0-9@._-]{{0,{MAX_STUDY_NAME_LENGTH - 1}}}")


def check_name(name: str) -> None:
    """ArgumentError if a text cannot be the name of a study."""
    if not STUDY_NAME_PATTERN.fullmatch(name):
        raise ArgumentError(
            f"'{name}' is not a valid study name. Use at most {MAX_STUDY_NAME_LENGTH} letters, digits and characters of"
            " '@._-', starting with a letter or digit."
        )


def is_companion(name: str) -> bool:
    """Whether a study holds confirmation, ablation or pilot runs of another one, which may have been deleted."""
    return name.endswith((CONFIRMATION, ABLATION, PILOT))


def name_of_file(name: str) -> str:
    """The name of a study of a space: that of its file, with other characters than allowed ones replaced."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9@._-]+", "-", letters).lstrip("@._-")[:MAX_STUDY_NAME_LENGTH] or "study"


def default_name(paths: Sequence[Path]) -> str:
    """The name of a comparison of these files: ``compare-`` with their stems, truncated to the maximum length."""
    stems = dict.fromkeys(path.stem for path in paths)
    return re.sub(r"[^A-Za-z0-9@._-]+", "-", "compare-" + "-".join(stems))[:MAX_STUDY_NAME_LENGTH]


def substitute_name(name: str, data: str) -> str:
    """The name of a study on a substitute data set."""
    suffix = f"@{data}"
    return name[: MAX_STUDY_NAME_LENGTH - len(suffix)] + suffix
