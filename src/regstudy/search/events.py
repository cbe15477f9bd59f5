"""What a running study tells whoever watches it; as text, each event is what a person would want to read.

A listener is any function that takes an event. What it raises ends the study at once; until `Ready` or `NothingLeft`
has been handled nothing is written, so raising there is the way to look at a study's cost without starting it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from regstudy.data.loading_events import Notice as Notice
from regstudy.data.loading_events import Progress as Progress
from regstudy.records import EpochRecord
from regstudy.space.plan import PlanKind
from regstudy.study.place import StudyPlace
from regstudy.text import counted, format_duration

HOUR = 3600.0


@dataclass(frozen=True)
class SubstituteData:
    """The images asked for cannot be had, so the study uses others."""

    used: str
    why: str

    def __str__(self) -> str:
        return (
            f"{self.why}\n\nThis study therefore uses {self.used} instead, and everything it writes says so. Its"
            " figures say nothing about the data set you asked for."
        )


@dataclass(frozen=True)
class Examining:
    """The doctor began a check."""

    subject: str
    check: str

    def __str__(self) -> str:
        return f"Examining {self.subject}: {self.check} …"


@dataclass(frozen=True)
class Cost:
    """What one arm costs: seconds of an epoch, epochs of a run, parameters of the network, those that are trained."""

    seconds: float
    epochs: int
    parameters: int
    trained: int

    @property
    def per_trial(self) -> float:
        """Seconds of a run that is neither stopped early nor pruned."""
        return self.seconds * self.epochs


@dataclass(frozen=True)
class Ready:
    """Everything is checked and nothing written yet. ``left``: trials still to be run, by arm."""

    kind: PlanKind
    costs: Mapping[str, Cost]
    left: Mapping[str, int]

    @property
    def seconds(self) -> float:
        """Estimated seconds of all trials one after the other."""
        return sum(cost.per_trial * self.left[name] for name, cost in self.costs.items())

    def __str__(self) -> str:
        return self._of_a_search() if self.kind == "search" else "\n".join(self._of_a_comparison())

    def _of_a_search(self) -> str:
        (cost,) = self.costs.values()
        trials, length = counted(sum(self.left.values()), "trial"), counted(cost.epochs, "epoch")
        return (
            f"Cost: {format_duration(cost.seconds)} per epoch at the defaults, so about"
            f" {format_duration(self.seconds)} for {trials} of {length}; early stopping and pruning usually save part"
            f" of it. {_in_an_hour(cost.per_trial)}"
        )

    def _of_a_comparison(self) -> list[str]:
        lines = []
        for name, cost in self.costs.items():
            frozen = "" if cost.trained == cost.parameters else f", {cost.trained:,} of them trained"
            lines.append(
                f"  {name}: {cost.parameters:,} parameters{frozen}, {format_duration(cost.seconds)} per epoch,"
                f" {counted(self.left[name], 'run')} of {counted(cost.epochs, 'epoch')}"
            )
        runs = counted(sum(self.left.values()), "run")
        return [*lines, f"Cost: about {format_duration(self.seconds)} for {runs}; early stopping may save part."]


def _in_an_hour(per_trial: float) -> str:
    fitting = int(HOUR / per_trial)
    if fitting >= 1:
        return f"An hour allows for {counted(fitting, 'such trial')}."
    return (
        "One trial takes more than an hour: fewer epochs or images would help (--set training.epochs=…,"
        " data.train_limit=…)."
    )


@dataclass(frozen=True)
class NothingLeft:
    """The study has all its trials already; nothing is written yet."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class StudyStarted:
    """Trials are about to run. ``per_trial`` is the estimate in seconds from one trial's end to the next."""

    place: StudyPlace
    total: int
    finished: int
    best: float | None
    metric: str
    workers: int
    per_trial: float

    def __str__(self) -> str:
        return f"Running {self.place}: {self.finished} of {counted(self.total, 'trial')} are finished."


@dataclass(frozen=True)
class TrialStarted:
    """A worker took a slot."""

    worker: int
    number: int
    slot: int
    arm: str
    epochs: int

    def __str__(self) -> str:
        return f"trial {self.number:<3} {self.arm:<8} began, {counted(self.epochs, 'epoch')} at most"


@dataclass(frozen=True)
class StepDone:
    """Images trained on in the current epoch, of how many."""

    worker: int
    done: int
    total: int

    def __str__(self) -> str:
        return f"worker {self.worker}: {self.done:,} of {counted(self.total, 'image')}"


@dataclass(frozen=True)
class EpochDone:
    """An epoch's record."""

    worker: int
    number: int
    record: EpochRecord

    def __str__(self) -> str:
        return f"trial {self.number:<3} epoch {self.record.epoch:>3}: {self.record.in_words}"


@dataclass(frozen=True)
class TrialEnded:
    """How a trial ended; ``value`` is its objective, NaN if it failed."""

    worker: int
    number: int
    slot: int
    arm: str
    outcome: str
    reason: str
    value: float
    best: EpochRecord | None
    epochs: int
    seconds: float

    def __str__(self) -> str:
        head = f"trial {self.number:<3} {self.arm:<8} {self.outcome:<8}"
        if self.best is None:
            return f"{head} {self.reason}"
        return f"{head} {self.epochs:>2} epochs, best {self.best.epoch:>2}: {self.best.in_words}"


@dataclass(frozen=True)
class StudyEnded:
    """No trial runs any more, for the reason given; ``left`` of the total may still be run."""

    why: Literal["complete", "interrupted", "budget", "others"]
    total: int
    finished: int
    left: int
    given_up: int
    repeated: int  # failed attempts

    def __str__(self) -> str:
        lines = []
        if self.repeated:
            lines.append(f"{self.repeated} attempts failed and were repeated; the report lists why.")
        if self.given_up:
            lines.append(f"{self.given_up} of {self.total} trials were given up after repeated failures.")
        if not self.left:
            if self.given_up:
                return "\n".join([*lines, f"{self.finished} of {self.total} trials are finished."])
            return "\n".join(
                [*lines, f"All {self.finished} trials are finished." if self.finished > 1 else "Finished."]
            )
        why = {"interrupted": "Interrupted", "budget": "The budget is spent"}.get(self.why, "Others still run")
        words = f"{why}: {self.left} of {self.total} trials are left. Run the same command again to resume."
        return "\n".join([*lines, words])


TrialEvent = TrialStarted | StepDone | EpochDone | TrialEnded
Event = Notice | Progress | SubstituteData | Examining | Ready | NothingLeft | StudyStarted | TrialEvent | StudyEnded
Listener = Callable[[Event], None]


class Heard:
    """A listener whose own errors can be told from those of what it listens to."""

    def __init__(self, listen: Listener) -> None:
        self.listen = listen
        self.error: Exception | None = None

    def __call__(self, event: Event) -> None:
        """Hand the event on, and remember what that raised."""
        try:
            self.listen(event)
        except Exception as error:
            self.error = error
            raise
