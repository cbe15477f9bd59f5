"""The simple classifier: what it knows of real digits, and that no image is answered by itself or by its group."""

from __future__ import annotations

import pytest
import torch
from planted import digits, pictures, scores, seeded

from regstudy.doctor.checks.simple_model import features, kernel, margins, out_of_fold, predicted


def accuracy(answers: torch.Tensor, labels: torch.Tensor) -> float:
    return float((answers.argmax(1) == labels).float().mean())


@pytest.mark.parametrize("side", [8, 32, 45])
@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_alike_in_number_for_all_sizes(side: int, channels: int) -> None:
    described = features(pictures(12, side=side, channels=channels))
    assert described.shape == (12, 64 * channels + 64 * 9) and described.dtype == torch.float32
    assert bool(described.isfinite().all()) and float(described.mean(0).abs().max()) < 1e-3


def test_an_image_without_anything_in_it_is_described_too() -> None:
    assert bool(features(torch.zeros(4, 3, 16, 16, dtype=torch.uint8)).isfinite().all())


def test_similarities_are_those_of_a_kernel() -> None:
    similar = kernel(features(pictures(20)))
    assert similar.shape == (20, 20) and torch.allclose(similar, similar.T, atol=1e-4)
    assert float(similar.min()) >= 0 and torch.allclose(similar.diagonal(), torch.ones(20), atol=1e-3)


def test_digits_are_told_apart_out_of_fold() -> None:
    labels = digits(600)[1]
    found = scores(labels)
    assert found.shape == (600, 10) and accuracy(found, labels) > 0.93
    assert torch.allclose(found.sum(1), torch.ones(600), atol=1e-3)
    assert torch.equal(found, scores(labels))


def test_copies_answer_for_each_other_unless_they_are_one_group() -> None:
    images = pictures(120, side=16).repeat_interleave(2, 0)
    labels = torch.randint(0, 4, (120,), generator=seeded()).repeat_interleave(2)
    similar, groups = kernel(features(images)), torch.arange(120).repeat_interleave(2)
    assert accuracy(out_of_fold(similar, labels, 4), labels) > 0.6
    assert accuracy(out_of_fold(similar, labels, 4, groups), labels) < 0.4


@pytest.mark.parametrize("count", [1, 3, 40])
def test_groups_may_be_few_and_numbered_anyhow(count: int) -> None:
    groups = torch.arange(40) % count * 100 + 7
    found = out_of_fold(kernel(features(pictures(40))), torch.arange(40) % 3, 3, groups)
    assert found.shape == (40, 3) and bool(found.isfinite().all())


def test_other_images_are_answered_by_the_known_ones() -> None:
    images, labels = digits(500)
    similar = kernel(features(images))
    known, asked = torch.arange(400), torch.arange(400, 500)
    hidden = labels.clone()
    hidden[asked] = 0  # their own labels are not looked at
    found = predicted(similar, hidden, 10, known, asked)
    assert found.shape == (100, 10) and accuracy(found, labels[asked]) > 0.9
    assert torch.equal(similar, kernel(features(images)))  # the ridge was added to a copy


@pytest.mark.parametrize(
    ("answers", "expected"),
    [([[0.7, 0.2, 0.1]], [0.5]), ([[0.1, 0.4, 0.4]], [0.0]), ([[0.0, 1.0], [0.6, 0.4]], [1.0, 0.2])],
)
def test_the_margin_is_how_far_the_best_is_ahead(answers: list[list[float]], expected: list[float]) -> None:
    assert margins(torch.tensor(answers)).tolist() == pytest.approx(expected)
