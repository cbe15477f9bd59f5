"""From a plan to a finished study, for searches and comparisons alike: check, estimate the cost, create, run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import optuna
import torch

from regstudy import data, models
from regstudy.config.run_config import RunConfig
from regstudy.config.user_code import user_code
from regstudy.data.file_rule import LATEST_RULE
from regstudy.data.image_set import Splits
from regstudy.data.preprocessing import prepare
from regstudy.errors import DataUnavailable, RegstudyError, StudyError
from regstudy.search.create import check_place, create_study
from regstudy.search.engine import search, serve
from regstudy.search.events import Cost, Listener, NothingLeft, Notice, Ready, StudyEnded, StudyStarted, SubstituteData
from regstudy.search.search_options import SearchOptions
from regstudy.space.plan import Plan
from regstudy.space.study_name import name_of_file
from regstudy.study import attributes
from regstudy.study.place import StudyPlace, find_study, study_place
from regstudy.study.queue_state import count_finished, queue_state, remaining
from regstudy.study.ranking import best_value
from regstudy.study.storage import in_words
from regstudy.study.stored_facts import fact
from regstudy.text import counted
from regstudy.training.cost import seconds_per_epoch

P = TypeVar("P", bound=Plan)
# checks a plan and its images before training, given the stored results of an earlier check; returns the results that
# the study stores, and raises StudyError if the study would be meaningless
PreflightCheck = Callable[[Any, Splits, dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Images:
    """The images of a study, the requested data set, and why another one is used, if so."""

    splits: Splits
    requested: str
    why_fallback: str | None = None

    def facts(self) -> dict[str, Any]:
        """What a study stores about its images."""
        return {**self.splits.describe(), "requested": self.requested, "fallback_reason": self.why_fallback}


@dataclass(frozen=True)
class Where:
    """Where a study is stored and where its images are; without ``name`` it has the plan's, in letters for a folder."""

    results: Path = Path("results")
    name: str | None = None
    storage: str | None = None
    data_dir: Path = Path("data")

    def place(self, plan: Plan) -> StudyPlace:
        """The study's place."""
        return study_place(self.results, self.name or name_of_file(plan.name), self.storage)


