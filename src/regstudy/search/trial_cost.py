"""Before a study runs: whether its images fit its networks, and what a trial of each arm costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from regstudy import models
from regstudy.config.run_config import RunConfig
from regstudy.config.user_code import user_code
from regstudy.data.image_set import Splits
from regstudy.data.preprocessing import prepare
from regstudy.errors import RegstudyError, StudyError
from regstudy.search.events import Cost
from regstudy.space.plan import Plan
from regstudy.training.cost import seconds_per_epoch


def costs_of(plan: Plan, splits: Splits, device: str) -> dict[str, Cost]:
    """Build the network of every arm and time a few batches; StudyError if that fails."""
    return {name: _cost(plan, splits, device, name, config) for name, config in plan.representatives().items()}


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


def _cost(plan: Plan, splits: Splits, device: str, name: str, config: RunConfig) -> Cost:
    with _explained(plan, name):
        side = prepare(config.preprocessing, splits.train).side
        shape = splits.train.shape[0], side, len(splits.train.classes)
        network = models.build(config.model, *shape)
        models.check_answers(config.model, network, *shape)
        sizes = models.parameter_counts(network)
        seconds = seconds_per_epoch(config, splits, torch.device(device))
    compiled = any(one.training.compile for one in config.in_phases())
    return Cost(seconds, config.planned_epochs, sizes.total, sizes.trainable, splits.folds, compiled)


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
