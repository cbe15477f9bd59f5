"""Optimizers against torch's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import make_config
from torch import nn

from regstudy.training.decay import decay_l2, penalized_weights
from regstudy.training.optimizers import make_optimizer


def net() -> nn.Sequential:
    """Weights only, so that torch's optimizers decay exactly what ours do."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.Flatten(), nn.Linear(8, 3, bias=False))


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, decay: float = 0.0) -> list[torch.Tensor]:
    """Weights after five steps on fixed random images."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        images, labels = torch.randn(6, 1, 4, 4, generator=generator), torch.tensor([0, 1, 2, 0, 1, 2])
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        if decay:
            decay_l2(penalized_weights(model), decay)
        optimizer.step()
    return [parameter.detach() for parameter in model.parameters()]


Parameters = Any
REFERENCES: dict[str, tuple[dict[str, Any], Callable[[Parameters], torch.optim.Optimizer]]] = {
    "adam": (
        {"name": "adam", "lr": 0.02, "beta1": 0.8, "beta2": 0.9},
        lambda ps: torch.optim.Adam(ps, 0.02, (0.8, 0.9), weight_decay=0.3),
    ),
    "sgd with momentum": (
        {"name": "sgd", "lr": 0.02, "momentum": 0.8, "nesterov": False},
        lambda ps: torch.optim.SGD(ps, 0.02, 0.8, weight_decay=0.3),
    ),
    "sgd nesterov": (
        {"name": "sgd", "lr": 0.02, "momentum": 0.8},
        lambda ps: torch.optim.SGD(ps, 0.02, 0.8, nesterov=True, weight_decay=0.3),
    ),
    "sgd nesterov without momentum is plain": (
        {"name": "sgd", "lr": 0.02, "momentum": 0.0, "nesterov": True},
        lambda ps: torch.optim.SGD(ps, 0.02, weight_decay=0.3),
    ),
    "rmsprop": (
        {"name": "rmsprop", "lr": 0.02, "alpha": 0.9, "momentum": 0.5},
        lambda ps: torch.optim.RMSprop(ps, 0.02, 0.9, momentum=0.5, weight_decay=0.3),
    ),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_an_optimizer_with_coupled_l2_steps_as_torchs_own(name: str) -> None:
    section, make = REFERENCES[name]
    ours, theirs = net(), net()
    config = make_config({"optimizer": section, "regularization.l2": 0.3})
    found = steps(ours, make_optimizer(config, ours))
    for one, other in zip(found, steps(theirs, make(theirs.parameters())), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_adam_with_our_decoupled_decay_is_torchs_adamw() -> None:
    ours, theirs = net(), net()
    config = make_config({"optimizer": {"name": "adamw", "lr": 0.02}, "regularization.l2": 0.3})
    found = steps(ours, make_optimizer(config, ours), decay=0.02 * 0.3)
    for one, other in zip(
        found, steps(theirs, torch.optim.AdamW(theirs.parameters(), 0.02, weight_decay=0.3)), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_coupled_l2_reaches_the_weights_and_each_trainable_parameter_is_optimized_once() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    model[2].weight.requires_grad_(False)
    config = make_config({"optimizer": {"name": "sgd"}, "regularization.l2": 0.3})
    groups = make_optimizer(config, model).param_groups
    decays = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    found = {name: decays.get(id(parameter)) for name, parameter in model.named_parameters()}
    assert found == {"0.weight": 0.3, "0.bias": 0, "1.weight": 0, "1.bias": 0, "2.weight": None, "2.bias": 0}
    assert sum(len(group["params"]) for group in groups) == 5


def test_decoupled_l2_leaves_the_optimizer_without_any() -> None:
    config = make_config({"optimizer": {"name": "adamw"}, "regularization.l2": 0.3})
    assert {group["weight_decay"] for group in make_optimizer(config, nn.Linear(2, 2)).param_groups} == {0.0}
