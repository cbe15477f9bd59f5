"""The events of a running study; ``str(event)`` is a text for people.

A listener is any function that takes an event. An exception in it ends the study at once. Nothing is written until
`Ready` or `NothingLeft` has been handled, so raise there to see a study's cost without starting it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from regstudy.analysis.next_trials import NextTrials
from regstudy.data.loading_events import Notice as Notice
from regstudy.data.loading_events import Progress as Progress
from regstudy.records import EpochRecord
from regstudy.space.plan import PlanKind
from regstudy.study.place import StudyPlace
from regstudy.text import counted, format_duration

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class SubstituteData:
    """The requested images are unavailable, so the study uses other ones."""

    used: str
    why: str

    def __str__(self) -> str:
        return (
            f"{self.why}\n\nThis study uses {self.used} instead, and all its output says so. Its results say nothing"
            " about"
            " the data set you asked for."
        )


@dataclass(frozen=True)
class Examining:
    """The doctor started a check."""

    subject: str
    check: str

    def __str__(self) -> str:
        return f"Checking {self.subject}: {self.check} …"


@dataclass(frozen=True)
class Cost:
    """Cost of one arm: seconds per epoch, epochs per run, parameters of the network, trainable parameters, folds."""

    seconds: float
    epochs: int
    parameters: int
    trained: int
    folds: int = 0

    @property
    def per_trial(self) -> float:
        """Seconds of a trial that is neither stopped early nor pruned."""
        return self.seconds * self.epochs * max(self.folds, 1)

    @property
    def length(self) -> str:
        """The length of a trial in words."""
        epochs = counted(self.epochs, "epoch")
        return f"{self.folds} folds with {epochs} each" if self.folds else epochs


@dataclass(frozen=True)
class Ready:
    """All checks passed; nothing is written yet. ``left``: trials to run, by arm; ``confirm``: runs after them."""

    kind: PlanKind
    costs: Mapping[str, Cost]
    left: Mapping[str, int]
    confirm: int = 0

    @property
    def seconds(self) -> float:
        """Estimated seconds for all trials, run one after another."""
        return sum(cost.per_trial * (self.left[name] + self.confirm) for name, cost in self.costs.items())

    def __str__(self) -> str:
        if self.kind in ("confirmation", "ablation"):
            return self._of_a_confirmation()
        return self._of_a_search() if self.kind == "search" else "\n".join(self._of_a_comparison())

    def _of_a_confirmation(self) -> str:
        runs, (cost,) = counted(sum(self.left.values()), "run"), self.costs.values()
        if math.isnan(cost.seconds):
            return f"To run: {runs} of {cost.length}."
        return (
            f"Estimated cost: about {format_duration(self.seconds)} for {runs}, by what the trials of the search took."
        )

    def _of_a_search(self) -> str:
        (cost,) = self.costs.values()
        left, length = sum(self.left.values()), cost.length
        parts = [counted(left, "trial")] if left or not self.confirm else []
        trials = " and ".join([*parts, *([counted(self.confirm, "confirmation run")] if self.confirm else [])])
        return (
            f"Estimated cost: {format_duration(cost.seconds)} per epoch at the default settings, about"
            f" {format_duration(self.seconds)} for {trials} of {length}. Early stopping and pruning usually save part"
            f" of it. {_in_an_hour(cost.per_trial)}"
        )

    def _of_a_comparison(self) -> list[str]:
        lines = []
        for name, cost in self.costs.items():
            frozen = "" if cost.trained == cost.parameters else f", {cost.trained:,} of them trainable"
            lines.append(
                f"  {name}: {cost.parameters:,} parameters{frozen}, {format_duration(cost.seconds)} per epoch,"
                f" {counted(self.left[name], 'run')} of {cost.length}"
            )
        runs = counted(sum(self.left.values()), "run")
        return [
            *lines,
            f"Estimated cost: about {format_duration(self.seconds)} for {runs}. Early stopping may save part of it.",
        ]


def _in_an_hour(per_trial: float) -> str:
    fitting = int(SECONDS_PER_HOUR / per_trial)
    if fitting >= 1:
        return f"One hour is enough for {counted(fitting, 'trial')}."
    return (
        "One trial takes more than an hour. Fewer epochs or images would help: set training.epochs or data.train_limit"
        " (--set training.epochs=…)."
    )


@dataclass(frozen=True)
class NothingLeft:
    """The study already has all its trials, except ``given_up`` ones; nothing is written yet."""

    text: str
    given_up: int = 0

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class StudyStarted:
    """Trials are about to run. ``per_trial``: estimated seconds from the end of one trial to the end of the next."""

    place: StudyPlace
    total: int
    finished: int
    best: float | None
    metric: str
    workers: int
    per_trial: float
    gap_at_most: float | None = None  # only trials with at most this gap count as the best

    def __str__(self) -> str:
        return f"Running {self.place}: {self.finished} of {counted(self.total, 'trial')} finished."


@dataclass(frozen=True)
class ConfirmationStarted(StudyStarted):
    """Confirmation runs of the study in a place are about to run."""

    def __str__(self) -> str:
        return f"Confirming: {self.finished} of {counted(self.total, 'run')} finished."


@dataclass(frozen=True)
class AblationStarted(ConfirmationStarted):
    """Ablation runs of the study in a place are about to run."""

    def __str__(self) -> str:
        return f"Ablation: {self.finished} of at most {counted(self.total, 'run')} finished."


@dataclass(frozen=True)
class PilotStarted(ConfirmationStarted):
    """Runs of a pilot are about to run, which only tell what a training costs and how noisy it is."""

    def __str__(self) -> str:
        return f"Pilot: {self.finished} of {counted(self.total, 'run')} finished."


@dataclass(frozen=True)
class TrialStarted:
    """A worker started a trial, or a confirmation run, whose ``arm`` says what it repeats."""

    worker: int
    number: int
    slot: int
    arm: str
    epochs: int  # of a run
    folds: int = 0
    confirms: bool = False

    @property
    def name(self) -> str:
        """What it is called in a line of progress."""
        return self.arm if self.confirms else f"trial {self.number} ({self.arm})"

    def __str__(self) -> str:
        folds = f" in each of {self.folds} folds" if self.folds else ""
        head = f"{self.arm:<18}" if self.confirms else f"trial {self.number:<3} {self.arm:<8}"
        return f"{head} started, up to {counted(self.epochs, 'epoch')}{folds}"


@dataclass(frozen=True)
class StepDone:
    """Progress within an epoch: images trained on so far, and in total."""

    worker: int
    done: int
    total: int

    def __str__(self) -> str:
        return f"worker {self.worker}: {self.done:,} of {counted(self.total, 'image')}"


@dataclass(frozen=True)
class EpochDone:
    """An epoch ended; ``fold`` counts from 1 and is 0 without folds."""

    worker: int
    number: int
    record: EpochRecord
    metric: str = "val_accuracy"  # the series that decides
    fold: int = 0

    def __str__(self) -> str:
        fold = f" fold {self.fold}" if self.fold else ""
        return f"trial {self.number:<3}{fold} epoch {self.record.epoch:>3}: {self.words}"

    @property
    def words(self) -> str:
        """The measurements in one line."""
        return self.record.words(self.metric)


@dataclass(frozen=True)
class TrialEnded:
    """How a trial ended; ``value`` is its objective, NaN if it failed.

    With ``folds``, the number of those that ended, ``best`` is the mean over their best epochs.
    """

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
    trace: str = ""  # traceback of what made it fail
    metric: str = "val_accuracy"  # the series that decides
    folds: int = 0
    confirms: bool = False  # a confirmation run, whose arm says what it repeats
    ahead: NextTrials | None = None  # what further trials of the search would gain; None before that can be told

    def __str__(self) -> str:
        head = f"{self.arm:<18}" if self.confirms else f"trial {self.number:<3} {self.arm:<8}"
        head = f"{head} {self.outcome:<8}"
        if self.best is None:
            return f"{head} {self.reason}"
        if self.folds:
            run = f"{counted(self.epochs, 'epoch')} in {counted(self.folds, 'fold')}"
            return f"{head} {run}, mean of their best: {self.best.words(self.metric)}"
        return f"{head} {counted(self.epochs, 'epoch'):>9}, best {self.best.epoch:>2}: {self.best.words(self.metric)}"


@dataclass(frozen=True)
class StudyEnded:
    """The study stopped running trials, for the reason given; ``left`` of the total are not finished."""

    why: Literal["complete", "interrupted", "budget", "others"]
    total: int
    finished: int
    left: int
    given_up: int
    repeated: int  # failed attempts
    unused: int = 0  # trials that were asked for and that nobody needs: the search has ended early

    def __str__(self) -> str:
        lines, verb = [], "was" if self.repeated == 1 else "were"
        if self.repeated:
            lines.append(
                f"{counted(self.repeated, 'attempt')} failed and {verb} retried. The report lists the reasons."
            )
        if self.given_up:
            were = "was" if self.total == 1 else "were"
            lines.append(f"{self.given_up} of {counted(self.total, 'trial')} failed repeatedly and {were} given up.")
        if not self.left:
            unused = f" {self.unused:,} of those asked for were not used." if self.unused else ""
            if self.given_up:
                return "\n".join([*lines, f"{self.finished} of {counted(self.total, 'trial')} finished.{unused}"])
            done = f"All {self.finished} trials finished." if self.finished > 1 else "Finished."
            return "\n".join([*lines, f"{done}{unused}"])
        reasons = {"interrupted": "Interrupted", "budget": "The time budget is used up"}
        why = reasons.get(self.why, "Other workers are still running")
        are = "is" if self.total == 1 else "are"
        words = (
            f"{why}: {self.left} of {counted(self.total, 'trial')} {are} left. Run the same command again to resume."
        )
        return "\n".join([*lines, words])


@dataclass(frozen=True)
class PhaseEnded(StudyEnded):
    """The same of a phase of `regstudy answer`, which goes on with the next one."""

    def __str__(self) -> str:
        if self.why != "budget" or not self.left:
            return super().__str__()
        are = "is" if self.left == 1 else "are"
        return f"The time for this phase is over; {self.left} of {counted(self.total, 'run')} {are} not made."


@dataclass(frozen=True)
class AnswerReady:
    """`regstudy answer` has checked everything; nothing is written yet.

    ``sheet``: the plan and the commands that do the same; ``problem``: why there is none, by an estimate of the cost.
    """

    sheet: str
    problem: str = ""

    def __str__(self) -> str:
        return "All checks passed. Next: a pilot, which tells what a training costs, and then the plan."


TrialEvent = TrialStarted | StepDone | EpochDone | TrialEnded
Event = (
    Notice | Progress | SubstituteData | Examining | Ready | AnswerReady | NothingLeft | StudyStarted | TrialEvent
    | StudyEnded
)  # fmt: skip
Listener = Callable[[Event], None]


class Heard:
    """A listener that records its own exceptions, to distinguish them from those of the study."""

    def __init__(self, listen: Listener) -> None:
        self.listen = listen
        self.error: BaseException | None = None

    def __call__(self, event: Event) -> None:
        """Pass the event on, and remember an exception that this raises."""
        try:
            self.listen(event)
        except BaseException as error:
            self.error = error
            raise
