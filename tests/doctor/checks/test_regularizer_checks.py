"""Regularizers: is dropout on in training and only there, is it in its place, and does decay do anything?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from planted import convolutional, digits, mlp, setup, severities, state
from torch import Tensor, nn
from torch.nn.functional import dropout as functional_dropout

from regstudy.doctor.checks.regularizer_checks import decay, decay_under_norm, dropout, order
from regstudy.doctor.setup import Setup

PIXELS, LABELS = digits(64, size=8)
INPUTS = PIXELS.float() / 127.5 - 1


class Functional(nn.Module):
    """Dropout by function, with the switch forgotten or not."""

    def __init__(self, rate: float, forgotten: bool) -> None:
        super().__init__()
        self.first, self.last, self.rate, self.forgotten = nn.Linear(64, 64), nn.Linear(64, 10), rate, forgotten

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.first(images.flatten(1)).relu()
        return self.last(functional_dropout(hidden, self.rate, self.forgotten or self.training))


class Stuck(nn.Module):
    """A network of which a dropout is never switched, whatever is said."""

    def __init__(self, on: bool, layers: int = 1) -> None:
        super().__init__()
        rows = [one for _ in range(layers - 1) for one in (nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.5))]
        self.inner = nn.Sequential(nn.Flatten(), *rows, nn.Linear(64, 64), nn.Dropout(0.5), nn.Linear(64, 10))
        self.on = on
        self.train()

    def train(self, mode: bool = True) -> Stuck:
        super().train(mode)
        self.inner[-2].train(self.on)
        return self

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(images)


DROPOUTS: dict[str, tuple[Callable[[], nn.Module], float | None, dict[str, str]]] = {
    "none": (lambda: mlp(64, 10), None, {}),
    "sound": (lambda: mlp(64, 10, dropout=0.5), 0.5, {}),
    "weak": (lambda: mlp(64, 10, dropout=0.05), 0.05, {}),
    "by function": (lambda: Functional(0.5, forgotten=False), 0.5, {}),
    "with batch norm": (lambda: convolutional(), 0.0, {}),
    "asked for, not there": (lambda: mlp(64, 10), 0.4, {"dropout-inactive": "distorts"}),
    "always off": (lambda: Stuck(on=False), None, {"dropout-inactive": "distorts"}),
    "one of two always off": (lambda: Stuck(on=False, layers=2), None, {"dropout-inactive": "distorts"}),
    "always on": (lambda: Stuck(on=True), None, {"random-evaluation": "blocks"}),
    "by function, always on": (lambda: Functional(0.3, forgotten=True), 0.3, {"random-evaluation": "blocks"}),
}


@pytest.mark.parametrize("case", DROPOUTS)
def test_dropout_drops_in_training_only(case: str) -> None:
    model, asked, expected = DROPOUTS[case]
    assert severities(dropout(setup(model(), dropout=asked), INPUTS)) == expected


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Stuck(on=False), "Always in eval mode: inner.2."),
        (Stuck(on=False, layers=2), "Always in eval mode: inner.5."),
        (Stuck(on=True), "Always in train mode: inner.2."),
    ],
)
def test_the_stuck_layer_is_named(model: nn.Module, words: str) -> None:
    assert words in dropout(setup(model), INPUTS).findings[0].evidence


# Its place


def row(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), *layers, nn.Flatten(), nn.LazyLinear(10))


def built(*layers: nn.Module) -> nn.Module:
    model = row(*layers)
    model(INPUTS)
    return model


class Backwards(nn.Module):
    """Made in one order and called in the other."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.norm = nn.Dropout(0.3), nn.BatchNorm1d(64)
        self.last = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.drop(self.norm(images.flatten(1))))


@pytest.mark.parametrize(
    ("model", "misplaced"),
    [
        (lambda: built(nn.BatchNorm2d(4), nn.Dropout(0.3)), 0),
        (lambda: built(nn.Dropout(0.3), nn.BatchNorm2d(4)), 1),
        (lambda: built(nn.Dropout2d(0.3), nn.BatchNorm2d(4), nn.Dropout(0.3)), 1),
        (lambda: built(nn.Dropout(0.3), nn.ReLU(), nn.Dropout(0.3), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)), 2),
        (lambda: built(nn.Dropout(0.0), nn.BatchNorm2d(4)), 0),
        (lambda: built(nn.Dropout(0.3)), 0),
        (lambda: built(nn.Dropout(0.3), nn.GroupNorm(2, 4)), 0),
        (lambda: Backwards(), 0),
    ],
    ids=["behind", "before", "both", "far before", "of rate 0", "no batch norm", "group norm", "called behind"],
)
def test_dropout_belongs_behind_batch_normalization(model: Callable[[], nn.Module], misplaced: int) -> None:
    result = order(setup(model()), INPUTS)
    assert severities(result) == ({"dropout-before-batchnorm": "distorts"} if misplaced else {})
    assert all(line.startswith(f"{misplaced} dropout layers") for f in result.findings for line in f.evidence[:1])