@dataclass(frozen=True)
class Session:
    """A study that is about to run."""

    plan: Plan
    images: Images
    place: StudyPlace
    options: SearchOptions
    listen: Listener
    command: str = ""  # reproduces the study
    preflight: PreflightCheck | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)  # further attributes, updated at every run

    def run(self) -> None:
        """Run the study until it has its number of trials, or until the time budget is used up.

        Raises StudyError if the place holds a different study or if the default configuration cannot be trained, and
        KeyboardInterrupt after Ctrl-C, once all workers have stopped.
        """
        with in_words(self.place.url):
            study = check_place(self.place, self.plan)
            self.listen(Notice(self._introduction()))
            if study is not None and remaining(study, self.options.trials) == 0:
                self.listen(self._nothing_left(study))
                self._keep_facts(study)
                return
            check_fit(self.plan, self.images.splits)
            known = dict(fact(study, attributes.DOCTOR) or {}) if study is not None else {}
            found = self.preflight(self.plan, self.images.splits, known) if self.preflight else known
            ready = Ready(self.plan.kind, self._costs(), self._left(study))
            self.listen(ready)
            study = self._create(ready, found, known)
            self._work(study, ready)

    def _create(self, ready: Ready, found: dict[str, Any], known: dict[str, Any]) -> optuna.Study:
        facts: dict[str, Any] = {attributes.DATA: self.images.facts()}
        if self.plan.kind == "comparison":
            sizes = {name: [cost.parameters, cost.trained] for name, cost in ready.costs.items()}
            facts[attributes.PARAMETERS] = sizes
        study = create_study(self.place, self.plan, self.images.splits, command=self.command, facts=facts)
        for name, value in self.facts.items():
            study.set_user_attr(name, value)
        if found != known:
            study.set_user_attr(attributes.DOCTOR, found)
        return study

    def _work(self, study: optuna.Study, ready: Ready) -> None:
        options, left = self.options, max(sum(ready.left.values()), 1)
        pace = ready.seconds / left / options.workers
        done, best, metric = count_finished(study), best_value(study), self.plan.study.metric
        self.listen(StudyStarted(self.place, options.trials, done, best, metric, options.workers, pace))
        try:
            search(self.place, study, self.plan, self.images.splits, options, self.listen)
        except KeyboardInterrupt:
            self._end(study, interrupted=True)
            raise
        self._end(study)

    def _end(self, study: optuna.Study, *, interrupted: bool = False) -> None:
        self._keep_facts(study)
        self.listen(how_it_ended(study, self.options, interrupted=interrupted))

    def _keep_facts(self, study: optuna.Study) -> None:
        """Update the attributes that a study stores when it ends."""
        if self.plan.adaptive:
            from regstudy.analysis.audit import (
                audit,  # scipy and pandas take half a second, not to be spent at the start
            )
            from regstudy.study.tables import load_tables

            study.set_user_attr(attributes.AUDIT, audit(load_tables(study)).plain())
        for name, value in self.facts.items():
            study.set_user_attr(name, value)

    def _introduction(self) -> str:
        splits, options = self.images.splits, self.options
        test = f" ({splits.parts['test']})" if "test" in splits.parts else ""
        folds = ""
        if splits.folds:
            folds = (
                f" Every trial trains {splits.folds} folds, and its value is the mean over them. Only `regstudy train`"
                " uses data.validation."
            )
        return (
            f"{self.plan.describe(options.trials)}\n"
            f"Images: {splits.in_words()} (split {splits.hash}, the same for all runs).{folds} The test set{test} is"
            f" not used. Device: {options.device}, {counted(options.threads, 'thread')}."
        )

    def _nothing_left(self, study: optuna.Study) -> NothingLeft:
        done, comparison = count_finished(study), self.plan.kind == "comparison"
        runs, more = (counted(done, "run"), "repeats") if comparison else (counted(done, "finished trial"), "trials")
        lost = sum(slot < self.options.trials for slot in queue_state(study.get_trials(deepcopy=False)).lost)
        also = f" and gave up {lost} after repeated failures" if lost else ""
        words = f"Nothing left to do: {self.place} already has {runs}{also}. To add more, increase {more} (--{more})."
        return NothingLeft(words, lost)

    def _costs(self) -> dict[str, Cost]:
        """Build the network of every arm and time a few batches; StudyError if that fails."""
        return {name: _cost(self, name, config) for name, config in self.plan.representatives().items()}

    def _left(self, study: optuna.Study | None) -> dict[str, int]:
        """How many trials of each arm are still to run."""
        total = self.options.trials
        state = queue_state(study.get_trials(deepcopy=False) if study is not None else ())
        names = list(self.plan.representatives())
        if len(names) == 1:
            return {names[0]: state.count_unfinished(total)}
        arms = Counter(self.plan.order(slot)[0] for slot in state.unfinished(total))
        return {name: arms[name] for name in names}


def gather(
    plan: P, fallback: P | None, data_dir: Path, listen: Listener, place: Callable[[P], StudyPlace] | None = None
) -> tuple[P, Images]:
    """A plan with its images; if they are unavailable, its fallback with other images, which is announced as an event.

    ``place`` gives the place of the plan's study, whose rule for image files is kept. Raises DataError, or
    DataUnavailable if there is no fallback.
    """
    requested = plan.data.name

    def prepared(plan: P) -> Splits:
        return data.prepare(plan.data, data_dir, listen, stored_rule(plan, place(plan)) if place else LATEST_RULE)

    try:
        return plan, Images(prepared(plan), requested)
    except DataUnavailable as error:
        if fallback is None:
            raise
        why = str(error)
    listen(SubstituteData(fallback.data.name, why))
    return fallback, Images(prepared(fallback), requested, why)


