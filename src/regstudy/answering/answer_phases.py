"""The phases of an answer, one after another, each with a deadline; what one does not use goes to those after it.

The time is that of the whole command. A phase starts no training that would not end within it at the pace measured so
far. The progress is stored with the study, so that the same command continues after an interruption.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna

from regstudy.analysis.answer_deadlines import pilot_end, search_last_start
from regstudy.analysis.answer_plan import AnswerPlan, Resources, pilot_runs, plan_answer
from regstudy.answering.answer_clock import AnswerClock
from regstudy.answering.late_phases import LatePhases
from regstudy.answering.plan_inputs import PlanInputs
from regstudy.answering.plan_words import CONFIG_FILE, MODEL_FOLDER, too_small
from regstudy.errors import ArgumentError, StudyError
from regstudy.files.outputs import check_output
from regstudy.production.training_folder import check_training_output
from regstudy.search.ablation_facts import ablation_in
from regstudy.search.answer_progress import DONE, stored_progress
from regstudy.search.create import check_folders, check_place, create_study
from regstudy.search.events import AnswerReady, NothingLeft, Notice
from regstudy.search.pilot import NOT_MEASURED, PilotResult, pilot_left, pilot_result, run_pilot
from regstudy.search.rounds import check_no_stale_runs
from regstudy.search.search_options import SearchOptions
from regstudy.search.session import PreflightCheck, Session
from regstudy.search.study_images import Images
from regstudy.search.trial_cost import check_fit, costs_of
from regstudy.space.study_name import ABLATION, CONFIRMATION
from regstudy.study import attributes
from regstudy.study.companion import find_ablation, folder_of
from regstudy.study.place import StudyPlace
from regstudy.study.stored_facts import fact
from regstudy.text import format_duration

HOPELESS = 3.0  # times too slow, by the estimate, for a pilot to be worth its time


@dataclass
class Answering:
    """An answer on its way; ``inputs`` are what it is planned from, ``clock`` keeps its time and its progress."""

    inputs: PlanInputs
    images: Images
    place: StudyPlace
    options: SearchOptions
    data_dir: Path
    margin: float | None  # as asked for
    preflight: PreflightCheck
    command: str
    clock: AnswerClock
    keep: Callable[[], None]  # writes the space, if it is new
    sheet: Callable[[AnswerPlan, list[str]], str]  # the plan with the commands that do the same
    _found: dict[str, Any] = field(default_factory=dict, init=False)  # by the doctor

    def run(self) -> None:
        """Go on until there is an answer. Raises RegstudyError, and KeyboardInterrupt after Ctrl-C."""
        study, clock = self._checked(), self.clock
        known = stored_progress(study)
        if study is not None and known is not None and known.phase == DONE and clock.budget <= known.budget:
            clock.listen(NothingLeft(f"{self.place} has its answer, which took {format_duration(known.spent)}."))
            return
        clock.start(known)
        self._found = self._examined(study)
        training = self._estimate(study)
        study = self._created(study)
        try:
            self._phases(study, training)
        except KeyboardInterrupt:
            clock.listen(Notice(clock.interrupted_words))
            raise
        finally:
            clock.store()

    def _checked(self) -> optuna.Study | None:
        """The study to go on with, if there is one; everything that could stop a later phase is found out now."""
        study = check_place(self.place, self.inputs.space)
        for suffix in (CONFIRMATION, ABLATION):
            check_no_stale_runs(self.place, study, suffix)
            check_folders(folder_of(self.place, suffix))
        check_output(self.place.output / CONFIG_FILE, "export")
        check_training_output(self.place.output / MODEL_FOLDER)
        apart = None if study is None else find_ablation(self.place, study)
        facts = None if apart is None else ablation_in(apart)
        if facts is not None and self.margin is not None and facts.margin != self.inputs.margin:
            raise StudyError(
                f"{self.place} already has an ablation with another margin. Leave out --margin to go on with it, or use"
                " another study name (--study NAME)."
            )
        return study

    def _examined(self, study: optuna.Study | None) -> dict[str, Any]:
        check_fit(self.inputs.space, self.images.splits)
        known = dict(fact(study, attributes.DOCTOR) or {}) if study is not None else {}
        return self.preflight(self.inputs.space, self.images.splits, known)

    def _estimate(self, study: optuna.Study | None) -> float:
        """Seconds of a training; tells the plan that it gives, and refuses what a pilot would refuse, too."""
        made = NOT_MEASURED if study is None else pilot_result(self.place, study)
        training = made.seconds
        if not made.values:
            alone = costs_of(self.inputs.space, self.inputs.splits, self.options.device)["defaults"].per_trial
            training = alone * (self.options.workers if self.options.device == "cpu" else 1)  # they share the cores
        left = None if study is None else pilot_left(self.place, study)
        runs = pilot_runs(self.clock.budget, training, self.options.workers) if left is None else left
        runs = runs if self.clock.progress.phase == "pilot" else 0  # else it has ended, perhaps with fewer runs
        of, noise = self._resources(training, runs), self.inputs.noise(made)
        plan = plan_answer(of, self.inputs.regularizers, noise, self.inputs.margin)
        why = "" if plan else self._too_small(of, measured=False)
        lines = self.inputs.lines(plan, noise, training) if plan else []
        self.clock.listen(AnswerReady(self.sheet(plan, lines) if plan else "", why))
        hopeful = replace(of, training=training / HOPELESS)
        if plan_answer(hopeful, self.inputs.regularizers, noise, self.inputs.margin) is None:
            raise ArgumentError(why)
        return training

    def _created(self, study: optuna.Study | None) -> optuna.Study:
        self.keep()
        facts = {attributes.DATA: self.images.facts(), attributes.DOCTOR: self._found}
        splits = self.images.splits
        made = create_study(self.place, self.inputs.space, splits, command=self.command, facts=facts)
        if study is not None and fact(study, attributes.DOCTOR) != self._found:
            made.set_user_attr(attributes.DOCTOR, self._found)
        self.clock.study = made
        self.clock.store()
        return made

    def _phases(self, study: optuna.Study, training: float) -> None:
        clock = self.clock
        if clock.progress.phase == "pilot":
            self._pilot(study, training)
        plan, measured = self._planned(study, training)
        training = measured.seconds if measured.values else training
        late = LatePhases(
            self.place, study, plan, training, self.options, self.data_dir, self.margin, self.command, clock,
            lambda why: self._keep_resolution(study, plan, measured, why),
        )  # fmt: skip
        if clock.progress.phase == "pilot":
            clock.enter("search")
        if clock.progress.phase == "search":
            self._search(study, plan, max(training, measured.longest) if measured.values else training)
            clock.enter("confirm")
        if clock.progress.phase == "confirm":
            late.confirm()
            clock.enter("ablate")
        if clock.progress.phase == "ablate":
            late.ablate()
            clock.enter("train")
        if clock.progress.phase == "train":
            late.train()
            clock.enter(DONE)

    def _pilot(self, study: optuna.Study, training: float) -> None:
        runs = pilot_runs(self.clock.budget, training, self.options.workers)
        fresh, end = not self.images.splits.own_validation, pilot_end(time.time(), self.clock.budget)
        run_pilot(
            self.place, study, self.inputs.space, runs, self.options, self.images.load, fresh, training, end,
            self.clock.tell,
        )  # fmt: skip
        self.clock.pilot_ended()

    def _planned(self, study: optuna.Study, training: float) -> tuple[AnswerPlan, PilotResult]:
        """How much is run, by what the pilot has measured; ArgumentError if the budget is too small."""
        measured = pilot_result(self.place, study)
        training = measured.seconds if measured.values else training
        of, noise = self._resources(training), self.inputs.noise(measured)
        plan = plan_answer(of, self.inputs.regularizers, noise, self.inputs.margin)
        if plan is None:
            raise ArgumentError(self._too_small(of, measured=True))
        self._keep_resolution(study, plan, measured)
        self.clock.listen(Notice("\n".join(["Plan:", *self.inputs.lines(plan, noise, training)])))
        return plan, measured

    def _search(self, study: optuna.Study, plan: AnswerPlan, training: float) -> None:
        pilot, planned = self.clock.progress.pilot, plan.seconds["search"]
        end = search_last_start(pilot, planned, training, self.options.workers)
        trials = max(plan.runs["search"], int(fact(study, attributes.TRIALS, 0)))
        self._session(trials=trials, budget=self.clock.until(end)).run()

    def _keep_resolution(self, study: optuna.Study, plan: AnswerPlan, measured: PilotResult, why: str = "") -> None:
        """Store what the ablation can tell, or why there is none, for the page."""
        known = replace(self.inputs.resolution(plan, self.inputs.noise(measured)), why_none=why)
        study.set_user_attr(attributes.RESOLUTION, known.plain())

    def _resources(self, training: float, pilot: int = 0) -> Resources:
        return Resources(self.clock.budget - self.clock.progress.pilot, training, self.options.workers, pilot)

    def _too_small(self, of: Resources, *, measured: bool) -> str:
        count = len(self.inputs.regularizers)
        return too_small(of, count, self.clock.budget, self.clock.progress.pilot, measured=measured)

    def _session(self, **changes: Any) -> Session:
        options = replace(self.options, confirm=0.0, **changes)
        space, tell = self.inputs.space, self.clock.tell
        return Session(space, self.images, self.place, options, tell, self.command, lambda *_: self._found)
