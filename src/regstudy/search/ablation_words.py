"""What an ablation says about itself: before it starts, at each stage, and where nothing is left to run."""

from __future__ import annotations

import math

import optuna

from regstudy.analysis.ablation_design import resolution
from regstudy.analysis.ablation_rates import FACTORS, TRIES_PER_RATE, factors_in_words
from regstudy.analysis.claim import residual_spread
from regstudy.config.learning_rate import learning_rates
from regstudy.config.schema import KFold
from regstudy.data.pool import Pool
from regstudy.metrics import metric_or_accuracy
from regstudy.search.ablation_facts import AblationFacts, winner_config
from regstudy.search.race_facts import facts_in
from regstudy.study import attributes
from regstudy.study.queue_state import queue_state
from regstudy.study.stored_facts import fact
from regstudy.text import counted, listing

GUESSED_SPREAD = 0.01  # standard deviation of a run where no confirmation runs tell it: of a share, or in nats


def plan_words(
    facts: AblationFacts, search: optuna.Study, confirmation: optuna.Study | None, split: str, who: str
) -> str:
    """Arms, runs, and the smallest effect that they can tell. ``who``: what the trial is that is taken apart."""
    of, (spread, known) = metric_or_accuracy(fact(search, attributes.METRIC)), _spread(confirmation)
    told = resolution(facts.request, spread * math.sqrt(2))
    unit, shown = ("points", f"{100 * told:.1f}") if of.percent else ("nats", f"{told:.3f}")
    guess = "" if known else " (if the spread of a run is as usual; no confirmation runs tell it)"
    return (
        f"Ablation of trial {facts.winner}, {who}: {counted(facts.runs, 'run')} of"
        f" {counted(len(facts.arms), 'arm')} ({listing(list(facts.arms))}), in repeats that share a fresh seed,"
        f" {split}.{rates_words(facts, search)} Effects from {shown} {unit} on can be detected{guess}."
    )


def rates_words(facts: AblationFacts, search: optuna.Study) -> str:
    """How the learning rate of each arm is chosen, or which ones have been; empty if none is. Begins with a space."""
    if not facts.retune_lr:
        return ""
    rates = learning_rates(winner_config(search, facts.winner))
    if facts.factors:
        return f" Learning rates, chosen by runs that enter no comparison: {factors_in_words(facts.factors, rates)}."
    tried = [f"{factor * rates[0]:.3g}" for factor in sorted(FACTORS.values())] if len(rates) == 1 else list(FACTORS)
    return (
        f" {counted(facts.tried, 'run')} of these come first: each arm is tried at the learning rates {listing(tried)},"
        f" {TRIES_PER_RATE} times each, and takes the best one. They enter no comparison, which has the other"
        f" {counted(facts.runs - facts.tried, 'run')}."
    )


def split_words(own_validation: bool, folds: int | None) -> str:
    """Which images the repeats train and validate on."""
    if own_validation:
        return "on the same validation images as the search"
    return f"on a fresh assignment to {folds} folds" if folds else "on a fresh split"


def folds_of(pool: Pool) -> int | None:
    """How many folds a run trains; None without folds."""
    resampling = pool.config.resampling
    return resampling.kfold if isinstance(resampling, KFold) else None


def stage_words(facts: AblationFacts, search: optuna.Study) -> str:
    """The stage that is run now, the first one with the learning rates that were chosen for it."""
    if not facts.stages:
        return f"Learning rates: {counted(len(facts.tries), 'run')} to choose them."
    stage = facts.stages[-1]
    repeats = f"repeat {stage.first}" if stage.first == stage.last else f"repeats {stage.first} to {stage.last}"
    head = f"Stage {len(facts.stages)}: {repeats} of {listing(list(stage.arms))}."
    if len(stage.arms) == len(facts.arms):
        return f"{head}{rates_words(facts, search) if len(facts.stages) == 1 else ''}"
    return f"{head} The other arms are decided, or would not be by the runs that are left."


def spare_words(facts: AblationFacts, runs: int) -> str:
    """Why fewer runs are made than were asked for; empty if they are not. Call it when nothing is left to run."""
    spare = runs - facts.made
    if spare < 1 or not facts.stages:
        return ""
    arms = len(facts.stages[-1].arms)
    if facts.lost and spare >= arms:
        return f"{counted(spare, 'run')} of the {runs} are not made: too many runs were given up."
    if spare < arms:
        are = "is" if spare == 1 else "are"
        return (
            f"{counted(spare, 'run')} of the {runs} {are} left over: too few for a further repeat, which has"
            f" {counted(arms, 'run')}."
        )
    return (
        f"{counted(spare, 'run')} of the {runs} are not needed: every effect is decided, or would not be by as many"
        " runs."
    )


def nothing_left_words(facts: AblationFacts, study: optuna.Study, place: object, runs: int) -> str:
    """That there is nothing to run, and why."""
    finished = len(queue_state(study.get_trials(deepcopy=False)).finished)
    head = f"Nothing left to do: {counted(finished, 'ablation run')} of {place} are finished."
    return " ".join([head, *filter(None, [spare_words(facts, runs)]), "To add more, increase the total (--runs)."])


def _spread(confirmation: optuna.Study | None) -> tuple[float, bool]:
    """The standard deviation of a run, and whether confirmation runs tell it."""
    facts = None if confirmation is None else facts_in(confirmation)
    rows: dict[int, dict[int, float]] = {}
    if confirmation is not None and facts is not None:
        for trial in confirmation.get_trials(deepcopy=False):
            slot = fact(trial, attributes.SLOT)
            usable = trial.value is not None and fact(trial, attributes.OUTCOME) != "diverged"
            if usable and slot is not None and slot < len(facts.planned):
                run = facts.planned[slot]
                rows.setdefault(run.number, {})[run.round] = float(trial.value or 0.0)
    sd, degrees = residual_spread(list(rows.values())) if rows else (math.nan, 0)
    return (sd, True) if degrees >= 2 and sd > 0 else (GUESSED_SPREAD, False)
