"""Ctrl-C and SIGTERM as requests to stop, in a process that has workers and in the workers themselves.

A terminal sends Ctrl-C, and a cluster SIGTERM, to all processes at once, also to those that are just starting. So the
processes that are started within `signals_held_back` do not see either before they have called `serve_parent`.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from types import FrameType

BOTH = {signal.SIGINT, signal.SIGTERM}


@dataclass
class Interrupts:
    """How often Ctrl-C was pressed; from the second time on it raises KeyboardInterrupt, unless that is put off."""

    asked: int = 0
    put_off: bool = False

    def note(self, _number: int, _frame: FrameType | None) -> None:
        """The handler of SIGINT."""
        self.asked += 1
        self._heed()

    @contextmanager
    def later(self) -> Iterator[None]:
        """What must not be torn apart: KeyboardInterrupt is raised at its end."""
        self.put_off = True
        try:
            yield
        finally:
            self.put_off = False
        self._heed()

    def _heed(self) -> None:
        if self.asked > 1 and not self.put_off:
            raise KeyboardInterrupt


@contextmanager
def noting_interrupts() -> Iterator[Interrupts]:
    """Within the block the first Ctrl-C is only noted. Outside the main thread nobody can be asked to stop."""
    noted = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = signal.signal(signal.SIGINT, noted.note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


@contextmanager
def signals_held_back() -> Iterator[None]:
    """Processes that are started here get no Ctrl-C and no SIGTERM until they call `serve_parent`."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # `multiprocessing` would start it now, which ends the blocking
    before = signal.pthread_sigmask(signal.SIG_BLOCK, BOTH)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serve_parent() -> Interrupts:
    """In a worker process: its parent decides about Ctrl-C, while SIGTERM is noted once and ends it the second time."""
    noted = Interrupts()

    def note(_number: int, _frame: FrameType | None) -> None:
        noted.asked += 1
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, note)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BOTH)
    return noted
