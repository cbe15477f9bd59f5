"""Events while images are loaded.

Sources of images, including user-defined ones, need no argument for this: the listener is a context variable. Notices
without a listener become warnings of the logger `regstudy.data`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Progress:
    """Progress of a long task, which ends when ``done`` equals ``total``."""

    label: str
    done: int
    total: int

    def __str__(self) -> str:
        return f"{self.label}: {self.done:,} of {self.total:,}"


@dataclass(frozen=True)
class Notice:
    """Something the user should know, in one or more lines."""

    text: str
    warning: bool = False

    def __str__(self) -> str:
        return self.text


OnProgress = Callable[[Progress | Notice], None]
_listener: ContextVar[OnProgress | None] = ContextVar("regstudy_data_listener", default=None)


@contextmanager
def listening(listener: OnProgress | None) -> Iterator[None]:
    """Within this block `tell` calls the listener; None keeps the current listener."""
    if listener is None:
        yield
        return
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(event: Progress | Notice) -> None:
    """Send an event to the listener; undecodable bytes of file names are escaped."""
    if isinstance(event, Notice):
        event = replace(event, text=event.text.encode(errors="backslashreplace").decode())
    listener = _listener.get()
    if listener is not None:
        listener(event)
    elif isinstance(event, Notice):
        logging.getLogger("regstudy.data").warning(event.text)
