"""Options that take one of some names: a wrong one is told with what is allowed and the nearest valid name.

Typer checks a Literal by itself, but its message lacks the nearest name and begins differently in each of its versions.
What a parser raises must not be a ValueError such as ArgumentError: typer would put words of its own before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import typer

from regstudy.config.device_names import DEVICES, device_problem
from regstudy.errors import RegstudyError, did_you_mean, unknown
from regstudy.text import shortened


def name_option(kind: str, names: Sequence[str], option: str, **settings: Any) -> Any:
    """`typer.Option` for one of these names; ``kind`` is what messages call it, such as pruner."""

    def problem(text: str) -> str | None:
        return None if text in names else f"{option[2:]} ({option}): {unknown(kind, text, names)}"

    return _option(names, option, problem, **settings)


def device_option(**settings: Any) -> Any:
    """`typer.Option` for a device."""
    return _option(sorted(DEVICES), "--device", device_problem, **settings)


def number_or_auto(most: int, option: str, **settings: Any) -> Any:
    """`typer.Option` for auto or a whole number from 1."""

    def number(text: str) -> int | str:
        if text == "auto":
            return text
        if not text.isascii() or not text.isdigit() or len(text) > len(str(most)) or not 1 <= int(text) <= most:
            raise RegstudyError(
                f"{option[2:]} ({option}): must be auto or a whole number from 1 to {most}, but it is"
                f" {shortened(text)}.{did_you_mean(text, ['auto'])}"
            )
        return int(text)

    return typer.Option(option, parser=number, metavar="N|auto", **settings)


def _option(names: Sequence[str], option: str, problem: Callable[[str], str | None], **settings: Any) -> Any:
    def name(text: str) -> str:
        if found := problem(text):
            raise RegstudyError(found)
        return text

    def offered(incomplete: str) -> list[str]:
        return [one for one in names if one.startswith(incomplete)]

    return typer.Option(option, parser=name, metavar="|".join(names), autocompletion=offered, **settings)
