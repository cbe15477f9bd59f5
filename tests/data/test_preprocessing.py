"""The center crop and the normalization, against arithmetic done another way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny import random_images

from regstudy.config.schema import ChannelStatistics, Preprocessing
from regstudy.data.image_set import ImageSet
from regstudy.data.preprocessing import prepare
from regstudy.errors import ConfigError


def images_of(channels: int = 3, height: int = 6, width: int = 6) -> ImageSet:
    generator = torch.Generator().manual_seed(4)
    pixels = torch.randint(0, 256, (5, channels, height, width), generator=generator).to(torch.uint8)
    return ImageSet(pixels, torch.arange(5) % 2, ("a", "b"))


@pytest.mark.parametrize(
    ("side", "crop", "first"), [(6, None, 0), (6, 6, 0), (6, 4, 1), (6, 2, 2), (6, 5, 0), (7, 4, 1), (6, 1, 2)]
)
def test_the_center_remains_and_an_odd_margin_leaves_more_below_and_right(
    side: int, crop: int | None, first: int
) -> None:
    images = images_of(height=side, width=side)
    preprocessing = prepare(Preprocessing(crop=crop, normalize="none"), images)
    last = first + (crop or side)
    assert preprocessing.side == (crop or side)
    assert torch.equal(preprocessing.crop(images.images), images.images[:, :, first:last, first:last])


NORMALIZATIONS: dict[str, tuple[Any, list[float], list[float]]] = {
    "imagenet": ("imagenet", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    "half": ("half", [0.5] * 3, [0.5] * 3),
    "none": ("none", [0.0] * 3, [1.0] * 3),
    "one's own": (ChannelStatistics(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)), [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]),
}


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_a_channel_loses_its_mean_and_is_divided_by_its_deviation(name: str) -> None:
    normalize, mean, std = NORMALIZATIONS[name]
    images = images_of()
    found = prepare(Preprocessing(normalize=normalize), images)(images.images)
    pixels = images.images.numpy().astype(np.float64) / 255
    expected = (pixels - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-6)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_training_part_gives_mean_zero_and_deviation_one(channels: int) -> None:
    images = images_of(channels)
    found = prepare(Preprocessing(normalize="train"), images)(images.images).double()
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.zeros(channels, dtype=torch.float64), atol=1e-6, rtol=0)
    deviation = found.std((0, 2, 3), correction=0)
    torch.testing.assert_close(deviation, torch.ones(channels, dtype=torch.float64), atol=1e-6, rtol=0)


def test_the_training_statistics_are_of_whole_images_and_of_nothing_else() -> None:
    images = images_of()
    preprocessing = prepare(Preprocessing(crop=2, normalize="train"), images)
    other = random_images(6, seed=9, side=6)
    pixels = images.images.numpy() / 255
    mean, std = (pixels.mean((0, 2, 3)), pixels.std((0, 2, 3)))
    expected = (other.images.numpy()[:, :, 2:4, 2:4] / 255 - mean[:, None, None]) / std[:, None, None]
    np.testing.assert_allclose(preprocessing(other.images).numpy(), expected, atol=2e-6)


def test_a_channel_of_one_value_does_not_divide_by_zero() -> None:
    flat = ImageSet(torch.full((3, 1, 4, 4), 7, dtype=torch.uint8), torch.tensor([0, 1, 0]), ("a", "b"))
    assert torch.all(prepare(Preprocessing(normalize="train"), flat)(flat.images).abs() < 1e-5)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_normalizing_leaves_its_input_as_it_was_and_gives_channels_last(
    kind: torch.dtype, memory_format: torch.memory_format
) -> None:
    images = images_of()
    given = images.images.to(kind).contiguous(memory_format=memory_format)
    before = given.clone()
    found = prepare(Preprocessing(normalize="half"), images).normalize(given)
    assert torch.equal(given, before)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_bytes_and_the_same_values_as_floats_normalize_to_the_same_bits() -> None:
    images = images_of()
    preprocessing = prepare(Preprocessing(normalize="imagenet"), images)
    assert torch.equal(preprocessing.normalize(images.images), preprocessing.normalize(images.images.float()))


@pytest.mark.parametrize(
    ("section", "images", "words"),
    [
        (Preprocessing(crop=7), images_of(), "preprocessing.crop is 7, but the images have only 6 pixels"),
        (Preprocessing(), images_of(height=6, width=8), "must be square, but those of the data set have 8×6"),
        (Preprocessing(normalize="imagenet"), images_of(1), "3 means .* 1 channel. Use 'train' to measure"),
        (
            Preprocessing(normalize=ChannelStatistics(mean=(0.5,), std=(0.5, 0.5, 0.5))),
            images_of(),
            "1 means and 3 standard deviations, but the images have 3 channels",
        ),
    ],
)
def test_what_does_not_fit_the_images_is_said(section: Preprocessing, images: ImageSet, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        prepare(section, images)