def stored_rule(plan: Plan, place: StudyPlace) -> int:
    """The rule for image files of the study in a place, or of new studies if there is none."""
    if plan.data.name != "image_folder":
        return LATEST_RULE
    with in_words(place.url):
        study = find_study(place)
    return LATEST_RULE if study is None else rule_of(study.user_attrs.get(attributes.DATA))


def rule_of(known: Mapping[str, Any] | None) -> int:
    """The rule for image files that a study has stored; StudyError if it is that of a later version.

    Studies of version 0.1.0 stored none.
    """
    if known is None:
        return LATEST_RULE
    rule = known.get("file_rule", 1 if known.get("name") == "image_folder" else None)
    if rule is None:
        return LATEST_RULE
    if rule not in range(1, LATEST_RULE + 1):
        raise StudyError(
            f"This study uses rule {rule} for image files, but this version of regstudy only knows the rules up to"
            f" {LATEST_RULE}. Use the version that created the study."
        )
    return int(rule)


def check_fit(plan: Plan, splits: Splits) -> None:
    """Build each distinct preprocessing and network at the ends of all ranges once.

    Raises ConfigError if images and network do not fit, StudyError if a user-defined network fails.
    """
    seen = set()
    for config in plan.extremes():
        parts = repr((config.preprocessing, config.model))
        if parts not in seen:
            with _explained(plan, "defaults"):
                side = prepare(config.preprocessing, splits.train).side
                models.build(config.model, splits.train.shape[0], side, len(splits.train.classes))
        seen.add(parts)


def how_it_ended(study: optuna.Study, options: SearchOptions, *, interrupted: bool = False) -> StudyEnded:
    """How many trials are left, and why the study stopped."""
    state, total = queue_state(study.get_trials(deepcopy=False)), options.trials
    left = state.count_unfinished(total)
    why = "complete" if not left else "budget" if math.isfinite(options.budget) else "others"
    return StudyEnded(
        "interrupted" if interrupted and left else why,  # type: ignore[arg-type]
        total,
        finished=sum(slot < total for slot in state.finished),
        left=left,
        given_up=sum(slot < total for slot in state.lost),
        repeated=sum(sum(kinds.values()) for kinds in state.faults.values()),
    )


def help_with(
    place: StudyPlace, study: optuna.Study, plan: Plan, splits: Splits, options: SearchOptions, listen: Listener
) -> None:
    """Run trials of a study that was started elsewhere, until none are waiting.

    Raises KeyboardInterrupt after Ctrl-C, once all workers have stopped.
    """
    done, best = count_finished(study), best_value(study)
    listen(StudyStarted(place, options.trials, done, best, plan.study.metric, options.workers, 0.0))
    serve(place, study, plan, splits, options, listen)


def _cost(session: Session, name: str, config: RunConfig) -> Cost:
    splits = session.images.splits
    with _explained(session.plan, name):
        side = prepare(config.preprocessing, splits.train).side
        network = models.build(config.model, splits.train.shape[0], side, len(splits.train.classes))
        sizes = models.parameter_counts(network)
        seconds = seconds_per_epoch(config, splits, torch.device(session.options.device))
    return Cost(seconds, config.planned_epochs, sizes.total, sizes.trainable, splits.folds)


@contextmanager
def _explained(plan: Plan, arm: str) -> Iterator[None]:
    """Turn any exception of this block into StudyError, since a user-defined network may raise anything."""
    search = plan.kind == "search"
    what = "the default configuration" if search else f"the arm '{arm}'"
    try:
        with user_code(f"Training the first batches of {what}", StudyError):
            yield
    except RegstudyError as error:
        if search or isinstance(error, StudyError):
            raise
        raise StudyError(f"The arm '{arm}' cannot be run: {error}") from error
