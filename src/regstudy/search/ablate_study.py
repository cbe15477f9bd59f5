"""Taking the winner of a study apart: which of its regularizers does what."""

from __future__ import annotations

import math
import time
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import optuna

from regstudy.analysis.ablation_arms import LATTICE_SIZES
from regstudy.analysis.ablation_design import MIN_REPEATS
from regstudy.analysis.stored_margin import stored_margin
from regstudy.data.pool import Pool
from regstudy.errors import ArgumentError, StudyError
from regstudy.search.ablation_facts import (
    AblationFacts,
    ablation_in,
    ablation_plan,
    check_factors,
    names_of,
    next_runs,
    winner_config,
)
from regstudy.search.ablation_words import (
    folds_of,
    nothing_left_words,
    plan_words,
    spare_words,
    split_words,
    stage_words,
)
from regstudy.search.confirm_study import check_at_rest, first_split, same_images
from regstudy.search.confirming import seconds_per_run
from regstudy.search.create import check_folders, plan_of_study
from regstudy.search.engine import outlast_server
from regstudy.search.events import AblationStarted, Cost, Listener, NothingLeft, Notice, Ready
from regstudy.search.gpu_sharing import check_memory
from regstudy.search.rounds import check_no_stale_runs, create_companion, run_rounds, unfinished
from regstudy.search.search_options import SearchOptions
from regstudy.search.totals import Totals, how_it_ended
from regstudy.space.plan import Plan
from regstudy.space.round_plan import RoundPlan
from regstudy.space.study_name import ABLATION, CONFIRMATION
from regstudy.study import attributes
from regstudy.study.companion import BASELINE_ARM, companion_place, find_ablation, find_confirmation, folder_of
from regstudy.study.passwords import masked_url
from regstudy.study.place import StudyPlace, kind_of, open_study
from regstudy.study.queue_state import count_finished, queue_state
from regstudy.study.ranking import usable_trials
from regstudy.study.storage import OpenStudy, exclusive, in_words, open_named
from regstudy.study.stored_facts import fact
from regstudy.text import counted, listing
from regstudy.training.validation import CHECKS

DEFAULT_RUNS = 70  # more where four repeats of all arms need more


@dataclass(frozen=True)
class AblationRequest:
    """What is asked for. ``runs`` is a total, ``margin`` in points or nats; None: as before, or the default."""

    runs: int | None = None
    margin: float | None = None
    fine: bool = False
    add_one_in: bool = False
    interactions: bool = False
    retune_lr: bool = False


def ablate_study(
    place: StudyPlace, request: AblationRequest, options: SearchOptions, data_dir: Path, listen: Listener
) -> None:
    """Make a study have this many ablation runs in all. Raises StudyError if there is nothing to take apart."""
    with in_words(place.url):
        study = open_study(place)
        if kind_of(study) != "search":
            raise StudyError(f"{place} is a {kind_of(study)}. Only a study that searches a space has a winner.")
        plan = plan_of_study(study, str(place), CHECKS)
        check_at_rest(place, study)
        confirmation = find_confirmation(place, study)
        if confirmation is not None:
            check_at_rest(place, confirmation, CONFIRMATION[1:])
        check_no_stale_runs(place, study, ABLATION)
        check_folders(folder_of(place, ABLATION))
        facts = _facts(place, study, request)
        found = find_ablation(place, study)
        before = _totals(found, facts)
        if found is not None and facts.planned and not before.left and next_runs(facts, found).planned == facts.planned:
            listen(NothingLeft(nothing_left_words(facts, found, place, facts.runs), before.given_up))
            return
        pool = same_images(plan, study, data_dir, listen)
        check_memory(plan, first_split(pool, study), options, listen)
        split = split_words(pool.validation is not None, folds_of(pool))
        listen(Notice(plan_words(facts, study, confirmation, split, _who(place, study, facts))))
        took, epochs = seconds_per_run(study), plan.planned_epochs
        cost = Cost(took / epochs if took > 0 else math.nan, epochs, 0, 0)
        listen(Ready("ablation", {"run": cost}, {"run": facts.runs - before.finished}))
        ablating = _Ablating(place, study, plan, pool, options, listen)
        deadline = time.time() + options.budget
        try:
            outlast_server(lambda: ablating.run(facts, deadline, took if took > 0 else 0.0), listen)
        except KeyboardInterrupt:
            listen(how_it_ended(_totals(find_ablation(place, study), facts), options, interrupted=True))
            raise
        after = find_ablation(place, study)
        ended = _totals(after, facts)
        if after is not None and not ended.left and (words := spare_words(ablation_in(after) or facts, facts.runs)):
            listen(Notice(words))
        listen(how_it_ended(ended, options))


