"""Optimizers with their parameter groups."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from regstudy.config import schema
from regstudy.config.run_config import RunConfig
from regstudy.training.decay import is_decoupled, penalized_weights


def make_optimizer(run: RunConfig, model: nn.Module, on_gpu: torch.device | None = None) -> torch.optim.Optimizer:
    """The optimizer over all trainable parameters; a coupled L2 reaches only the penalized weights.

    `adamw` is Adam with decoupled decay, which `regularization.decay_l2` applies for every optimizer alike.
    With ``on_gpu``, the learning rate is on that GPU, so that steps can be recorded; it must be changed in place.
    """
    weights = penalized_weights(model)
    chosen = {id(weight) for weight in weights}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in chosen]
    coupled = 0.0 if is_decoupled(run) else run.regularization.l2
    groups = [{"params": weights, "weight_decay": coupled}, {"params": others, "weight_decay": 0.0}]
    optimizer = _optimizer(run.optimizer, [group for group in groups if group["params"]], capturable=on_gpu is not None)
    if on_gpu is not None:
        # steps outside a recording are meant, too
        warnings.filterwarnings("ignore", "This instance was constructed with capturable=True", UserWarning)
        for group in optimizer.param_groups:
            group["lr"] = torch.full((), group["lr"], device=on_gpu)
    return optimizer


def _optimizer(choice: schema.AnyOptimizer, groups: list[dict[str, Any]], capturable: bool) -> torch.optim.Optimizer:
    if isinstance(choice, schema.SGD):
        nesterov = choice.nesterov and choice.momentum > 0
        return torch.optim.SGD(groups, lr=choice.lr, momentum=choice.momentum, nesterov=nesterov, fused=True)
    if isinstance(choice, schema.RMSprop):
        alpha, momentum = choice.alpha, choice.momentum
        return torch.optim.RMSprop(
            groups, lr=choice.lr, alpha=alpha, momentum=momentum, foreach=True, capturable=capturable
        )
    betas = (choice.beta1, choice.beta2)
    return torch.optim.Adam(groups, lr=choice.lr, betas=betas, fused=True, capturable=capturable)
