"""How far an answer has come and how much of its time is used, kept with the study at every step."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import optuna

from regstudy.analysis.answer_plan import PHASES, Phase
from regstudy.answering.plan_words import TITLES
from regstudy.search.answer_progress import DONE, AnswerProgress
from regstudy.search.events import Event, Listener, NothingLeft, Notice, PhaseEnded, Ready, StudyEnded, TrialEnded
from regstudy.text import format_duration


@dataclass
class AnswerClock:
    """``budget`` is in seconds, ``began`` (time.time()) when the command started.

    ``study`` keeps the progress, from the moment it is there.
    """

    budget: float
    began: float
    listen: Listener
    study: optuna.Study | None = None
    progress: AnswerProgress = field(init=False)
    _before: float = field(default=0.0, init=False)

    def start(self, known: AnswerProgress | None) -> None:
        """Go on from what a study stores. With another budget the plan is made anew, and what has been made counts."""
        self._before = known.spent if known else 0.0
        phase: str = PHASES[0] if known is None else PHASES[1] if known.phase == DONE else known.phase
        if known is not None and known.budget != self.budget and phase not in PHASES[:2]:
            phase = PHASES[1]  # there is another time for everything
        self.progress = replace(known or AnswerProgress(phase, self.budget), phase=phase)
        if self.progress.budget != self.budget:
            self.progress = replace(self.progress, budget=self.budget, runs={})
        if self._before:
            self.listen(Notice(f"{format_duration(self._before)} of {format_duration(self.budget)} are used."))

    @property
    def spent(self) -> float:
        """Seconds of the budget that are used, those of earlier commands included."""
        return self._before + time.time() - self.began

    @property
    def interrupted_words(self) -> str:
        """What is to be said after Ctrl-C."""
        used = f"{format_duration(self.spent)} of {format_duration(self.budget)} are used"
        title = TITLES.get(self.progress.phase, "")  # type: ignore[call-overload]
        return f"Interrupted in the phase {title}; {used}. The same command goes on from here."

    def until(self, end: float) -> float:
        """Seconds that are left until a time of the budget; 0 if it is over."""
        return max(0.0, end - self.spent)

    def pilot_ended(self) -> None:
        """Note what the pilot has used."""
        self.progress = replace(self.progress, pilot=self.spent)

    def enter(self, phase: str) -> None:
        """Begin the next phase."""
        self.progress = replace(self.progress, phase=phase)
        self.store()

    def decide(self, phase: Phase, runs: int) -> None:
        """Note how many runs a phase makes, so that it makes as many when it goes on."""
        self.progress = replace(self.progress, runs={**self.progress.runs, phase: runs})
        self.store()

    def store(self) -> None:
        """Keep the progress with the study."""
        self.progress = replace(self.progress, spent=self.spent)
        if self.study is not None:
            self.progress.store(self.study)

    def tell(self, event: Event) -> None:
        """Pass on what a phase says, but for what would be wrong in the middle of an answer."""
        if isinstance(event, TrialEnded):
            self.store()
        if isinstance(event, Ready | NothingLeft):
            return
        if isinstance(event, StudyEnded) and event.why != "interrupted":
            event = PhaseEnded(**event.__dict__)
        self.listen(event)