def help_ablation(
    place: StudyPlace, study: optuna.Study, plan: Plan, data_dir: Path, options: SearchOptions, listen: Listener
) -> None:
    """Run what is left of an ablation that was started on another machine; nothing if there is none."""
    found = find_ablation(place, study)
    facts = None if found is None else ablation_in(found)
    if found is None or facts is None or not (_totals(found, facts).left or next_runs(facts, found) != facts):
        return
    _Ablating(place, study, plan, same_images(plan, study, data_dir, listen), options, listen).run(facts, math.inf, 0.0)


@dataclass(frozen=True)
class _Ablating:
    place: StudyPlace
    search: optuna.Study
    plan: Plan
    pool: Pool
    options: SearchOptions
    listen: Listener

    def run(self, facts: AblationFacts, deadline: float, seconds: float) -> None:
        """Run what the facts ask for, as far as the deadline allows; ``seconds`` is the estimate for a run."""
        study = self._prepare(facts)
        place = companion_place(self.place, self.search, ABLATION)
        with closing(open_named(place.url, study.study_name)) as opened, opened.watched():
            decided = self._decide(opened)
            if not unfinished(opened, decided):
                return
            done, workers = count_finished(opened.study), self.options.workers
            metric = self.plan.study.metric
            self.listen(AblationStarted(self.place, facts.runs, done, None, metric, workers, seconds / workers))
            run_rounds(
                place, opened, lambda: self._decide(opened), self._plan_of,
                lambda facts: stage_words(facts, self.search), self.options, lambda: self.pool, deadline, self.listen,
            )  # fmt: skip

    def _prepare(self, facts: AblationFacts) -> optuna.Study:
        """The study that stores the runs, created if need be, with the number of runs that is asked for now.

        What another process has planned since the facts were read stays: its runs may be under way.
        """
        with exclusive(self.place.url):
            study = find_ablation(self.place, self.search)
            known = None if study is None else ablation_in(study)
            if study is None or known is None:
                fresh = self.pool.validation is None
                new = {attributes.ABLATION: facts.plain(self.search)}
                return create_companion(self.place, self.search, ABLATION, fresh, new)
            if _asked(known) != _asked(facts):
                raise StudyError(f"Another command has just begun an ablation of {self.place} with other options.")
            runs = max(facts.runs, known.made)
            if runs != known.runs:
                study.set_user_attr(attributes.ABLATION, replace(known, runs=runs).plain(self.search))
            return study

    def _plan_of(self, facts: AblationFacts) -> RoundPlan:
        fresh = self.pool.validation is None
        return ablation_plan(facts, self.search, self.plan.study, fresh_splits=fresh)

    def _decide(self, opened: OpenStudy) -> AblationFacts:
        return opened.patiently(partial(_decided, opened, self.search))


def _decided(opened: OpenStudy, search: optuna.Study) -> AblationFacts:
    """The facts after the next stage has been planned, if the last one has ended."""
    with exclusive(opened.url):
        study = opened.study
        facts = ablation_in(study)
        assert facts is not None  # the study is created with them
        after = next_runs(facts, study)
        if after != facts:
            study.set_user_attr(attributes.ABLATION, after.plain(search))
        study.set_user_attr(attributes.TRIALS, len(after.planned))
        return after


def _asked(facts: AblationFacts) -> tuple[object, ...]:
    """What must not change while an ablation goes on."""
    options = facts.fine, facts.add_one_in, facts.interactions, facts.retune_lr
    return facts.winner, facts.margin, facts.active, *options


def _facts(place: StudyPlace, study: optuna.Study, request: AblationRequest) -> AblationFacts:
    """What is to be done: what is stored, with the new number of runs, or a new ablation of the winner."""
    found = find_ablation(place, study)
    known = None if found is None else ablation_in(found)
    if known is not None:
        facts = _continued(place, known, request, fact(study, attributes.METRIC))
    else:
        facts = _new(place, study, request)
    if facts.runs < facts.least:
        tries = f"{counted(facts.tried, 'run')} that choose learning rates, and " if facts.tried else ""
        raise ArgumentError(
            f"runs (--runs) must be at least {facts.least} here: {tries}{MIN_REPEATS} repeats of"
            f" {counted(len(facts.arms), 'arm')} ({listing(list(facts.arms))}), but it is {facts.runs}."
        )
    return facts


