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
from regstudy.analysis.ablation_design import resolution
from regstudy.analysis.claim import residual_spread
from regstudy.analysis.stored_margin import stored_margin
from regstudy.data.pool import Pool
from regstudy.errors import ArgumentError, StudyError
from regstudy.metrics import metric_or_accuracy
from regstudy.search.ablation_facts import (
    AblationFacts,
    ablation_in,
    ablation_plan,
    names_of,
    next_runs,
    winner_config,
)
from regstudy.search.confirm_study import check_at_rest, same_images
from regstudy.search.confirming import seconds_per_run, why_not_confirmed
from regstudy.search.create import check_folders, plan_of_study
from regstudy.search.events import AblationStarted, Cost, Listener, NothingLeft, Notice, Ready
from regstudy.search.race_facts import facts_in
from regstudy.search.rounds import check_no_stale_runs, create_companion, run_rounds, unfinished
from regstudy.search.search_options import SearchOptions
from regstudy.search.totals import Totals, how_it_ended
from regstudy.space.plan import Plan
from regstudy.space.round_plan import RoundPlan
from regstudy.space.study_name import ABLATION
from regstudy.study import attributes
from regstudy.study.companion import companion_place, find_ablation, find_confirmation, folder_of
from regstudy.study.place import StudyPlace, kind_of, open_study
from regstudy.study.queue_state import count_finished, queue_state
from regstudy.study.ranking import usable_trials
from regstudy.study.storage import OpenStudy, exclusive, in_words, open_named
from regstudy.study.stored_facts import fact
from regstudy.text import counted, listing
from regstudy.training.validation import CHECKS

DEFAULT_RUNS = 70
MIN_REPEATS = 4  # of all arms
GUESSED_SPREAD = 0.01  # standard deviation of a run where no confirmation runs tell it: of a share, or in nats


@dataclass(frozen=True)
class AblationRequest:
    """What is asked for. ``runs`` is a total, ``margin`` in points or nats; None: as before, or the default."""

    runs: int | None = None
    margin: float | None = None
    fine: bool = False
    add_one_in: bool = False
    interactions: bool = False


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
        check_no_stale_runs(place, study, ABLATION)
        check_folders(folder_of(place, ABLATION))
        facts = _facts(place, study, request)
        found = find_ablation(place, study)
        before = _totals(found, facts)
        listen(Notice(_plan_words(place, study, facts)))
        if found is not None and facts.planned and not before.left and next_runs(facts, found) == facts:
            words = f"Nothing left to do: {counted(before.finished, 'ablation run')} of {place} are finished."
            listen(NothingLeft(f"{words} To add more, increase the total (--runs).", before.given_up))
            return
        pool = same_images(plan, study, data_dir, listen)
        took, epochs = seconds_per_run(study), plan.planned_epochs
        cost = Cost(took / epochs if took > 0 else math.nan, epochs, 0, 0)
        listen(Ready("ablation", {"run": cost}, {"run": facts.runs - before.finished}))
        ablating = _Ablating(place, study, plan, pool, options, listen)
        try:
            ablating.run(facts, time.time() + options.budget, took if took > 0 else 0.0)
        except KeyboardInterrupt:
            listen(how_it_ended(_totals(find_ablation(place, study), facts), options, interrupted=True))
            raise
        listen(how_it_ended(_totals(find_ablation(place, study), facts), options))


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
        fresh = self.pool.validation is None
        with exclusive(self.place.url):
            study = find_ablation(self.place, self.search)
            stored = {attributes.ABLATION: facts.plain(self.search)}
            if study is None:
                study = create_companion(self.place, self.search, ABLATION, fresh, stored)
            else:
                study.set_user_attr(attributes.ABLATION, stored[attributes.ABLATION])
        place = companion_place(self.place, self.search, ABLATION)
        with closing(open_named(place.url, study.study_name)) as opened, opened.watched():
            decided = self._decide(opened)
            if not unfinished(opened, decided):
                return
            done, workers = count_finished(opened.study), self.options.workers
            metric = self.plan.study.metric
            self.listen(AblationStarted(self.place, facts.runs, done, None, metric, workers, seconds / workers))
            run_rounds(
                place, opened, lambda: self._decide(opened), self._plan_of, _stage_words, self.options,
                lambda: self.pool, deadline, self.listen,
            )  # fmt: skip

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


def _facts(place: StudyPlace, study: optuna.Study, request: AblationRequest) -> AblationFacts:
    """What is to be done: what is stored, with the new number of runs, or a new ablation of the winner."""
    found = find_ablation(place, study)
    known = None if found is None else ablation_in(found)
    if known is not None:
        return _continued(place, known, request, fact(study, attributes.METRIC))
    number = _winner(place, study)
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
    margin = stored_margin(request.margin, fact(study, attributes.METRIC))
    facts = AblationFacts(
        number, request.runs or DEFAULT_RUNS, margin, active, request.fine, request.add_one_in, request.interactions
    )
    least = MIN_REPEATS * len(facts.arms)
    if facts.runs < least:
        raise ArgumentError(
            f"runs (--runs) must be at least {least} here: {MIN_REPEATS} repeats of {counted(len(facts.arms), 'arm')}"
            f" ({listing(list(facts.arms))}), but it is {facts.runs}."
        )
    return facts


