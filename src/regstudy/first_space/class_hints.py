"""What the names of classes say about augmentation: digits and sides must not be mirrored, colors must stay."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
SIDES = ("left", "right", "clockwise", "counterclockwise", "anticlockwise", "links", "rechts", "mirrored", "flipped")
COLORS = (
    *(
        "red",
        "green",
        "blue",
        "yellow",
        "orange",
        "purple",
        "violet",
        "brown",
        "pink",
        "black",
        "white",
        "gray",
        "grey",
    ),
    *("ripe", "unripe", "dark", "bright", "light"),
)
DIGIT_OR_LETTER = re.compile(r"(?:digit|number|num|letter|class|char|sample)?[ _-]?0*(?:\d|[a-z])")


def harmful(classes: Sequence[str]) -> dict[str, str]:
    """The operations that the names of the classes speak against, each with the reason."""
    names = [name.lower() for name in classes]
    words = [set(re.split(r"[^a-z]+", name)) for name in names]
    found = {}
    if all(DIGIT_OR_LETTER.fullmatch(name) or name in NUMBERS for name in names):
        found["flip"] = "the classes look like digits or letters, and mirrored ones are no longer the same"
    elif _any(words, SIDES):
        found["flip"] = f"the class '{_any(words, SIDES)}' seems to name a side, and mirroring exchanges sides"
    named = [word for word in COLORS if _any(words, (word,))]
    if len(named) > 1:
        found["color"] = f"the classes seem to differ in color ({', '.join(named[:3])})"
    return found


def _any(words: Iterable[set[str]], wanted: Sequence[str]) -> str:
    return next((word for word in wanted if any(word in one for one in words)), "")
