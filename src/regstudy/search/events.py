"""The events of a running study, all of them; ``str(event)`` is a text for people.

A listener is any function that takes an event. An exception in it ends the study at once. Nothing is written until
`Ready` or `NothingLeft` has been handled, so raise there to see a study's cost without starting it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from regstudy.data.loading_events import Notice as Notice
from regstudy.data.loading_events import Progress as Progress
from regstudy.search.cost_events import Cost as Cost
from regstudy.search.cost_events import Ready as Ready
from regstudy.search.trial_events import EpochDone as EpochDone
from regstudy.search.trial_events import StepDone as StepDone
from regstudy.search.trial_events import TrialEnded as TrialEnded
from regstudy.search.trial_events import TrialStarted as TrialStarted
from regstudy.study.place import StudyPlace
from regstudy.text import counted


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
