"""Two parts of one source or of two, and a test part that is apart from them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from planted import digits, noise, pictures, severities
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from regstudy.doctor.checks.split_checks import parts_apart, separation_auc, statistics, validation_is_test


def labels(*counts: int) -> Tensor:
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))


def shifted(images: Tensor) -> Tensor:
    return (images.int() + torch.tensor([50, -40, 30]).view(3, 1, 1)).clamp(0, 255).to(torch.uint8)


def blurred(images: Tensor) -> Tensor:
    small = avg_pool2d(images.float(), 4)
    return interpolate(small, images.shape[-2:], mode="bilinear").to(torch.uint8)


def faded(images: Tensor) -> Tensor:
    return ((images.float() + images.float().mean((0, 2, 3), keepdim=True)) / 2).to(torch.uint8)


CHANGES: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "shifted": (shifted, "mean"),
    "blurred": (blurred, "sharpness|fine detail"),
    "brought to half the contrast": (faded, "standard deviation|percentile|sharpness|colorfulness"),
    "with colors in another order": (lambda images: images.flip(1), "red|blue"),
}


def reddish(images: Tensor) -> Tensor:
    return (images // torch.tensor([1, 1, 2], dtype=torch.uint8).view(3, 1, 1)).to(torch.uint8)


@pytest.mark.parametrize("change", CHANGES)
def test_parts_from_other_sources_are_told_apart(change: str) -> None:
    make, words = CHANGES[change]
    train, validation = reddish(pictures(300)), make(reddish(pictures(120, seed=1)))
    result = parts_apart(train, validation, torch.arange(300) % 3, torch.arange(120) % 3)
    (finding,) = result.findings
    assert finding.id == "parts-differ" and finding.severity == "blocks"
    assert any(word in finding.evidence[1] for word in words.split("|"))
    assert {len(y) for _, y in result.media[0].series.values()} == {51}  # type: ignore[union-attr]


@pytest.mark.parametrize("seed", range(3))
def test_parts_of_one_source_are_not_told_apart(seed: int) -> None:
    train, validation = pictures(300, seed=seed), pictures(120, seed=seed + 50)
    assert not parts_apart(train, validation, torch.arange(300) % 3, torch.arange(120) % 3).findings


def test_real_digits_are_of_one_source() -> None:
    (train, own), (validation, held) = digits(700), digits(300, 700)
    assert not parts_apart(train, validation, own, held).findings
    dark = (validation.float() * 0.5).to(torch.uint8)
    assert severities(parts_apart(train, dark, own, held)) == {"parts-differ": "blocks"}


def test_other_shares_of_the_classes_are_no_other_source() -> None:
    """Of bright and dark classes, most of the validation images are bright."""
    own, held = torch.arange(300) % 2, (torch.arange(120) % 3 > 0).long()
    parts = [
        (pictures(len(one), seed=len(one)) // 2 + 120 * one.view(-1, 1, 1, 1)).to(torch.uint8) for one in (own, held)
    ]
    assert not parts_apart(parts[0], parts[1], own, held).findings


def test_few_images_are_not_compared() -> None:
    result = parts_apart(pictures(300), shifted(pictures(20, seed=1)), torch.arange(300) % 2, torch.arange(20) % 2)
    assert not result.findings and "too few" in result.examined


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_statistics_of_any_number_of_channels(channels: int) -> None:
    found = statistics(pictures(4, channels=channels))
    assert len(found) == 4 * channels + 2 + (channels == 3)
    assert all(values.shape == (4,) and np.isfinite(values).all() for values in found.values())


@pytest.mark.parametrize(("distance", "low", "high"), [(0.0, 0.4, 0.6), (1.5, 0.75, 0.95), (9.0, 0.99, 1.0)])
def test_the_area_under_the_curve(distance: float, low: float, high: float) -> None:
    own, other = noise(400).double().numpy(), noise(400, seed=1).double().numpy() + distance
    assert low <= separation_auc({"x": own}, {"x": other}) <= high


# Validation and test


@pytest.mark.parametrize(
    ("shared", "severity"), [(0, None), (1, None), (6, "distorts"), (60, "blocks"), (200, "blocks")]
)
def test_validation_images_that_are_test_images(shared: int, severity: str | None) -> None:
    numbers = torch.arange(500).view(-1, 1, 1, 1)
    pictures = torch.cat([numbers % 256, numbers // 256], 3).to(torch.uint8)  # no two are the same
    validation, test = pictures[:200], torch.cat([pictures[:shared], pictures[200:]])
    result = validation_is_test(validation, test)
    assert severities(result) == ({"validation-is-test": severity} if severity else {})
    assert (
        f"200 validation and {300 + shared} test images: {shared} validation images are also test images"
        in result.examined
    )
