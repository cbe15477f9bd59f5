"""The console as a listener: what each event of a study looks like in a terminal, and elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import Progress as Bar
from rich.progress import TaskID
from rich.status import Status
from rich.text import Text

from regstudy.cli.console import err
from regstudy.cli.progress import StudyDisplay
from regstudy.errors import ArgumentError
from regstudy.search.events import (
    AnswerReady,
    EpochDone,
    Event,
    Examining,
    NothingLeft,
    Progress,
    Ready,
    StepDone,
    StudyEnded,
    StudyStarted,
    SubstituteData,
    TrialEnded,
    TrialStarted,
)
from regstudy.text import printable

LARGE_TASK = 2000  # items; the progress bar of a larger task is shown at once
BAR_DELAY = 1.0  # seconds until the progress bar of a smaller task is shown


class DryRun(Exception):
    """Ends a dry run: everything has been checked."""


class ConsoleListener:
    """Shows every event; use as a context manager around the call that sends them.

    With ``dry_run`` it raises `DryRun` before anything would be written.
    """

    def __init__(self, console: Console, *, dry_run: bool = False) -> None:
        self.console, self.dry_run = console, dry_run
        self.started: StudyStarted | None = None
        self.given_up = 0  # trials
        self._display: StudyDisplay | None = None
        self._status: Status | None = None
        self._bar = DataBar()
        self._open = ExitStack()

    def __enter__(self) -> ConsoleListener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if self._status is not None and not isinstance(event, Examining):
            self._status.stop()
            self._status = None
        match event:
            case TrialStarted() | StepDone() | EpochDone() | TrialEnded():
                if self._display is not None:
                    self._display(event)
            case Progress():
                self._bar(event)
            case Examining():
                self._examine(event)
            case SubstituteData():
                words = Panel(Text(printable(str(event))), title="Substitute data", border_style="yellow")
                self.console.print(words, soft_wrap=False)
            case StudyStarted():
                self._close()
                self.started = self.started or event  # that of the search; its confirmation follows
                self._display = self._open.enter_context(StudyDisplay(self.console, event))
            case StudyEnded():
                self._close()
                self.given_up = event.given_up
                self.console.print(str(event))
            case AnswerReady() if self.dry_run and event.problem:
                raise ArgumentError(event.problem)
            case AnswerReady() if self.dry_run:
                self.console.print(event.sheet)
            case _:
                self.given_up = event.given_up if isinstance(event, NothingLeft) else self.given_up
                self.console.print(str(event))
        if self.dry_run and isinstance(event, Ready | AnswerReady | NothingLeft):
            raise DryRun

    def _examine(self, event: Examining) -> None:
        """In a terminal, show which check is running."""
        if not self.console.is_terminal:
            return
        if self._status is None:
            self._status = self.console.status(Text(printable(str(event))))
            self._status.start()
        self._status.update(Text(printable(str(event))))

    def _close(self) -> None:
        if self._status is not None:
            self._status.stop()
        self._status = self._display = None
        self._bar.stop()
        self._open.close()


class DataBar:
    """A progress bar on stderr, if that is a terminal, while images are read or drawn."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._task = TaskID(0)
        self._label = ""
        self._began = 0.0

    def __call__(self, event: Progress) -> None:
        """Show the progress of a task that takes long; the bar disappears at its end."""
        if not sys.stderr.isatty():
            return
        if event.label != self._label:
            self.stop()
            self._label, self._began = event.label, time.monotonic()
        slow = event.total > LARGE_TASK or time.monotonic() - self._began > BAR_DELAY
        if self._bar is None and slow and event.done < event.total:
            self._bar = Bar(console=err, transient=True)
            self._task = self._bar.add_task(escape(printable(event.label)), total=event.total)
            self._bar.start()
        if self._bar is not None:
            self._bar.update(self._task, completed=event.done)
        if event.done >= event.total:
            self.stop()

    def stop(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._label = None, ""
