"""Capacity: parameters for each image, what more images bring, and labels that can only be learned by heart."""

from __future__ import annotations

import pytest
import torch
from planted import convolutional, mlp, noise, seeded, setup, severities, state, ticking
from torch import Tensor, nn

from regstudy.doctor.checks import capacity_checks
from regstudy.doctor.checks.capacity_checks import data_size, parameters, random_labels, trained
from regstudy.doctor.findings import Chart


@pytest.mark.parametrize(
    ("training", "frozen", "found"), [(1000, False, False), (10, False, False), (1, False, True), (1, True, False)]
)
def test_parameters_are_counted_for_each_image(training: int, frozen: bool, found: bool) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(400, 100))  # 40,100 parameters
    for parameter in model.parameters():
        parameter.requires_grad_(not frozen)
    result = parameters(setup(model), training)
    assert severities(result) == ({"many-parameters": "note"} if found else {})
    assert result.examined.startswith("0 trainable" if frozen else "40,100 trainable parameters")


def hard(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two classes divided by a plane in 400 dimensions: there are never enough examples."""
    images = noise(count, 1, 20, 20, seed=seed)
    return images, (images.flatten(1) @ noise(400, seed=99) > 0).long()


def easy(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two classes that differ in brightness: twenty examples are enough."""
    labels = torch.randint(0, 2, (count,), generator=seeded(seed + 100))
    return noise(count, 1, 20, 20, seed=seed) + 4.0 * labels.view(-1, 1, 1, 1) - 2, labels


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(400, 2))


@pytest.mark.parametrize(("make", "found"), [(hard, True), (easy, False)])
def test_more_images_help_where_there_are_too_few(make: object, found: bool) -> None:
    train, validation = make(800, 1), make(600, 2)  # type: ignore[operator]
    result = data_size(setup(linear(), lr=1e-2), train, validation, seconds=20)
    assert severities(result) == ({"more-data-helps": "note"} if found else {})
    (chart,) = result.media
    assert isinstance(chart, Chart) and list(chart.series) == ["train (eval mode)", "validation"]
    counts, accuracies = chart.series["validation"]
    assert counts == (200, 400, 800) and (accuracies[-1] > accuracies[0] + 5) is found


@pytest.mark.parametrize(
    ("per_step", "steps", "images"),
    [(0.05, 133, 800), (0.1, 66, 704), (0.15, 44, 469), (0.17, 0, 0)],
    ids=["all images", "fewer images", "few images", "too slow"],
)
def test_what_would_take_too_long_is_done_on_fewer_images_or_skipped(per_step: float, steps: int, images: int) -> None:
    """Two steps are measured; the clock says how long they took."""
    result = data_size(setup(linear()), easy(800, 1), easy(100, 2), seconds=20, clock=ticking(2 * per_step))
    assert result.examined.startswith("Skipped" if not steps else f"Validation accuracy after {steps} steps")
    assert len(result.media) == (steps > 0)
    for chart in result.media:
        assert isinstance(chart, Chart) and chart.series["validation"][0][-1] == images


def test_random_labels_get_as_many_steps_as_there_is_time_for() -> None:
    images, labels = easy(100, 1)
    result = random_labels(setup(linear()), images, labels, seconds=20, clock=ticking(4.0))
    assert result.examined.startswith("After 10 steps")


@pytest.mark.parametrize(("able", "found"), [(True, True), (False, False)])
def test_labels_that_say_nothing_are_learned_by_heart_or_not(
    able: bool, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity_checks, "MAX_RANDOM_LABELS", 100)
    images, labels = easy(200, 1)
    model = mlp(400, 2, width=64) if able else nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
    result = random_labels(setup(model, lr=3e-3), images, labels, seconds=20)
    assert severities(result) == ({"learns-random-labels": "note"} if found else {})
    assert "of 100 random labels" in result.examined


def test_a_short_training_is_measured_on_both_parts() -> None:
    reached = trained(setup(linear(), lr=1e-2), easy(200, 1), easy(100, 2), steps=40, size=32)
    assert reached.steps == 40 and reached.train > 0.95 and reached.validation > 0.95
    untrained = trained(setup(linear(), lr=1e-9), hard(200, 1), hard(200, 2), steps=2, size=32)
    assert untrained.steps == 2 and 0.3 < untrained.validation < 0.7


@pytest.mark.parametrize("training", [True, False])
def test_trying_changes_nothing(training: bool) -> None:
    model = convolutional(classes=2).train(training)
    examined = setup(model)
    before = state(model, examined.optimizer)
    images, labels = easy(40, 1)
    trained(examined, (images, labels), (images, labels), steps=3, size=8)
    parameters(examined, 100)
    assert state(model, examined.optimizer) == before
