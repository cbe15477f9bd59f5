"""A model with its optimizer before training, and copies of both for experiments."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

Loss = Callable[[Tensor, Tensor], Tensor]
DROPOUTS = (nn.modules.dropout._DropoutNd,)
NORMS = (nn.modules.batchnorm._BatchNorm,)
LAYERS = (nn.modules.conv._ConvNd, nn.Linear)


@dataclass(frozen=True)
class Setup:
    """``model`` before its first step, ``optimizer`` over its parameters, ``loss`` of (outputs N×C, labels N).

    ``decoupled`` is a weight decay applied outside the optimizer, λ in w ← w·(1 − lr·λ); ``steps`` the number of
    batches of the run, if known; ``dropout`` the configured rate, if there is a configuration.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    batch_size: int = 32
    loss: Loss = cross_entropy
    decoupled: float = 0.0
    pretrained: bool = False
    steps: int | None = None
    dropout: float | None = None

    def copied(self) -> tuple[nn.Module, torch.optim.Optimizer]:
        """A copy of the model with an optimizer over the copy's parameters."""
        model, optimizer = copy.deepcopy((self.model, self.optimizer))
        return model, optimizer

    @property
    def lr(self) -> float:
        """The largest learning rate of the optimizer's groups."""
        return max(float(group["lr"]) for group in self.optimizer.param_groups)


@contextmanager
def quiet(model: nn.Module) -> Iterator[nn.Module]:
    """The model in train mode with dropout off; restores modes and torch's generator afterwards."""
    before = {module: module.training for module in model.modules()}
    with torch.random.fork_rng(devices=[]):
        model.train()
        for module in model.modules():
            if isinstance(module, DROPOUTS):
                module.training = False
        try:
            yield model
        finally:
            for module, training in before.items():
                module.training = training


def batch_norms(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Batch normalization layers by name."""
    return [(name, module) for name, module in model.named_modules() if isinstance(module, NORMS)]


def descend(
    setup: Setup,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Tensor,
    labels: Tensor,
    steps: int,
    size: int,
) -> Iterator[float]:
    """Train a copy on inputs N×C×H×W for ``steps`` steps in batches of ``size`` in a fixed random order; yields losses.

    Plain steps for any model, without the extras of a run; `regstudy.training.loop` is for runs.
    """
    order, done = torch.Generator().manual_seed(0), 0
    with quiet(model):
        while done < steps:
            for batch in torch.split(torch.randperm(len(labels), generator=order), size):
                if len(batch) < 2 or done == steps:  # batch normalization needs at least two images
                    continue
                loss = setup.loss(model(inputs[batch]).float(), labels[batch]).mean()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                done += 1
                yield float(loss.detach())
