"""Exponential moving average of a network's weights, which is then evaluated and saved instead of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """The average of a network's parameters and running statistics; whole-number buffers are copied.

    ``decay`` is the share that the average keeps at every step. The first steps keep less, (1 + t) / (10 + t) after t
    steps, so that the random initial weights are forgotten quickly (as in TensorFlow's ExponentialMovingAverage).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.values = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    def update(self, model: nn.Module) -> None:
        """Move the average towards the network's current weights by one step."""
        self.move(model, self.next_share())

    def next_share(self) -> float:
        """The share of the network's weights in the average at the next step, which this counts."""
        self.steps += 1
        return 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))

    @torch.no_grad()
    def move(self, model: nn.Module, share: float | Tensor) -> None:
        """Move the average towards the network's current weights by a share of the way."""
        now = model.state_dict()
        real = [name for name, tensor in now.items() if tensor.is_floating_point()]
        averages, weights = [self.values[name] for name in real], [now[name] for name in real]
        if isinstance(share, Tensor):  # for which lerp would run once per tensor
            ways = torch._foreach_sub(weights, averages)
            torch._foreach_mul_(ways, share)
            torch._foreach_add_(averages, ways)
        else:
            torch._foreach_lerp_(averages, weights, share)
        for name in now.keys() - set(real):
            self.values[name].copy_(now[name])

    @contextmanager
    def used_by(self, model: nn.Module) -> Iterator[None]:
        """Within this block the network has the averaged weights; afterwards its own ones again."""
        own = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        model.load_state_dict(self.values)
        try:
            yield
        finally:
            model.load_state_dict(own)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint stores."""
        return {"steps": self.steps, "values": self.values}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a stored average."""
        self.steps = state["steps"]
        for name, tensor in state["values"].items():
            self.values[name].copy_(tensor)
