"""The words by which tables and data sets of the user's own call their parts."""

from __future__ import annotations

PART_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing", "holdout"),
}


def part_of(word: str) -> str | None:
    """The part that a word means, whatever the case of its letters; None if it means none."""
    return next((part for part, words in PART_WORDS.items() if word.strip().lower() in words), None)