def _new(place: StudyPlace, study: optuna.Study, request: AblationRequest) -> AblationFacts:
    number, _ = winner_of(place, study)
    config = winner_config(study, number)
    active = tuple(names_of(config, fine=request.fine))
    if not active:
        raise StudyError(f"{place}: the winner (trial {number}) has no regularizer on; there is nothing to leave out.")
    if request.interactions and len(active) not in LATTICE_SIZES:
        raise ArgumentError(
            f"interactions (--interactions) trains every on/off combination of {LATTICE_SIZES[0]} to"
            f" {LATTICE_SIZES[-1]} active regularizers, but the winner (trial {number}) has {len(active)}:"
            f" {listing(list(active))}."
        )
    if request.retune_lr:
        check_factors(config)
    margin = stored_margin(request.margin, fact(study, attributes.METRIC))
    options = request.fine, request.add_one_in, request.interactions, request.retune_lr
    facts = AblationFacts(number, 0, margin, active, *options)
    runs = max(DEFAULT_RUNS + facts.tried, facts.least) if request.runs is None else request.runs
    return replace(facts, runs=runs)


def _continued(place: StudyPlace, known: AblationFacts, request: AblationRequest, metric: str) -> AblationFacts:
    """A stored ablation with the number of runs that is asked for now."""
    options = ("fine", "add_one_in", "interactions", "retune_lr")
    margin = known.margin if request.margin is None else stored_margin(request.margin, metric)
    changed = [key for key in options if getattr(request, key) and not getattr(known, key)]
    if margin != known.margin:
        changed.append("margin")
    if changed:
        given = listing([f"--{name.replace('_', '-')}" for name in changed])
        name = place.name + ABLATION
        raise StudyError(
            f"{place} already has an ablation of trial {known.winner} with other options than {given}. Leave"
            f" {'it' if len(changed) == 1 else 'them'} out to continue it, or delete its runs to begin anew: optuna"
            f" delete-study --study-name {name} --storage {masked_url(place.url)}"
        )
    runs = known.runs if request.runs is None else request.runs
    if runs < known.made:
        raise StudyError(
            f"{place} already has {counted(known.made, 'ablation run')}. Give a larger total (--runs), or leave it out."
        )
    return replace(known, runs=runs)


def winner_of(place: StudyPlace, study: optuna.Study) -> tuple[int, str]:
    """The trial that is taken apart, the winner of the confirmation or else the best one of the search, and which."""
    from regstudy.analysis.confirmation import confirmation
    from regstudy.analysis.learned import nothing_learned  # pandas takes half a second, not to be spent at the start
    from regstudy.study.load_tables import load_tables

    tables = load_tables(study)
    usable = [
        trial.number
        for trial in usable_trials(study)
        if fact(trial, attributes.ARM) != BASELINE_ARM and fact(trial, attributes.CONFIG) is not None
    ]
    if not usable:
        limited = " within the limit on the gap" if tables.gap_at_most is not None else ""
        raise StudyError(
            f"{place}: no search trial finished with a usable result{limited}; there is nothing to take apart."
        )
    if nothing_learned(tables):
        raise StudyError(
            f"{place}: no trial beats always giving the same answer, so leaving regularizers out would tell nothing."
        )
    fresh = find_confirmation(place, study)
    claim = None if fresh is None else confirmation(tables, load_tables(fresh))
    if claim is None:
        return usable[0], "the best trial of the search, which is not confirmed"
    confirmed = claim.status == "confirmed"
    return claim.winner.number, "the confirmed winner" if confirmed else "the winner of the confirmation runs"


def _who(place: StudyPlace, study: optuna.Study, facts: AblationFacts) -> str:
    """What the trial is that is taken apart; it stays the same if another one wins later."""
    number, who = winner_of(place, study)
    return who if number == facts.winner else f"the winner when the ablation began (now it is trial {number})"


def _totals(found: optuna.Study | None, facts: AblationFacts) -> Totals:
    """Where the runs stand; an ablation may end early, when all is decided."""
    known = facts if found is None else ablation_in(found) or facts
    state = queue_state(found.get_trials(deepcopy=False) if found is not None else ())
    total = len(known.planned) or facts.runs
    return Totals(
        total,
        finished=sum(slot < total for slot in state.finished),
        left=state.count_unfinished(total),
        given_up=sum(slot < total for slot in state.lost),
        repeated=sum(sum(kinds.values()) for kinds in state.faults.values()),
    )
