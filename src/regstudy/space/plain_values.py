"""What every tree of values must be before its meaning is looked at: plain, finite and of a moderate size.

All problems are found in one pass, so that what comes after may rely on text keys and ordinary numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

from regstudy.errors import Problem
from regstudy.text import UNPRINTABLE, shortened

DEEPEST = 20  # levels of nesting
MOST_VALUES = 5_000  # the largest space so far has about 100
MOST_TEXT = 10_000  # characters of a single text
LARGEST = 2**64  # whole numbers beyond are of no use to torch or a database


def plain_problems(tree: Any, path: str = "") -> list[Problem]:
    """Problems of nested mappings, lists and values: wrong kinds, keys that are not text, infinity."""
    problems: list[Problem] = []
    count = sum(1 for _ in islice(_values(tree, path, 1, problems), MOST_VALUES + 1))
    if count > MOST_VALUES:
        problems.append(Problem(path, f"holds more than {MOST_VALUES:,} values, which is too many for a space."))
    return problems


def _values(value: Any, path: str, level: int, problems: list[Problem]) -> Iterator[None]:
    """One item per value in a tree; appends the problems of each."""
    yield
    if isinstance(value, dict | list | tuple) and level > DEEPEST:
        problems.append(Problem(path[:200], f"is nested more than {DEEPEST} levels deep."))
    elif isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                number = isinstance(key, int | float) and not isinstance(key, bool)
                hint = f" Write it in quotes: '{shortened(key)}'." if number else ""
                problems.append(Problem(path, f"the key {shortened(key)} is not text.{hint}"))
            elif wrong := _text_problem(key):
                problems.append(Problem(path, f"the key {shortened(key)} {wrong}."))
            else:
                yield from _values(inner, f"{path}.{key}" if path else key, level + 1, problems)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _values(inner, path, level + 1, problems)
    elif wrong := _problem(value):
        problems.append(Problem(path, f"{wrong}."))


def _problem(value: Any) -> str | None:
    """What is wrong with a single value, if anything."""
    if isinstance(value, str):
        wrong = _text_problem(value)
        return f"the text {shortened(value)} {wrong}" if wrong else None
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if abs(value) < LARGEST else f"must be a number of at most {LARGEST:,}, but it has more digits"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"must be a finite number, but it is {value}"
    return (
        f"must be text, a number, true, false, null, a list or a mapping, but it is of the type {type(value).__name__}"
    )


def _text_problem(text: str) -> str | None:
    """What is wrong with a text, if anything."""
    if len(text) > MOST_TEXT:
        return f"is longer than {MOST_TEXT:,} characters"
    found = UNPRINTABLE.search(text)
    return f"holds a control character, {found.group()!r}" if found else None
