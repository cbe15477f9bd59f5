"""The fitted temperature is the best one, for a network and for an ensemble, and it stays within its bounds."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from regstudy.production.part_scores import combined
from regstudy.production.temperature import LEAST, MOST, at_a_bound, fit_temperature


def noisy(images: int, seed: int, scale: float) -> tuple[Tensor, Tensor]:
    """Logits that are calibrated but for their scale, and labels drawn from their probabilities."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(images, 4, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return scale * logits, labels


def loss(members: list[Tensor], labels: Tensor, temperature: float) -> float:
    found = combined([one.double() for one in members], temperature).log_softmax(1)
    return -float(found[torch.arange(len(labels)), labels].mean())


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_scale_of_the_logits_is_found(scale: float) -> None:
    logits, labels = noisy(20_000, 1, scale)
    assert fit_temperature([logits], labels) == pytest.approx(scale, rel=0.05)


@pytest.mark.parametrize("members", [1, 3])
def test_no_temperature_on_a_grid_is_better(members: int) -> None:
    many = [noisy(500, seed, 2.0)[0] for seed in range(members)]
    labels = noisy(500, 0, 1.0)[1]
    best = loss(many, labels, fit_temperature(many, labels))
    assert all(best <= loss(many, labels, math.exp(step / 20)) + 1e-9 for step in range(-59, 60))


def test_images_that_are_all_right_or_hopeless_end_at_a_bound() -> None:
    labels = torch.arange(8) % 4
    right = torch.nn.functional.one_hot(labels, 4).float()
    least, most = fit_temperature([right], labels), fit_temperature([-right], labels)
    assert least == pytest.approx(LEAST, rel=0.01) and most == pytest.approx(MOST, rel=0.01)
    assert at_a_bound(least) and at_a_bound(most) and not at_a_bound(1.0)


def test_an_ensemble_averages_probabilities() -> None:
    one, other = noisy(50, 3, 1.0)[0], noisy(50, 4, 1.0)[0]
    mean = (one.double().softmax(1) + other.double().softmax(1)) / 2
    assert torch.allclose(combined([one, other], 1.0).softmax(1), mean)
    assert combined([one], 1.0) is one
