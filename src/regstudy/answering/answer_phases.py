"""The phases of an answer, one after another, each with a deadline; what one does not use goes to those after it.

The time is that of the whole command. A phase starts no training that would not end within it at the pace measured so
far. What has been reached is stored with the study, so that the same command goes on where it was.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna

from regstudy.analysis.ablation_arms import arms_of, contrasts_of
from regstudy.analysis.ablation_design import MIN_REPEATS
from regstudy.analysis.answer_plan import (
    FEWEST_CONFIRMED,
    MOST_ABLATED,
    MOST_CONFIRMED,
    PHASES,
    UNUSED,
    UNUSED_SECONDS,
    AnswerPlan,
    Noise,
    Phase,
    Resources,
    expected_noise,
    pilot_runs,
    plan_answer,
)
from regstudy.analysis.race import most_runs
from regstudy.answering.plan_words import (
    CONFIG_FILE,
    MODEL_FOLDER,
    TITLES,
    noise_words,
    resolution_words,
    skipped_words,
    table_lines,
    too_small,
)
from regstudy.api import train
from regstudy.config.active_regularizers import active_regularizers
from regstudy.errors import ArgumentError, StudyError
from regstudy.files.outputs import check_output
from regstudy.metrics import metric_or_accuracy
from regstudy.production.choice import confirmation_of
from regstudy.production.export import export
from regstudy.production.training_folder import (
    METRICS_FILE,
    check_training_output,
    config_hash,
    read_metrics,
    unfinished,
)
from regstudy.search.ablate_study import AblationRequest, ablate_study, winner_of
from regstudy.search.ablation_facts import ablation_in, winner_config
from regstudy.search.answer_progress import DONE, AnswerProgress, stored_progress
from regstudy.search.confirm_study import confirm_study
from regstudy.search.confirming import seconds_per_run, why_not_confirmed
from regstudy.search.create import check_folders, check_place, create_study
from regstudy.search.events import (
    AnswerReady,
    Event,
    Listener,
    NothingLeft,
    Notice,
    PhaseEnded,
    Ready,
    StudyEnded,
    TrialEnded,
)
from regstudy.search.pilot import PilotResult, pilot_left, pilot_result, run_pilot
from regstudy.search.race_facts import facts_in
from regstudy.search.rounds import check_no_stale_runs
from regstudy.search.search_options import SearchOptions
from regstudy.search.session import PreflightCheck, Session
from regstudy.search.study_images import Images
from regstudy.search.trial_cost import check_fit, costs_of
from regstudy.space.loader import load_config
from regstudy.space.search_space import Space
from regstudy.space.study_name import ABLATION, CONFIRMATION
from regstudy.study import attributes
from regstudy.study.companion import find_ablation, find_confirmation, folder_of
from regstudy.study.place import StudyPlace
from regstudy.study.stored_facts import fact
from regstudy.text import format_duration

SHARES_OF_RIGHT = ("accuracy", "balanced_accuracy", "macro_f1")  # whose standard error is about that of a share
SAFE = 0.95  # of the time for the ablation, so that its last look is made
TO_CONFIRM = 0.3  # share of what the search leaves, for the confirmation
HOPELESS = 3.0  # times too slow, by the estimate, for a pilot to be worth its time


@dataclass
class Answering:
    """An answer on its way. ``budget`` is in seconds, ``began`` when the command started, ``margin`` as stored."""

    space: Space
    images: Images
    place: StudyPlace
    options: SearchOptions
    data_dir: Path
    budget: float
    margin: float
    asked_margin: float | None
    preflight: PreflightCheck
    listen: Listener
    command: str
    began: float
    keep: Callable[[], None]  # writes the space, if it is new
    sheet: Callable[[AnswerPlan, list[str]], str]  # the plan with the commands that do the same
    progress: AnswerProgress = field(init=False)
    plan: AnswerPlan | None = field(default=None, init=False)
    noise: Noise = field(init=False)
    _stored: optuna.Study | None = field(default=None, init=False)
    _before: float = field(default=0.0, init=False)

    def run(self) -> None:
        """Go on until there is an answer. Raises RegstudyError, and KeyboardInterrupt after Ctrl-C."""
        study = self._checked()
        known = stored_progress(study)
        if study is not None and known is not None and known.phase == DONE and self.budget <= known.budget:
            self._plan(pilot_result(self.place, study), known)
            self.listen(NothingLeft(f"{self.place} has its answer, which took {format_duration(known.spent)}."))
            return
        self._before = known.spent if known else 0.0
        phase: str = PHASES[0] if known is None else PHASES[1] if known.phase == DONE else known.phase
        if known is not None and known.budget != self.budget and phase not in PHASES[:2]:
            phase = PHASES[1]  # there is another time for everything, and what has been made counts
        self.progress = replace(known or AnswerProgress(phase, self.budget), phase=phase)
        if self.progress.budget != self.budget:
            self.progress = replace(self.progress, budget=self.budget, runs={})
        if self._before:
            self.listen(Notice(f"{format_duration(self._before)} of {format_duration(self.budget)} are used."))
        found = self._examined(study)
        training = self._estimate(study)
        study = self._created(study, found)
        try:
            self._phases(study, training, found)
        except KeyboardInterrupt:
            used = f"{format_duration(self.spent)} of {format_duration(self.budget)} are used"
            title = TITLES.get(self.progress.phase, "")  # type: ignore[call-overload]
            self.listen(Notice(f"Interrupted in the phase {title}; {used}. The same command goes on from here."))
            raise
        finally:
            self._store()

    @property
    def spent(self) -> float:
        """Seconds of the budget that are used, those of earlier commands included."""
        return self._before + time.time() - self.began

    @property
    def final(self) -> float:
        """Seconds of the budget at which the final training must begin."""
        assert self.plan is not None
        return self.budget * (1 - UNUSED) - UNUSED_SECONDS - self.plan.seconds["train"]

    def _checked(self) -> optuna.Study | None:
        """The study to go on with, if there is one; everything that could stop a later phase is found out now."""
        study = check_place(self.place, self.space)
        for suffix in (CONFIRMATION, ABLATION):
            check_no_stale_runs(self.place, study, suffix)
            check_folders(folder_of(self.place, suffix))
        check_output(self.place.output / CONFIG_FILE, "export")
        check_training_output(self.place.output / MODEL_FOLDER)
        apart = None if study is None else find_ablation(self.place, study)
        facts = None if apart is None else ablation_in(apart)
        if facts is not None and self.asked_margin is not None and facts.margin != self.margin:
            raise StudyError(
                f"{self.place} already has an ablation with another margin. Leave out --margin to go on with it, or use"
                " another study name (--study NAME)."
            )
        return study

    def _examined(self, study: optuna.Study | None) -> dict[str, Any]:
        check_fit(self.space, self.images.splits)
        known = dict(fact(study, attributes.DOCTOR) or {}) if study is not None else {}
        return self.preflight(self.space, self.images.splits, known)

    def _estimate(self, study: optuna.Study | None) -> float:
        """Seconds of a training; tells the plan that it gives, and refuses what a pilot would refuse, too."""
        alone = costs_of(self.space, self.images.splits, self.options.device)["defaults"].per_trial
        training = alone * (self.options.workers if self.options.device == "cpu" else 1)  # they share the cores
        made = PilotResult((), math.nan, math.nan, 1.0) if study is None else pilot_result(self.place, study)
        training = made.seconds if made.values else training
        left = None if study is None else pilot_left(self.place, study)
        runs = pilot_runs(self.budget, training, self.options.workers) if left is None else left
        of = Resources(self.budget - self.progress.pilot, training, self.options.workers, runs)
        self.noise = self._noise(made)
        plan = plan_answer(of, self._names(), self.noise, self.margin)
        why = "" if plan else too_small(of, len(self._names()), self.budget, self.progress.pilot, measured=False)
        self.listen(AnswerReady(self.sheet(plan, self._plan_lines(plan, training)) if plan else "", why))
        if plan_answer(replace(of, training=training / HOPELESS), self._names(), self.noise, self.margin) is None:
            raise ArgumentError(why)
        return training

    def _created(self, study: optuna.Study | None, found: dict[str, Any]) -> optuna.Study:
        self.keep()
        facts = {attributes.DATA: self.images.facts(), attributes.DOCTOR: found}
        made = create_study(self.place, self.space, self.images.splits, command=self.command, facts=facts)
        if study is not None and fact(study, attributes.DOCTOR) != found:
            made.set_user_attr(attributes.DOCTOR, found)
        self._stored = made
        self._store()
        return made

    def _phases(self, study: optuna.Study, training: float, found: dict[str, Any]) -> None:
        if self.progress.phase == "pilot":
            runs = pilot_runs(self.budget, training, self.options.workers)
            fresh = not self.images.splits.own_validation
            run_pilot(
                self.place, study, self.space, runs, self._with(), self.images.load, fresh, training, self._tell
            )  # fmt: skip
            self.progress = replace(self.progress, pilot=self.spent)
        measured = pilot_result(self.place, study)
        training = measured.seconds if measured.values else training
        self._plan(measured, self.progress, training)
        if self.plan is None:
            of = Resources(self.budget - self.progress.pilot, training, self.options.workers)
            raise ArgumentError(too_small(of, len(self._names()), self.budget, self.progress.pilot, measured=True))
        self.listen(Notice("\n".join(["Plan:", *self._plan_lines(self.plan, training)])))
        if self.progress.phase == "pilot":
            self._enter("search")
        if self.progress.phase == "search":
            self._search(study, training, found)
            self._enter("confirm")
        if self.progress.phase == "confirm":
            self._confirm(study, training)
            self._enter("ablate")
        if self.progress.phase == "ablate":
            self._ablate(study, training)
            self._enter("train")
        if self.progress.phase == "train":
            self._train()
            self._enter(DONE)

    def _search(self, study: optuna.Study, training: float, found: dict[str, Any]) -> None:
        assert self.plan is not None
        end = self.progress.pilot + self.plan.seconds["search"]
        trials = max(self.plan.runs["search"], int(fact(study, attributes.TRIALS, 0)))
        self._session(found, trials=trials, budget=max(0.0, end - self.spent - training / 2)).run()

    def _confirm(self, study: optuna.Study, training: float) -> None:
        assert self.plan is not None
        if why := why_not_confirmed(study):
            self.listen(Notice(why))
            return
        if "confirm" not in self.progress.runs:
            end = self.progress.pilot + self.plan.seconds["search"] + self.plan.seconds["confirm"]
            end = end if self.plan.runs["ablate"] else self.final
            unspent = self._fitting(end, self._pace(study, training)) - self.plan.runs["confirm"]
            more = max(0, int((TO_CONFIRM if self.plan.runs["ablate"] else 1.0) * unspent))
            self._decide("confirm", most_runs(min(self.plan.runs["confirm"] + more, MOST_CONFIRMED)))
        self._confirm_with(study, self.progress.runs["confirm"], training)

    def _confirm_with(self, study: optuna.Study, runs: int, training: float) -> None:
        """Make so many confirmation runs in all; they may use the time of the ablation, which needs a winner."""
        runs = max(runs, FEWEST_CONFIRMED, self._confirmed(study))
        left = max(0.0, self.final - self.spent - self._pace(study, training))
        confirm_study(self.place, runs, self._with(trials=runs, budget=left), self.data_dir, self._tell)

    def _fitting(self, end: float, training: float) -> int:
        """How many trainings fit until then."""
        return int(max(0.0, end - self.spent) * self.options.workers / training)

    def _confirmed(self, study: optuna.Study) -> int:
        """How many confirmation runs are planned already."""
        found = find_confirmation(self.place, study)
        facts = None if found is None else facts_in(found)
        return len(facts.planned) if facts else 0

    def _ablate(self, study: optuna.Study, training: float) -> None:
        confirmed = confirmation_of(study, fresh := find_confirmation(self.place, study))
        if confirmed is not None and confirmed.status in ("no better", "nothing learned"):
            self.listen(Notice("The winner is no better than the baseline, so there is nothing to take apart."))
            return
        try:
            number, _ = winner_of(self.place, study)
        except StudyError as error:
            self.listen(Notice(str(error)))
            return
        names = [one.name for one in active_regularizers(winner_config(study, number))]
        if not names:
            self.listen(Notice(f"The winner (trial {number}) has no regularizer on; there is nothing to take apart."))
            return
        training = self._pace(fresh if fresh is not None else study, training)
        known = find_ablation(self.place, study)
        facts = None if known is None else ablation_in(known)
        least = MIN_REPEATS * len(arms_of(contrasts_of(names)))
        if "ablate" not in self.progress.runs:
            fitting = min(int(SAFE * self._fitting(self.final, training)), MOST_ABLATED)
            self._decide("ablate", max(fitting + (facts.made if facts else 0), facts.runs if facts else 0))
        runs = self.progress.runs["ablate"]
        if facts is None and runs < least:
            self.listen(Notice(skipped_words(names, least, least * training / self.options.workers)))
            if confirmed is None or confirmed.status in ("undecided", "too few rounds"):
                self._confirm_with(study, min(self._confirmed(study) + runs, MOST_CONFIRMED), training)
            return
        request = AblationRequest(max(runs, facts.runs if facts else 0), self.asked_margin)
        options = self._with(trials=request.runs or runs, budget=max(0.0, self.final - self.spent - training))
        ablate_study(self.place, request, options, self.data_dir, self._tell)

    def _train(self) -> None:
        file, folder = self.place.output / CONFIG_FILE, self.place.output / MODEL_FOLDER
        try:
            chosen = export(self.place.folder, file, storage=self.place.storage)
        except StudyError as error:
            self.listen(Notice(f"There is no final training: {error}"))
            return
        if _is_trained(file, folder):
            return
        self.listen(Notice(f"Final training of trial {chosen.trial}. {chosen.why}"))
        options = self.options
        train(
            file, folder, data_dir=self.data_dir, device=options.device, threads=options.threads, progress=self._tell,
            command=self.command,
        )  # fmt: skip

    def _plan(self, measured: PilotResult, progress: AnswerProgress, training: float = math.nan) -> None:
        """Decide how much is run, from what the pilot has measured."""
        self.noise = self._noise(measured)
        seconds = measured.seconds if measured.values else training
        of = Resources(self.budget - progress.pilot, seconds, self.options.workers)
        self.plan = plan_answer(of, self._names(), self.noise, self.margin) if seconds > 0 else None

    def _plan_lines(self, plan: AnswerPlan, training: float) -> list[str]:
        of = metric_or_accuracy(self.space.study.metric)
        words = resolution_words(plan, self.noise, self.margin, of, self.budget)
        return [*table_lines(plan), noise_words(self.noise, of, training), words]

    def _noise(self, measured: PilotResult) -> Noise:
        splits, of = self.images.splits, metric_or_accuracy(self.space.study.metric)
        images = len(splits.validation) + (len(splits.train) if splits.folds else 0)
        guess = (1 + 1 / max(len(splits.train.classes), 1)) / 2
        share = of.name in SHARES_OF_RIGHT
        tested = round(images / measured.design_effect)
        return expected_noise(measured.values, images, share=share, guess=guess, tested=tested)

    def _names(self) -> tuple[str, ...]:
        """The regularizers that may be on in the winner."""
        return tuple(dict.fromkeys(one.name for config in self.space.extremes() for one in active_regularizers(config)))

    def _pace(self, study: optuna.Study, otherwise: float) -> float:
        """Seconds of a whole training by what a study's took."""
        found = seconds_per_run(study)
        return found if found > 0 else otherwise

    def _session(self, found: dict[str, Any], **changes: Any) -> Session:
        options = self._with(confirm=0.0, **changes)
        return Session(
            self.space, self.images, self.place, options, self._tell, self.command, lambda *_: found
        )  # fmt: skip

    def _with(self, **changes: Any) -> SearchOptions:
        return replace(self.options, **changes)

    def _enter(self, phase: str) -> None:
        self.progress = replace(self.progress, phase=phase)
        self._store()

    def _decide(self, phase: Phase, runs: int | None) -> None:
        """Note how many runs a phase makes, so that it makes as many when it goes on; None: not decided."""
        others = {key: value for key, value in self.progress.runs.items() if key != phase}
        self.progress = replace(self.progress, runs=others if runs is None else {**others, phase: runs})
        self._store()

    def _store(self) -> None:
        self.progress = replace(self.progress, spent=self.spent)
        if self._stored is not None:
            self.progress.store(self._stored)

    def _tell(self, event: Event) -> None:
        """Pass on what a phase says, but for what would be wrong in the middle of an answer."""
        if isinstance(event, TrialEnded):
            self._store()
        if isinstance(event, Ready | NothingLeft):
            return
        if isinstance(event, StudyEnded) and event.why != "interrupted":
            event = PhaseEnded(**event.__dict__)
        self.listen(event)


def _is_trained(file: Path, folder: Path) -> bool:
    """Whether the folder holds a training of the configuration in a file that has ended."""
    if unfinished(folder) or not (folder / METRICS_FILE).exists():
        return False
    return bool(read_metrics(folder).get("config_hash") == config_hash(load_config(file)))
