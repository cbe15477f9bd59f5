"""The sampler of a search, with every option written out because Optuna's defaults move."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from regstudy.metrics import metric
from regstudy.space.plan import Plan
from regstudy.study.ranking import gap_of_trial

STARTUP_TRIALS = 10
UNKNOWN_GAP = 1e6  # stands for a gap that was not measured, which is worse than any other


def make_sampler(plan: Plan, study_seed: int, worker: int, finished: int) -> BaseSampler:
    """TPE that models dependent parameters together, conditional ones in their groups.

    The seed differs per worker and with the number of finished trials, so that neither a second worker nor a resumed
    study draws the same points again. A fixed plan leaves nothing to draw.
    """
    if not plan.adaptive:
        return RandomSampler(study_seed)
    seed = int(np.random.SeedSequence([study_seed, worker, finished]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # group
        return TPESampler(
            n_startup_trials=STARTUP_TRIALS,
            n_ei_candidates=24,
            gamma=None,
            weights=None,
            seed=seed,
            multivariate=True,
            group=True,
            constant_liar=True,
            constraints_func=_gap_above(plan),
        )


def _gap_above(plan: Plan) -> Callable[[FrozenTrial], tuple[float]] | None:
    """By how much a trial's gap is above the study's limit, as Optuna's constraints are written; None without one.

    Optuna keeps the number with the trial, so the sampler and the dashboard know which trials are allowed.
    """
    limit, of = plan.study.gap_at_most, metric(plan.study.metric)
    if limit is None:
        return None

    def above(trial: FrozenTrial) -> tuple[float]:
        gap = gap_of_trial(trial, of)
        return (gap - limit if math.isfinite(gap) else UNKNOWN_GAP,)

    return above
