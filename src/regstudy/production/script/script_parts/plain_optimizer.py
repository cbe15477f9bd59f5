"""Optimizer and learning rate of a script."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from regstudy.production.script.script_parts.plain_settings import Settings
from regstudy.training.decay import penalized_weights


def make_optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """The optimizer of all parameters that are trained."""
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [{"params": learned, "weight_decay": 0.0}]
    if settings.l2 and not settings.decoupled:
        weights = penalized_weights(model)
        chosen = {id(weight) for weight in weights}
        others = [parameter for parameter in learned if id(parameter) not in chosen]
        groups = [{"params": weights, "weight_decay": settings.l2}, {"params": others, "weight_decay": 0.0}]
    if settings.optimizer == "sgd":
        nesterov = settings.nesterov and settings.momentum > 0
        return torch.optim.SGD(
            groups,
            lr=settings.learning_rate,
            momentum=settings.momentum,
            nesterov=nesterov,
            fused=True,
        )
    if settings.optimizer == "rmsprop":
        return torch.optim.RMSprop(
            groups,
            lr=settings.learning_rate,
            alpha=settings.alpha,
            momentum=settings.momentum,
            foreach=True,
        )
    return torch.optim.Adam(groups, lr=settings.learning_rate, betas=(settings.beta1, settings.beta2), fused=True)


def learning_rate(settings: Settings, values: Sequence[float], step: int, steps: int) -> float:
    """The rate of a step (from 0) of the epoch that follows these values of the monitored metric, one per epoch."""
    base = settings.learning_rate
    if settings.schedule == "constant" and not settings.warmup_epochs:
        return base
    if settings.schedule == "plateau" and not settings.warmup_epochs:
        return base * settings.factor ** plateaus(settings, values)
    if settings.interval == "epoch":
        done, steps = len(values), 1
    else:
        done = len(values) * steps + step
    if settings.warmup_epochs:
        warmup = settings.warmup_epochs * steps
        if done < warmup:
            return base * (done + 1) / (warmup + 1)
        done -= warmup
    if settings.schedule == "constant":
        return base
    if settings.schedule == "plateau":
        return base * settings.factor ** plateaus(settings, values)
    elapsed = done / steps  # epochs, after the warm-up
    if settings.schedule == "step":
        return base * math.pow(settings.gamma, elapsed // settings.step_size)
    if settings.schedule == "multi_step":
        return base * math.pow(settings.gamma, sum(milestone <= elapsed for milestone in settings.milestones))
    if settings.schedule == "exponential":
        return base * math.pow(settings.gamma, elapsed)
    if settings.schedule == "lambda":
        return base * own_factor(elapsed)
    planned = settings.epochs - settings.warmup_epochs
    if settings.schedule == "linear":
        return base * (settings.final + (1 - settings.final) * (1 - elapsed / planned))
    share = (1 + math.cos(math.pi * elapsed / planned)) / 2
    return base * (settings.final + (1 - settings.final) * share)


def plateaus(settings: Settings, values: Sequence[float]) -> int:
    """How often the values have gone more than the patience of the schedule without an improvement."""
    best, waited, found = math.inf, 0, 0
    for value in values[settings.warmup_epochs :]:
        loss = -value if settings.monitor_maximize else value
        if loss < best - settings.tolerance:
            best, waited = loss, 0
        else:
            waited += 1
        if waited > settings.plateau_patience:
            found, waited = found + 1, 0
    return found


def own_factor(elapsed: float) -> float:
    """Share of the base learning rate after ``elapsed`` epochs."""
    raise NotImplementedError


def should_stop(settings: Settings, values: Sequence[float]) -> bool:
    """Early stopping: whether the values have not improved for as many epochs as the patience allows."""
    reference, waited = math.inf, 0
    for epoch, value in enumerate(values, start=1):
        loss = -value if settings.monitor_maximize else value
        if loss < reference - settings.tolerance:
            reference, waited = loss, 0
        elif settings.grace and epoch <= settings.grace:
            waited = 0
        else:
            waited += 1
        if settings.reference == "minimum":
            reference = min(reference, loss)
    return waited >= settings.patience  # type: ignore[operator]
