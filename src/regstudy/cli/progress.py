"""The progress display while trials run: live bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn

from regstudy.analysis.next_trials import NEXT
from regstudy.cli.console import PlainConsole
from regstudy.metrics import metric
from regstudy.search.events import (
    AblationStarted,
    ConfirmationStarted,
    EpochDone,
    PilotStarted,
    StepDone,
    StudyStarted,
    TrialEnded,
    TrialEvent,
    TrialStarted,
)
from regstudy.search.worth import ahead_words
from regstudy.study.ranking import within
from regstudy.text import format_duration, printable

# what runs, the special before the general
WHAT = {PilotStarted: "pilot", AblationStarted: "ablation", ConfirmationStarted: "confirmation", StudyStarted: "study"}
PLAIN_EPOCH_EVERY = 15.0  # seconds between epoch lines without a terminal
AHEAD_EVERY = 5  # trials between lines about what the next ones would gain


class StudyDisplay:
    """Follows the trials of a study; use as a context manager around them.

    The count and the time left are those of the whole study, which other processes may work on as well.
    """

    def __init__(self, console: Console, started: StudyStarted) -> None:
        self.console, self.trials, self.finished = console, started.total, started.finished
        self.per_trial, self.metric, self.best = started.per_trial, started.metric, started.best
        self.gap_at_most = started.gap_at_most
        self.confirms = isinstance(started, ConfirmationStarted)
        self.what = next(what for kind, what in WHAT.items() if isinstance(started, kind))
        self.began = self.line_at = time.monotonic()
        self.before = started.finished  # when the display began
        self.running: dict[int, TrialStarted] = {}  # by worker
        self.epochs: dict[int, int] = {}  # finished epochs of each worker's trial
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
        )
        self.study_task = self.bar.add_task("study", total=self.trials, completed=self.finished, note="")
        self.tasks = [self.bar.add_task("", total=1, note="", visible=False) for _ in range(started.workers)]
        self.live = Live(self.bar, console=console, refresh_per_second=4) if console.is_terminal else None

    def __enter__(self) -> StudyDisplay:
        if self.live:
            self._refresh()
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()

    def __call__(self, event: TrialEvent) -> None:
        """Record an event and show it."""
        task = self.tasks[event.worker]
        match event:
            case TrialStarted():
                self.running[event.worker], self.epochs[event.worker] = event, 0
                name = printable(event.name)
                total = event.epochs * max(event.folds, 1)
                self.bar.update(task, total=total, completed=0, description=name, note="", visible=True)
            case StepDone():
                self.bar.update(task, completed=self.epochs.get(event.worker, 0) + event.done / event.total)
            case EpochDone():
                self.epochs[event.worker] = event.record.epoch + self._in_earlier_folds(event)
                note = f"{_fold_words(event)}epoch {event.record.epoch}  {event.words}"
                self.bar.update(task, completed=self.epochs[event.worker], note=note)
                self._plain_epoch(event)
            case TrialEnded():
                self.running.pop(event.worker, None)
                self._end(event)
        self._refresh()

    def _in_earlier_folds(self, event: EpochDone) -> int:
        """The planned epochs of the folds before; early stopping may have ended them sooner."""
        trial = self.running.get(event.worker)
        return trial.epochs * (event.fold - 1) if trial and event.fold else 0

    def _end(self, event: TrialEnded) -> None:
        known = self.finished
        if event.outcome != "failed":
            self.finished = known + 1 if event.finished is None else max(known, event.finished)
        if event.outcome in ("finished", "stopped") and self._allowed(event):
            self.best = event.value if self.best is None else self._better(self.best, event.value)
        self.console.print(self._line(event))
        passed = self.finished // AHEAD_EVERY > known // AHEAD_EVERY  # others may have finished some in between
        if event.ahead is not None and (passed or known < self.finished == self.trials):
            self.console.print(f"          {ahead_words(event.ahead, metric(self.metric))}{self._for_them()}")
        if event.trace and isinstance(self.console, PlainConsole) and self.console.debug:
            self.console.print(event.trace)

    def _allowed(self, event: TrialEnded) -> bool:
        """Whether a trial keeps the study's limit on the gap."""
        if self.gap_at_most is None or self.confirms:
            return True
        return event.best is not None and within(event.best.gap(metric(self.metric)), self.gap_at_most)

    def _better(self, one: float, other: float) -> float:
        return other if metric(self.metric).better(other, one) else one

    def _line(self, event: TrialEnded) -> str:
        count = f"[{self.finished}/{self.trials}]"
        line = f"{count:>9} {event}"
        if event.best is None:
            return line
        if self.confirms:
            return f"{line}  {format_duration(event.seconds)}{self._left()}"
        return f"{line}  best so far {self._value()}  {format_duration(event.seconds)}{self._left()}"

    def _plain_epoch(self, event: EpochDone) -> None:
        """Without a terminal, print a line now and then so that slow trials do not look stuck."""
        trial = self.running.get(event.worker)
        if self.live or time.monotonic() - self.line_at < PLAIN_EPOCH_EVERY or not trial:
            return
        self.line_at = time.monotonic()
        name = trial.arm if trial.confirms else f"trial {trial.number}"
        where = f"          {name} {_fold_words(event)}epoch {event.record.epoch}/{trial.epochs}"
        self.console.print(f"{where}  {event.words}")

    def _for_them(self) -> str:
        """The time that the next trials would take at the pace so far."""
        pace = self._pace()
        return "" if pace is None else f", {format_duration(NEXT * pace)}"

    def _left(self) -> str:
        """Estimated time left at the pace so far; empty if nothing is left or the pace is unknown."""
        pace = self._pace()
        rest = (self.per_trial if pace is None else pace) * (self.trials - self.finished)
        return f", about {format_duration(rest)} left" if rest > 0 else ""

    def _pace(self) -> float | None:
        """Seconds from one finished trial of the study to the next, whoever ran them; None before one is finished."""
        ended = self.finished - self.before
        return (time.monotonic() - self.began) / ended if ended else None

    def _value(self) -> str:
        if self.best is None:
            return "–"
        return f"{self.best:.1%}" if metric(self.metric).percent else f"{self.best:.4f}"

    def _refresh(self) -> None:
        best = "" if self.confirms else f"best validation {metric(self.metric).label} {self._value()}"
        what = self.what
        self.bar.update(
            self.study_task,
            completed=self.finished,
            description=f"{what} {self.finished}/{self.trials}",
            note=f"{best}{self._left()}".removeprefix(", "),
        )


def _fold_words(event: EpochDone) -> str:
    return f"fold {event.fold} " if event.fold else ""
