"""Weight penalties, and the parameters they apply to: never biases or normalization layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from regstudy.config.run_config import RunConfig
from regstudy.config.schema import AdamW

PENALIZED_LAYERS = (nn.modules.conv._ConvNd, nn.Linear)


def penalized_weights(model: nn.Module) -> list[nn.Parameter]:
    """Trainable weights of convolutions and dense layers, each once, in the order of the modules."""
    found = dict.fromkeys(module.weight for module in model.modules() if isinstance(module, PENALIZED_LAYERS))
    return [weight for weight in found if isinstance(weight, nn.Parameter) and weight.requires_grad]


def is_decoupled(config: RunConfig) -> bool:
    """Whether L2 shrinks the weights directly instead of entering their gradient."""
    mode = config.regularization.l2_mode
    return isinstance(config.optimizer, AdamW) if mode is None else mode == "decoupled"


@torch.no_grad()
def decay_l2(weights: Sequence[Tensor], amount: float | Tensor) -> None:
    """Decoupled weight decay in place: w ← w · (1 − amount), amount = lr · λ (Loshchilov and Hutter, 2019)."""
    if weights:
        torch._foreach_mul_(list(weights), 1 - amount)


@torch.no_grad()
def shrink_l1(weights: Sequence[Tensor], amount: float | Tensor) -> None:
    """Proximal step of an L1 penalty in place: w ← sign(w) · max(|w| − amount, 0), amount = lr · λ.

    Weights become exactly zero, which adding λ·sign(w) to the gradient never does.
    """
    for weight in weights:
        if isinstance(amount, Tensor):  # which softshrink does not take
            weight.sub_(weight.clamp(-amount, amount))
        else:
            weight.copy_(nn.functional.softshrink(weight, amount))
