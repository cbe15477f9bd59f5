"""Durations, counts and foreign text in human-readable form."""

from __future__ import annotations

import re

from regstudy.errors import ArgumentError

# control characters but for tab and new line, marks that reverse the direction of text, and halves of characters
UNPRINTABLE = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ud800-\\udfff]"
)
SECONDS_PER_UNIT = {"h": 3600, "m": 60, "s": 1}


def parse_duration(text: str) -> float:
    """Seconds of a duration such as 90s, 30m, 2h or 1h30m."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ArgumentError(f"'{text}' is not a duration. Write it as 90s, 30m, 2h or 1h30m.")
    return sum(float(number) * SECONDS_PER_UNIT[unit] for number, unit in parts)


def format_duration(seconds: float) -> str:
    """Seconds in the two largest units that matter: 45 s, 12 min 5 s, 3 h 20 min."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def format_bytes(number: float) -> str:
    """Bytes with a unit, as in 700 MB and 85.2 GB; decimal units, as on the box of a card."""
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if number >= 0.9995 * size:
            return f"{number / size:,.1f} {unit}"
    return f"{number / 1e6:.0f} MB"


def sentence(text: str) -> str:
    """A text of unknown origin as a sentence, with a single mark at its end."""
    text = text.strip()
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def counted(count: int, noun: str) -> str:
    """A number with its noun, as in 1 trial and 2,000 trials."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def printable(text: str) -> str:
    """A text with escapes such as ``\\x1b`` for control characters, which would command the terminal."""
    return UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape", "surrogatepass").decode(), text)


def shortened(value: object, length: int = 80) -> str:
    """A value as Python writes it, cut off if it is long."""
    try:
        shown = repr(value)
    except ValueError:  # Python refuses to write numbers of thousands of digits
        return "a number of thousands of digits"
    return shown if len(shown) <= length else f"{shown[: length - 1]}…"


def listing(items: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else "none"
