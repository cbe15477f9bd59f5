"""What loss, gradients and dead units of the first batch say, without changing anything."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from planted import convolutional, digits, mlp, setup, severities
from torch import Tensor, nn

from regstudy.doctor.checks.first_batch import first_batch
from regstudy.doctor.findings import Chart

PIXELS, LABELS = digits(256, size=8)
INPUTS = PIXELS.float() / 127.5 - 1


def scaled(model: nn.Module, factor: float) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.weight.data *= factor
    return model


def deep(layers: int, factor: float = 1.0, width: int = 24) -> nn.Module:
    torch.manual_seed(0)
    middle = [one for _ in range(layers) for one in (nn.Linear(width, width), nn.Sigmoid())]
    return scaled(
        nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Sigmoid(), *middle, nn.Linear(width, 10)), factor
    )


def with_dead(share: float) -> nn.Module:
    model = mlp(64, 10)
    model[1].bias.data[: round(share * 32)] = -50.0
    return model


class Detached(nn.Module):
    """The first layer is cut off from the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.first(images.flatten(1)).relu().detach())


class Unused(nn.Module):
    """A layer is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(64, 10), nn.Linear(64, 30)

    def forward(self, images: Tensor) -> Tensor:
        return self.used(images.flatten(1))


class ZeroBranches(nn.Module):
    """Residual branches start at zero, as in many networks, so that their weights get no gradient in the first step."""

    def __init__(self, learns: bool = True) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 64), nn.Linear(64, 10)
        self.branch = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.LayerNorm(64))
        nn.init.zeros_(self.branch[3].weight)
        self.branch[3].weight.requires_grad_(learns)

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images.flatten(1))
        return self.last(x + self.branch(x))


def sure(factor: float) -> nn.Module:
    model = mlp(64, 10)
    model[4].weight.data *= factor
    return model


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (lambda: mlp(64, 10), {}),
        (lambda: mlp(64, 10, dropout=0.5), {}),
        (lambda: convolutional(), {}),
        (lambda: sure(25), {"initial-loss": "distorts"}),
        (lambda: sure(500), {"initial-loss": "blocks"}),
        (lambda: with_dead(0.6), {"dead-units": "distorts"}),
        (lambda: with_dead(0.95), {"dead-units": "blocks"}),
        (lambda: with_dead(1.0), {"no-gradient": "blocks"}),
        (lambda: Detached(), {"no-gradient": "blocks"}),
        (lambda: Unused(), {"no-gradient": "blocks"}),
        (lambda: ZeroBranches(), {}),
        (lambda: ZeroBranches(learns=False), {"no-gradient": "blocks"}),
        (lambda: deep(10, 0.5), {"vanishing-gradients": "distorts"}),
    ],
    ids=[
        *("sound", "dropout", "batch norm", "sure", "very sure", "many dead", "most dead", "all dead", "detached"),
        *("never called", "branches from zero", "branches that stay zero", "deep sigmoids"),
    ],
)
def test_faults_show_in_the_first_batch(model: Callable[[], nn.Module], expected: dict[str, str]) -> None:
    torch.manual_seed(0)
    assert severities(first_batch(setup(model()), INPUTS, LABELS)) == expected


@pytest.mark.parametrize("factor", [1e5, 1e15])
def test_exploding_gradients_come_before_all_else(factor: float) -> None:
    result = first_batch(setup(scaled(mlp(64, 10), factor)), INPUTS, LABELS)
    assert result.findings[0].id == "exploding-gradients" and result.findings[0].severity == "blocks"


@pytest.mark.parametrize(
    ("inputs", "finding"),
    [
        (INPUTS * math.nan, "not-a-number"),
        (INPUTS / 0, "not-a-number"),
        (INPUTS * 1e6, "exploding-gradients"),
    ],
    ids=["NaN", "infinite", "large"],
)
def test_nan_is_no_exploding_gradient(inputs: Tensor, finding: str) -> None:
    result = first_batch(setup(mlp(64, 10)), inputs, LABELS)
    assert severities(result)[finding] == "blocks"
    assert len({"not-a-number", "exploding-gradients"} & severities(result).keys()) == 1


def test_the_first_batch_is_put_into_numbers() -> None:
    result = first_batch(setup(mlp(64, 10)), INPUTS, LABELS)
    assert "chance: ln 10 = 2.30" in result.examined
    (chart,) = result.media
    assert isinstance(chart, Chart) and chart.series["gradient"][0] == ("1", "4")
    assert all(0 < value < 10 for _, values in chart.series.values() for value in values)


class Loud(nn.Module):
    """Scores that are alike for all classes, so that the loss is that of guessing, but large."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.layer.weight.data[:] = self.layer.weight.data[:1].clone() * 30

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.flatten(1))


def test_scores_that_spread_far_are_told_though_the_loss_is_that_of_guessing() -> None:
    result = first_batch(setup(Loud()), INPUTS, LABELS)
    assert "initial-loss" in severities(result)
    assert abs(float(result.examined.split("loss is ")[1].split()[0]) - math.log(10)) < 0.5
