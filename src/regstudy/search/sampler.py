"""The sampler of a search, with every option written out because Optuna's defaults move.

A search that starts from trials of an earlier study shows them to its sampler as the oldest trials. They are in no
study: the sampler looks at a copy of the study in memory that has them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FixedTrial, FrozenTrial, Trial, TrialState, create_trial

from regstudy.metrics import metric
from regstudy.space.plan import Plan
from regstudy.space.search_space import Space
from regstudy.study.ranking import excess, gap_of_trial
from regstudy.study.start import EarlierTrial, Start

STARTUP_TRIALS = 10
CONSTRAINT = "gap"
UNKNOWN_GAP = 1e6  # stands for a gap that was not measured, which is worse than any other


def make_sampler(plan: Plan, study_seed: int, worker: int, finished: int, start: Start | None = None) -> BaseSampler:
    """TPE that models dependent parameters together, conditional ones in their groups.

    Points to try first are no random start: as many random trials are drawn as without them, so that poor ones cost
    their own trials and no more.

    The seed differs per worker and with the number of finished trials, so that neither a second worker nor a resumed
    study draws the same points again. A fixed plan leaves nothing to draw.
    """
    if not plan.adaptive:
        return RandomSampler(study_seed)
    seed = int(np.random.SeedSequence([study_seed, worker, finished]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # group
        sampler = TPESampler(
            n_startup_trials=STARTUP_TRIALS + (len(start.tries) if start is not None else 0),
            n_ei_candidates=24,
            gamma=None,
            weights=None,
            seed=seed,
            multivariate=True,
            group=True,
            constant_liar=True,
            constraints_func=None,  # `constrain` sets the constraint of each trial
        )
    earlier = [trial for source in start.sources for trial in source.known] if start is not None else []
    return InformedSampler(sampler, plan, earlier) if earlier and isinstance(plan, Space) else sampler


def constrain(trial: Trial, plan: Plan) -> None:
    """Tell Optuna by how much the gap of a trial that has ended is above the study's limit, if it has one.

    The sampler, Optuna's best trial and its dashboard then prefer the trials that are allowed.
    """
    limit = plan.study.gap_at_most
    if limit is not None and plan.adaptive:
        trial.set_constraint(CONSTRAINT, _constraint(gap_of_trial(trial, metric(plan.study.metric)), limit))


def _constraint(gap: float, limit: float) -> float:
    return excess(gap, limit) if math.isfinite(gap) else UNKNOWN_GAP


class InformedSampler(BaseSampler):
    """Another sampler that sees the trials of earlier studies before those of the study."""

    def __init__(self, sampler: BaseSampler, space: Space, earlier: Sequence[EarlierTrial]) -> None:
        self._sampler = sampler
        self._earlier = [_as_trial(space, trial) for trial in earlier]
        self._seen: tuple[int, optuna.Study] | None = None  # by the number of the trial that is being drawn

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """See optuna."""
        self._seen = None  # a trial asks for this first
        return self._sampler.infer_relative_search_space(*self._with_earlier(study, trial))

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See optuna."""
        return self._sampler.sample_relative(*self._with_earlier(study, trial), search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """See optuna."""
        return self._sampler.sample_independent(*self._with_earlier(study, trial), param_name, param_distribution)

    def reseed_rng(self) -> None:
        """See optuna."""
        self._sampler.reseed_rng()

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """See optuna."""
        self._sampler.before_trial(study, trial)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """See optuna."""
        self._sampler.after_trial(study, trial, state, values)

    def _with_earlier(self, study: optuna.Study, trial: FrozenTrial) -> tuple[optuna.Study, FrozenTrial]:
        """A copy of the study that begins with the earlier trials, and the trial in it."""
        if self._seen is None or self._seen[0] != trial.number:
            with _silent():
                copy = optuna.create_study(direction=study.direction)  # in memory
            copy.add_trials(self._earlier)
            for one in study.get_trials(deepcopy=False):
                _add(copy, one)
            self._seen = trial.number, copy
        copy = self._seen[1]
        return copy, copy.get_trials(deepcopy=False)[len(self._earlier) + trial.number]


def _add(copy: optuna.Study, trial: FrozenTrial) -> None:
    """Add a trial; in place of one that Optuna refuses, such as a point outside the ranges, one without values."""
    try:
        copy.add_trial(trial)
    except ValueError:
        copy.add_trial(create_trial(state=TrialState.FAIL))


@contextmanager
def _silent() -> Iterator[None]:
    """Within this block Optuna does not announce studies."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _as_trial(space: Space, earlier: EarlierTrial) -> FrozenTrial:
    point = FixedTrial(dict(earlier.params))
    space.suggest(point)
    limit = space.study.gap_at_most
    gap = math.nan if earlier.gap is None else earlier.gap
    constraints = None if limit is None else {CONSTRAINT: _constraint(gap, limit)}
    return create_trial(
        params=point.params, distributions=point.distributions, value=earlier.value, constraints=constraints
    )
