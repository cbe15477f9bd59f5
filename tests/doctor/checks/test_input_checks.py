"""Inputs: of unit size, alike in both parts, and every image treated in the same way."""

from __future__ import annotations

import pytest
import torch
from planted import digits, noise, pictures, severities
from torch import Tensor

from regstudy.doctor.checks.input_checks import alike, scale, stretched
from regstudy.doctor.parts import levels_of

UNIT = noise(40, 3, 16, 16)
BYTES = pictures(40, side=16).float()


@pytest.mark.parametrize(
    ("inputs", "severity", "words"),
    [
        (UNIT, None, ""),
        (BYTES / 255, None, ""),
        (BYTES / 127.5 - 1, None, ""),
        (2 * UNIT + 1, None, ""),
        (BYTES, "blocks", "pixel values from 0 to 255"),
        (BYTES * 257, "blocks", "too large for the model"),
        (UNIT * 12, "distorts", "too large for the model"),
        (UNIT + 12, "distorts", "too large for the model"),
        (UNIT * 300, "blocks", "too large for the model"),
        (BYTES / 255 / 30, "distorts", "nearly constant"),
        (BYTES / 255 / 255, "blocks", "nearly constant"),
        (torch.full_like(UNIT, 0.5), "blocks", "nearly constant"),
    ],
    ids=[
        *("unit", "0 to 1", "-1 to 1", "nearly unit", "bytes", "16 bit", "12 times"),
        *("12 more", "300 times", "a thirtieth", "divided twice", "constant"),
    ],
)
def test_the_size_of_inputs(inputs: Tensor, severity: str | None, words: str) -> None:
    result = scale(inputs)
    assert severities(result) == ({"inputs-unscaled": severity} if severity else {})
    assert all(words in finding.sentence and finding.stage == "inputs" for finding in result.findings)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_inputs_that_are_no_numbers(value: float) -> None:
    inputs = UNIT.clone()
    inputs[3, 1, 2, 2:4] = value
    result = scale(inputs)
    assert severities(result) == {"inputs-not-finite": "blocks"}
    assert result.findings[0].evidence == (f"2 of {UNIT.numel():,} values are NaN or infinite.",)


@pytest.mark.parametrize("normalized", [True, False])
def test_a_configuration_is_changed_only_where_there_is_one(normalized: bool) -> None:
    changes = scale(BYTES, normalized).findings[0].changes
    assert dict(changes) == ({"preprocessing.normalize": "train"} if normalized else {})


# Both parts


def levels(low: float, high: float) -> Tensor:
    return torch.tensor([[low, high]] * 3)


@pytest.mark.parametrize(
    ("other", "severity"),
    [
        (levels(-2, 2), None),
        (levels(-2.01, 2.005), None),
        (levels(-2.2, 2.0), "distorts"),
        (levels(-2.0, 3.0), "blocks"),
        (levels(0, 1), "blocks"),
        (levels(0, 255), "blocks"),
    ],
)
def test_normalizations_are_compared_where_they_are_known(other: Tensor, severity: str | None) -> None:
    result = alike(UNIT, UNIT, levels(-2, 2), other)
    assert severities(result) == ({"normalization-differs": severity} if severity else {})
    assert all(finding.sure == "certain" for finding in result.findings)


def test_one_channel_that_differs_is_enough() -> None:
    other = levels(-2, 2)
    other[1] = torch.tensor([-1.0, 1.0])
    assert severities(alike(UNIT, UNIT, levels(-2, 2), other)) == {"normalization-differs": "blocks"}


@pytest.mark.parametrize("known", [None, levels(-2, 2)])
@pytest.mark.parametrize(
    ("change", "severity"),
    [(lambda x: x, None), (lambda x: 4 * x, "blocks"), (lambda x: x + 3, "blocks"), (lambda x: x / 8, "blocks")],
)
def test_elsewhere_means_and_spreads_are_compared(change: object, severity: str | None, known: Tensor | None) -> None:
    other = change(noise(100, 3, 8, 8, seed=1))  # type: ignore[operator]
    result = alike(noise(200, 3, 8, 8), other, known, None)
    assert severities(result) == ({"normalization-differs": severity} if severity else {})
    assert all(finding.sure == "likely" for finding in result.findings)


def test_other_pixels_are_not_another_normalization() -> None:
    result = alike(UNIT, 4 * UNIT, None, None, pixels_differ=True)
    assert not result.findings and "could not be compared" in result.examined
    assert alike(UNIT, UNIT, levels(-2, 2), levels(0, 1), pixels_differ=True).findings  # the levels tell all the same


def test_darker_images_that_are_normalized_alike_are_no_fault() -> None:
    one, other = pictures(60), (pictures(60, seed=1).float() * 0.6).to(torch.uint8)
    for images in (one, other):
        images[0, :, 0, 0], images[0, :, 0, 1] = 0, 255
    train, validation = (images.float() / 127.5 - 1 for images in (one, other))
    assert not alike(train, validation, levels_of(train), levels_of(validation)).findings


# Each image


def dim(count: int = 60, side: int = 32) -> Tensor:
    """Pictures of which each has a brightest pixel of its own, 110 to 240."""
    ends = torch.linspace(110, 240, count).round().view(-1, 1, 1, 1)
    images = pictures(count, side=side).float()
    images -= images.amin((1, 2, 3), keepdim=True)
    return (images * ends / images.amax((1, 2, 3), keepdim=True)).round()


def as_bytes(inputs: Tensor) -> Tensor:
    return (inputs * 255).round().to(torch.uint8)


def test_images_that_were_treated_alike_pass() -> None:
    images = dim().to(torch.uint8)
    assert not stretched(images, images.float() / 255).findings
    assert not stretched(pictures(60), pictures(60).float() / 127.5 - 1).findings
    gray = digits(60, size=32)[0]
    assert not stretched(gray, gray.float() / 255).findings


def test_images_that_are_all_stretched_alike_pass() -> None:
    images = (dim() * 255 / 240).round().clamp(max=255).to(torch.uint8)
    assert not stretched(images, images.float() / 255).findings


@pytest.mark.parametrize("normalize", [lambda x: x, lambda x: 2 * x - 1], ids=["0 to 1", "-1 to 1"])
def test_images_stretched_one_by_one_before_they_were_stored(normalize: object) -> None:
    images = as_bytes(dim() / dim().amax((1, 2, 3), keepdim=True))
    result = stretched(images, normalize(images.float() / 255))  # type: ignore[operator]
    assert severities(result) == {"stretched-each": "distorts"}
    assert "original maxima were" in result.findings[0].evidence[1]


def test_images_divided_by_their_own_maximum_on_the_way_to_the_network() -> None:
    inputs = dim() / dim().amax((1, 2, 3), keepdim=True)
    result = stretched(as_bytes(inputs), inputs)
    assert severities(result) == {"stretched-each": "distorts"}
    assert any("gray level" in line for line in result.findings[0].evidence)


def test_a_few_stretched_images_are_no_fault() -> None:
    images = dim().to(torch.uint8)
    some = as_bytes(dim() / dim().amax((1, 2, 3), keepdim=True))
    images[:10] = some[:10]
    assert not stretched(images, images.float() / 255).findings
