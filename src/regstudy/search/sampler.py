"""The sampler of a search, with every option written out because Optuna's defaults move."""

from __future__ import annotations

import warnings

import numpy as np
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from regstudy.space.plan import Plan

STARTUP_TRIALS = 10


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
            constraints_func=None,
        )