def _continued(place: StudyPlace, known: AblationFacts, request: AblationRequest, metric: str) -> AblationFacts:
    """A stored ablation with the number of runs that is asked for now."""
    asked = {"fine": request.fine, "add_one_in": request.add_one_in, "interactions": request.interactions}
    margin = known.margin if request.margin is None else stored_margin(request.margin, metric)
    changed = [key for key, value in asked.items() if value and not getattr(known, key)]
    if margin != known.margin:
        changed.append("margin")
    if changed:
        options = listing([f"--{name.replace('_', '-')}" for name in changed])
        raise StudyError(
            f"{place} already has an ablation of trial {known.winner} with other options ({options}). Leave them out to"
            " continue it, or delete the study that holds its runs in the Optuna dashboard to begin anew."
        )
    runs = known.runs if request.runs is None else request.runs
    if runs < len(known.planned):
        raise StudyError(
            f"{place} already has {counted(len(known.planned), 'ablation run')}. Give a larger total (--runs), or leave"
            " it out."
        )
    return replace(known, runs=runs)


def _winner(place: StudyPlace, study: optuna.Study) -> int:
    """The trial that is taken apart: the winner of the confirmation, else the best one of the search."""
    if why := why_not_confirmed(study):
        raise StudyError(f"{place}: {why}")
    from regstudy.analysis.confirmation import confirmation
    from regstudy.study.tables import load_tables

    fresh = find_confirmation(place, study)
    claim = None if fresh is None else confirmation(load_tables(study), load_tables(fresh))
    if claim is not None:
        return claim.winner.number
    usable = [trial for trial in usable_trials(study) if fact(trial, attributes.ARM) != "baseline"]
    return next(trial.number for trial in usable if fact(trial, attributes.CONFIG) is not None)


def _plan_words(place: StudyPlace, study: optuna.Study, facts: AblationFacts) -> str:
    """Arms, runs, and the smallest effect that they can tell."""
    of, (spread, known) = metric_or_accuracy(fact(study, attributes.METRIC)), _spread(place, study)
    told = resolution(facts.request, spread * math.sqrt(2))
    unit, shown = ("points", f"{100 * told:.1f}") if of.percent else ("nats", f"{told:.3f}")
    guess = "" if known else " (if the spread of a run is as usual; no confirmation runs tell it)"
    confirmed = "confirmed winner" if find_confirmation(place, study) is not None else "best trial of the search"
    return (
        f"Ablation of trial {facts.winner}, the {confirmed}: {counted(facts.runs, 'run')} of"
        f" {counted(len(facts.arms), 'arm')} ({listing(list(facts.arms))}), in repeats with a fresh seed and a fresh"
        f" split each. Effects from {shown} {unit} on can be told{guess}."
    )


def _spread(place: StudyPlace, study: optuna.Study) -> tuple[float, bool]:
    """The standard deviation of a run, and whether confirmation runs tell it."""
    fresh = find_confirmation(place, study)
    facts = None if fresh is None else facts_in(fresh)
    rows: dict[int, dict[int, float]] = {}
    if fresh is not None and facts is not None:
        for trial in fresh.get_trials(deepcopy=False):
            slot = fact(trial, attributes.SLOT)
            if trial.value is not None and slot is not None and slot < len(facts.planned):
                run = facts.planned[slot]
                rows.setdefault(run.number, {})[run.round] = trial.value
    sd, degrees = residual_spread(list(rows.values())) if rows else (math.nan, 0)
    return (sd, True) if degrees >= 2 and sd > 0 else (GUESSED_SPREAD, False)


def _stage_words(facts: AblationFacts) -> str:
    """The stage that is run now."""
    stage = facts.stages[-1]
    head = f"Stage {len(facts.stages)}: repeats {stage.first} to {stage.last} of {listing(list(stage.arms))}."
    if len(facts.stages) == 1:
        return head
    return f"{head} The other arms are decided, or would not be by the runs that are left."


def _totals(found: optuna.Study | None, facts: AblationFacts) -> Totals:
    """Where the runs stand; an ablation may end early, when all is decided."""
    planned = len(facts.planned) if found is None else len((ablation_in(found) or facts).planned)
    state = queue_state(found.get_trials(deepcopy=False) if found is not None else ())
    total = planned or facts.runs
    return Totals(
        total,
        finished=sum(slot < total for slot in state.finished),
        left=state.count_unfinished(total),
        given_up=sum(slot < total for slot in state.lost),
        repeated=sum(sum(kinds.values()) for kinds in state.faults.values()),
    )
