"""The sampler of a search, with every option written out because Optuna's defaults move."""

from __future__ import annotations

import math
import warnings

import numpy as np
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import Trial

from regstudy.metrics import metric
from regstudy.space.plan import Plan
from regstudy.study.ranking import ROUNDING, gap_of_trial

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
            constraints_func=None,  # `constrain` sets the constraint of each trial
        )


def constrain(trial: Trial, plan: Plan) -> None:
    """Tell Optuna by how much the gap of a trial that has ended is above the study's limit, if it has one.

    The sampler, Optuna's best trial and its dashboard then prefer the trials that are allowed.
    """
    limit = plan.study.gap_at_most
    if limit is not None and plan.adaptive:
        gap = gap_of_trial(trial, metric(plan.study.metric))
        trial.set_constraint("gap", gap - limit - ROUNDING if math.isfinite(gap) else UNKNOWN_GAP)
