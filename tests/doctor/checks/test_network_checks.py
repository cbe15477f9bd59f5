"""The network before training: its outputs, what learns, what the optimizer has, and batches."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from planted import convolutional, mlp, noise, setup, severities, state
from torch import nn

from regstudy.doctor.checks.network_checks import batches, covered, frozen, outputs
from regstudy.doctor.setup import Setup

INPUTS = noise(40, 1, 8, 8)


def net(*ends: nn.Module, classes: int = 10) -> nn.Sequential:
    return nn.Sequential(*mlp(64, classes), *ends)


class Softmax(nn.Module):
    """Written into a network's forward, as many do."""

    def forward(self, scores: torch.Tensor) -> torch.Tensor:
        return scores.softmax(1)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (net(), {}),
        (convolutional(), {}),
        (net(classes=4), {"head-size": "blocks"}),
        (net(classes=12), {"head-size": "distorts"}),
        (net(classes=1000), {"head-size": "distorts"}),
        (net(nn.Softmax(1)), {"softmax-inside": "blocks"}),
        (net(Softmax()), {"softmax-inside": "blocks"}),
        (net(nn.Softmax(1), classes=50), {"head-size": "distorts", "softmax-inside": "blocks"}),
        (net(nn.ReLU()), {"outputs-clipped": "blocks"}),
        (net(nn.Sigmoid()), {"outputs-squashed": "distorts"}),
        (net(nn.LogSoftmax(1)), {}),
        (net(nn.Tanh()), {}),
    ],
    ids=[
        *("sound", "with batch norm", "narrow", "a little wide", "of imagenet", "softmax", "softmax in forward"),
        *("wide and softmax", "relu", "sigmoid", "log softmax", "tanh"),
    ],
)
def test_what_the_network_answers(model: nn.Module, expected: dict[str, str]) -> None:
    result = outputs(setup(model), INPUTS, 10)
    assert severities(result) == expected
    assert all(finding.stage == "training" and finding.evidence for finding in result.findings)


def test_a_wide_head_is_measured_and_mended() -> None:
    finding = outputs(setup(net(classes=40)), INPUTS, 10).findings[0]
    assert "has 40 outputs, but there are only 10" in finding.sentence
    assert finding.evidence[0].startswith("30 outputs have no class. Before training they take 7")
    assert dict(finding.changes) == {"model.options.head_size": None}


def test_outputs_that_are_no_scores_are_said() -> None:
    model = nn.Conv2d(1, 10, 3)
    assert severities(outputs(setup(model), INPUTS, 10)) == {"head-size": "blocks"}


# Frozen


def hold(model: nn.Module, *names: str) -> nn.Module:
    for name, parameter in model.named_parameters():
        if name.split(".")[0] in names:
            parameter.requires_grad_(False)
    return model


def seen(model: nn.Module) -> nn.Module:
    """A network whose batch normalization has seen images, as that of a trained one has."""
    model.train()
    model(noise(64, 1, 8, 8, seed=3) + 1)
    return model


def trained() -> nn.Module:
    """A dense network whose weights have the heavy tails that training leaves."""
    model = mlp(64, 10)
    with torch.no_grad():
        model[1].weight *= noise(32, 64, seed=5).abs() ** 2
    return model


ALL = tuple("012345678")
DENSE, CONVOLUTIONS = ("1",), ("0", "1", "3", "4")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (lambda: convolutional(), {}),
        (lambda: hold(convolutional(), "0"), {}),
        (lambda: hold(mlp(64, 10), *DENSE), {"frozen": "blocks"}),
        (lambda: hold(trained(), *DENSE), {"frozen": "distorts"}),
        (lambda: hold(mlp(64, 10), *ALL), {"frozen": "blocks"}),
        (lambda: hold(trained(), *ALL), {"frozen": "blocks"}),
        (lambda: hold(convolutional(), *CONVOLUTIONS), {"frozen": "blocks", "frozen-batchnorm": "distorts"}),
        (lambda: hold(seen(convolutional()), *CONVOLUTIONS), {"frozen": "distorts", "frozen-batchnorm": "distorts"}),
        (lambda: hold(seen(convolutional()), *ALL), {"frozen": "blocks", "frozen-batchnorm": "distorts"}),
        (lambda: hold(convolutional(), "1"), {"frozen-batchnorm": "distorts"}),
    ],
    ids=[
        *("all learns", "first layer", "random dense", "trained dense", "all random", "all trained"),
        *("random convolutions", "trained convolutions", "all of them", "a batch norm"),
    ],
)
def test_what_is_frozen(model: Callable[[], nn.Module], expected: dict[str, str]) -> None:
    assert severities(frozen(setup(model()))) == expected


