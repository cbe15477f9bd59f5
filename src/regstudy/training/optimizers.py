"""Optimizers with their parameter groups."""

from __future__ import annotations

import warnings

import torch
from torch import nn

from regstudy.config import schema
from regstudy.config.run_config import RunConfig
from regstudy.training.decay import is_decoupled, penalized_weights


def make_optimizer(run: RunConfig, model: nn.Module, on_gpu: torch.device | None = None) -> torch.optim.Optimizer:
    """The optimizer over all trainable parameters; a coupled L2 reaches only the penalized weights.

    `adamw` is Adam with decoupled decay, which `regularization.decay_l2` applies for every optimizer alike. ``on_gpu`` is the GPU where the optimizer keeps
    everything, the learning rate as well, so that its steps can be recorded; set the rate in place there.
    """
    weights = penalized_weights(model)
    chosen = {id(weight) for weight in weights}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in chosen]
    coupled = 0.0 if is_decoupled(run) else run.regularization.l2
    groups = [{"params": weights, "weight_decay": coupled}, {"params": others, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    choice, capturable = run.optimizer, on_gpu is not None
    lr = choice.lr if on_gpu is None else torch.full((), choice.lr, device=on_gpu)
    if capturable:  # steps outside a recording are meant
        warnings.filterwarnings("ignore", "This instance was constructed with capturable=True", UserWarning)
    if isinstance(choice, schema.SGD):
        nesterov = choice.nesterov and choice.momentum > 0
        return torch.optim.SGD(groups, lr=lr, momentum=choice.momentum, nesterov=nesterov, fused=True)
    if isinstance(choice, schema.RMSprop):
        return torch.optim.RMSprop(
            groups, lr=lr, alpha=choice.alpha, momentum=choice.momentum, foreach=True, capturable=capturable
        )
    return torch.optim.Adam(groups, lr=lr, betas=(choice.beta1, choice.beta2), fused=True, capturable=capturable)