# Decay


def decayed(optimizer: type[torch.optim.Optimizer], lr: float, amount: float, on: str = "all", **more: Any) -> Setup:
    model = mlp(64, 10)
    chosen = {"all": lambda _: True, "weights": lambda p: p.ndim > 1, "biases": lambda p: p.ndim == 1}[on]
    groups = [
        {"params": [p for p in model.parameters() if chosen(p)], "weight_decay": amount},
        {"params": [p for p in model.parameters() if not chosen(p)], "weight_decay": 0.0},
    ]
    kept = [group for group in groups if group["params"]]
    return Setup(model, optimizer(kept, lr=lr), **more)  # type: ignore[call-arg]


SGD, ADAM, ADAMW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
DECAYS: dict[str, tuple[Callable[[], Setup], dict[str, str]]] = {
    "none": (lambda: decayed(ADAM, 1e-3, 0.0), {}),
    "sgd": (lambda: decayed(SGD, 0.1, 5e-4, steps=5000), {}),
    "adam": (lambda: decayed(ADAM, 1e-3, 1e-2), {}),
    "adamw": (lambda: decayed(ADAMW, 1e-3, 0.1, steps=5000), {}),
    "weights only": (lambda: decayed(ADAM, 1e-3, 1e-2, "weights"), {}),
    "biases only": (lambda: decayed(ADAM, 1e-3, 1e-2, "biases"), {"decay-misses": "distorts"}),
    "biases only, sgd": (lambda: decayed(SGD, 0.1, 5e-4, "biases", steps=5000), {"decay-misses": "distorts"}),
    "sgd, tiny": (lambda: decayed(SGD, 0.1, 1e-8, steps=5000), {"decay-too-weak": "distorts"}),
    "adam, tiny": (lambda: decayed(ADAM, 1e-3, 1e-9), {"decay-too-weak": "distorts"}),
    "adamw, tiny": (lambda: decayed(ADAMW, 1e-3, 1e-6, steps=5000), {"decay-too-weak": "distorts"}),
    "adamw, tiny, for who knows how long": (lambda: decayed(ADAMW, 1e-3, 1e-6), {}),
    "beside the optimizer": (lambda: decayed(ADAM, 1e-3, 0.0, decoupled=0.1, steps=5000), {}),
    "beside the optimizer, tiny": (
        lambda: decayed(ADAM, 1e-3, 0.0, decoupled=1e-6, steps=5000),
        {"decay-too-weak": "distorts"},
    ),
}


@pytest.mark.parametrize("case", DECAYS)
def test_decay_reaches_weights_and_does_something(case: str) -> None:
    make, expected = DECAYS[case]
    assert severities(decay(make(), INPUTS, LABELS)) == expected


def test_a_decay_is_put_into_numbers() -> None:
    result = decay(decayed(SGD, 0.1, 1e-3, steps=1000), INPUTS, LABELS)
    assert result.examined == (
        "Weight decay 0.001 applies to 2 of 2 weight tensors. Over 1,000 steps it shrinks weights by at most 9.52%."
    )


@pytest.mark.parametrize(
    ("model", "amount", "searched", "found"),
    [
        (convolutional, 1e-3, (), True),
        (convolutional, 0.0, ("regularization.l2",), True),
        (convolutional, 0.0, ("regularization.l1",), False),
        (convolutional, 0.0, (), False),
        (lambda: mlp(64, 10), 1e-3, (), False),
    ],
)
def test_l2_under_batch_normalization_is_worth_a_word(
    model: Callable[[], nn.Module], amount: float, searched: tuple[str, ...], found: bool
) -> None:
    made = model()
    one = Setup(made, torch.optim.Adam(made.parameters(), weight_decay=amount))
    assert severities(decay_under_norm(one, searched)) == ({"decay-under-batchnorm": "note"} if found else {})


@pytest.mark.parametrize("training", [True, False])
def test_looking_changes_nothing(training: bool) -> None:
    model = nn.Sequential(nn.Dropout(0.2), convolutional()).train(training)
    examined = Setup(model, torch.optim.Adam(model.parameters(), weight_decay=1e-3))
    before = state(model, examined.optimizer)
    dropout(examined, INPUTS)
    order(examined, INPUTS)
    decay(examined, INPUTS, LABELS)
    decay_under_norm(examined)
    assert state(model, examined.optimizer) == before