def test_frozen_layers_with_weights_of_a_file_may_be_wanted() -> None:
    model = hold(mlp(64, 10), *DENSE)
    fresh, known = (frozen(setup(model, pretrained=known)).findings[0] for known in (False, True))
    assert fresh.severity == "blocks" and "at its random initial weights" in fresh.sentence
    assert known.severity == "distorts" and "random" not in known.sentence and known.sure == "likely"
    assert dict(fresh.changes) == dict(known.changes) == {"model.trainable": "all"}


class Held(nn.Module):
    """Stages that stay in evaluation mode while the rest trains."""

    def __init__(self) -> None:
        super().__init__()
        self.model = hold(seen(convolutional()), *CONVOLUTIONS)

    def train(self, mode: bool = True) -> Held:
        super().train(mode)
        for place in (1, 4):
            self.model[place].eval()  # type: ignore[index]
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(images)


def test_frozen_batch_normalization_that_keeps_still_is_no_fault() -> None:
    model = Held()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.split(".")[1] not in CONVOLUTIONS)
    assert "frozen-batchnorm" not in severities(frozen(setup(model)))


# Given to the optimizer


@pytest.mark.parametrize(
    ("given", "severity"),
    [
        (lambda model: model.parameters(), None),
        (lambda model: [{"params": [p]} for p in model.parameters()], None),
        (lambda model: model[4].parameters(), "blocks"),
        (lambda model: [p for p in model.parameters() if p.ndim > 1], "distorts"),
        (lambda _: mlp(64, 10).parameters(), "blocks"),
    ],
    ids=["all", "in groups", "the head", "weights only", "another network's"],
)
def test_what_the_optimizer_has(given: Callable[[nn.Module], object], severity: str | None) -> None:
    model = mlp(64, 10)
    result = covered(Setup(model, torch.optim.SGD(given(model), lr=0.1)))  # type: ignore[arg-type]
    assert severities(result) == ({"not-in-optimizer": severity} if severity else {})


def test_frozen_parameters_need_no_optimizer() -> None:
    model = hold(mlp(64, 10), "1")
    assert not covered(Setup(model, torch.optim.SGD(model[4].parameters(), lr=0.1))).findings


def test_the_missing_parameters_are_named() -> None:
    model = mlp(64, 10)
    finding = covered(Setup(model, torch.optim.SGD(model[4].parameters(), lr=0.1))).findings[0]
    assert finding.evidence == ("The optimizer has 2 of 4 trainable tensors.", "Missing: 1.weight, 1.bias.")


# Batches


@pytest.mark.parametrize(
    ("norm", "size", "training", "smallest", "expected"),
    [
        (True, 32, 1000, None, {}),
        (True, 16, 1000, None, {}),
        (True, 8, 1000, None, {"small-batches": "distorts"}),
        (True, 2, 1000, None, {"small-batches": "blocks"}),
        (True, 32, 1000, 8, {"small-batches": "distorts"}),
        (True, 32, 10, None, {"small-batches": "distorts"}),
        (True, 32, 961, None, {"last-batch-of-one": "note"}),
        (False, 2, 1000, None, {}),
        (False, 32, 961, None, {}),
    ],
)
def test_batches_suit_batch_normalization(
    norm: bool, size: int, training: int, smallest: int | None, expected: dict[str, str]
) -> None:
    model = convolutional() if norm else mlp(64, 10)
    assert severities(batches(setup(model, batch_size=size), training, smallest)) == expected


def test_batch_normalization_that_learns_nothing_is_content_with_small_batches() -> None:
    model = hold(convolutional(), *CONVOLUTIONS)
    assert not batches(setup(model, batch_size=2), 1000).findings


def test_small_batches_are_mended() -> None:
    finding = batches(setup(convolutional(), batch_size=4), 1000).findings[0]
    assert dict(finding.changes) == {"training.batch_size": 16}


@pytest.mark.parametrize("training", [True, False])
def test_looking_changes_nothing(training: bool) -> None:
    model = convolutional().train(training)
    model[2].eval()
    examined = setup(model)
    before = state(model, examined.optimizer)
    outputs(examined, INPUTS, 10)
    frozen(examined)
    covered(examined)
    batches(examined, 100)
    assert state(model, examined.optimizer) == before


def test_raw_scores_that_happen_to_be_small_and_positive_are_not_called_squashed() -> None:
    model = mlp(64, 2)
    model[-1].weight.data *= 1e-3
    model[-1].bias.data[:] = torch.tensor([0.4, 0.6])
    answers = model(INPUTS).detach()
    assert float(answers.min()) > 0 and float(answers.max()) < 1
    assert severities(outputs(setup(model), INPUTS, 2)) == {}
