"""Weight penalties: what they do, and to which parameters."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import CPU, cnn, make_config, make_splits
from torch import nn

from regstudy.training.decay import decay_l2, is_decoupled, penalized_weights, shrink_l1
from regstudy.training.loop import run_epoch
from regstudy.training.train_state import start


def small_net() -> nn.Module:
    torch.manual_seed(0)
    return cnn(3, 12, 3)


NETS = {
    "convolution and dense": (small_net, ["0.weight", "6.weight"]),
    "norms and biases only": (lambda: nn.Sequential(nn.BatchNorm2d(3), nn.GroupNorm(1, 3), nn.LayerNorm(3)), []),
    "transposed and 1-d": (
        lambda: nn.Sequential(nn.ConvTranspose2d(1, 2, 3), nn.Conv1d(1, 1, 1)),
        ["0.weight", "1.weight"],
    ),
    "embedding and activation": (lambda: nn.Sequential(nn.Embedding(3, 2), nn.PReLU(), nn.Linear(2, 2)), ["2.weight"]),
}


@pytest.mark.parametrize("name", NETS)
def test_weights_of_convolutions_and_dense_layers_are_penalised_and_nothing_else(name: str) -> None:
    make, expected = NETS[name]
    model = make()
    chosen = {id(weight) for weight in penalized_weights(model)}
    assert [name for name, parameter in model.named_parameters() if id(parameter) in chosen] == expected


def test_a_shared_weight_is_penalised_once_and_a_frozen_one_never() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    model[2].weight.requires_grad_(False)
    assert [id(weight) for weight in penalized_weights(model)] == [id(model[0].weight)]


@pytest.mark.parametrize(
    ("optimizer", "mode", "expected"),
    [
        ("adamw", None, True),
        ("adam", None, False),
        ("sgd", None, False),
        ("rmsprop", None, False),
        ("adamw", "coupled", False),
        ("sgd", "decoupled", True),
        ("adam", "decoupled", True),
    ],
)
def test_decay_is_decoupled_for_adamw_unless_the_mode_says_otherwise(
    optimizer: str, mode: str | None, expected: bool
) -> None:
    config = make_config({"optimizer": {"name": optimizer}, "regularization.l2_mode": mode})
    assert is_decoupled(config) is expected


@given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=8), st.floats(0, 1, width=32))
def test_the_proximal_step_pulls_every_weight_towards_zero_by_the_amount(weights: list[float], amount: float) -> None:
    given_weights = torch.tensor(weights)
    tensor = given_weights.clone()
    shrink_l1([tensor], amount)
    expected = given_weights.sign() * (given_weights.abs() - amount).clamp(min=0)
    torch.testing.assert_close(tensor, expected, atol=1e-7, rtol=1e-6)
    assert torch.all(tensor[given_weights.abs() <= amount] == 0)  # exactly


@given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=8), st.floats(0, 1, width=32))
def test_decoupled_decay_multiplies(weights: list[float], amount: float) -> None:
    tensor = torch.tensor(weights)
    decay_l2([tensor], amount)
    torch.testing.assert_close(tensor, torch.tensor(weights) * (1 - amount), atol=1e-7, rtol=1e-6)


def test_no_weights_to_decay_is_nothing_to_do() -> None:
    decay_l2([], 0.1)
    shrink_l1([], 0.1)


def after_one_step(changes: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Parameters after one step of plain SGD, which moves each by lr · gradient."""
    state = start(
        make_config(
            {
                "optimizer": {"name": "sgd", "lr": 0.125, "momentum": 0.0},
                "training.epochs": 1,
                "training.batch_size": 24,
                **changes,
            }
        ),
        make_splits(),
        CPU,
    )
    run_epoch(state)
    return {name: parameter.detach().clone() for name, parameter in state.model.named_parameters()}


def before_any_step() -> dict[str, torch.Tensor]:
    model = start(make_config(), make_splits(), CPU).model
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


WEIGHTS = {"0.weight", "6.weight"}


@pytest.mark.parametrize("mode", ["coupled", "decoupled"])
def test_l2_adds_its_share_to_the_step_of_weights_alone(mode: str) -> None:
    """For plain SGD both modes are the same step: w − lr·(g + λ·w)."""
    first, plain = before_any_step(), after_one_step({})
    decayed = after_one_step({"regularization.l2": 0.5, "regularization.l2_mode": mode})
    for name, parameter in first.items():
        pull = 0.125 * 0.5 * parameter if name in WEIGHTS else torch.zeros_like(parameter)
        torch.testing.assert_close(decayed[name], plain[name] - pull, atol=1e-6, rtol=0)


def test_l1_makes_weights_exactly_zero_after_the_step_and_leaves_the_rest() -> None:
    plain = after_one_step({})
    sparse = after_one_step({"regularization.l1": 0.8})
    for name, parameter in plain.items():
        expected = parameter.sign() * (parameter.abs() - 0.1).clamp(min=0) if name in WEIGHTS else parameter
        torch.testing.assert_close(sparse[name], expected, atol=1e-6, rtol=0)
    assert all(int((sparse[name] == 0).sum()) > 0 for name in WEIGHTS)


def test_coupled_l2_under_adam_goes_through_the_gradient_and_decoupled_does_not() -> None:
    """The first step of Adam is lr · sign(gradient): coupled decay can only turn signs, decoupled decay shrinks."""
    step = {"optimizer": {"name": "adam", "lr": 0.125}}
    first, plain = before_any_step(), after_one_step(step)
    coupled = after_one_step({**step, "regularization.l2": 1e4})
    decoupled = after_one_step({**step, "regularization.l2": 0.5, "regularization.l2_mode": "decoupled"})
    for name in WEIGHTS:
        towards_zero = first[name] - 0.125 * first[name].sign()
        torch.testing.assert_close(coupled[name], towards_zero, atol=1e-3, rtol=0)
        torch.testing.assert_close(decoupled[name], plain[name] - 0.125 * 0.5 * first[name], atol=1e-6, rtol=0)
    for name in first.keys() - WEIGHTS:
        assert torch.equal(coupled[name], plain[name]) and torch.equal(decoupled[name], plain[name])
