"""What loading images tells whoever waits for it, without knowing who that is.

Sources of images, those of a user's own included, need no argument for it: the listener belongs to the call. Notices
that nobody listens to become warnings of the logger `regstudy.data`, so that nothing is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Progress:
    """How much of a long task is done; it is over when ``done`` equals ``total``."""

    label: str
    done: int
    total: int

    def __str__(self) -> str:
        return f"{self.label}: {self.done:,} of {self.total:,}"


@dataclass(frozen=True)
class Notice:
    """Something the user should know, in a sentence or several lines; a warning must not be missed."""

    text: str
    warning: bool = False

    def __str__(self) -> str:
        return self.text


OnProgress = Callable[[Progress | Notice], None]
_listener: ContextVar[OnProgress | None] = ContextVar("regstudy_data_listener", default=None)


@contextmanager
def listening(listener: OnProgress | None) -> Iterator[None]:
    """Within this block `tell` calls the listener; with None it stays as it was."""
    if listener is None:
        yield
        return
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(event: Progress | Notice) -> None:
    """Hand an event to whoever listens; bytes of file names that are no text are written out as such."""
    if isinstance(event, Notice):
        event = replace(event, text=event.text.encode(errors="backslashreplace").decode())
    listener = _listener.get()
    if listener is not None:
        listener(event)
    elif isinstance(event, Notice):
        logging.getLogger("regstudy.data").warning(event.text)
