"""The consoles of the command line: names and messages are shown as they are, and nothing in them is a command."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from regstudy.text import printable


class PlainConsole(Console):
    """A console without markup and emoji codes, so that `[red]` and `:smile:` in a name stay what they are.

    Control characters are shown escaped: a name must not move the cursor. ``debug`` asks for whole tracebacks.
    """

    debug = False

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, soft_wrap=True, markup=False, emoji=False, highlight=False)

    def print(self, *objects: Any, **options: Any) -> None:
        """As in rich, with control characters escaped."""
        super().print(*(printable(thing) if isinstance(thing, str) else thing for thing in objects), **options)


out = PlainConsole()
err = PlainConsole(stderr=True)
