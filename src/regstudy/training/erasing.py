"""Erasing parts of training images: one square (cutout), or a random rectangle in some of the images.

The functions return new tensors in the same memory order and do not change their inputs. Random numbers are drawn on
the CPU; images stay on their device.

- DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout", 2017.
- Zhong et al., "Random erasing data augmentation", 2017. They draw the aspect ratio
  uniformly; here its logarithm is uniform, so that tall and wide rectangles are equally frequent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

ASPECT_RATIOS = (0.3, 1 / 0.3)  # height / width
RECTANGLE_NUMBERS = 5  # random numbers that decide a rectangle: whether, area, aspect, row, column


def cut_out(images: Tensor, side: int, generator: Generator) -> Tensor:
    """Normalized images N×C×H×W with a square of ``side`` pixels set to 0, the mean of all pixels, in every image.

    Its center may be any pixel, so parts of it may lie outside. ``side`` 0 draws nothing and returns ``images`` itself.
    """
    if side == 0:
        return images
    return cut_out_around(images, side, cutout_centers(images.shape, generator).to(images.device))


def cutout_centers(shape: Sequence[int], generator: Generator) -> Tensor:
    """A random row and a random column for each image of a batch N×C×H×W, on the CPU, N×2."""
    centers = [torch.randint(length, (shape[0],), generator=generator) for length in shape[-2:]]
    return torch.stack(centers, dim=1)


def cut_out_around(images: Tensor, side: int, centers: Tensor) -> Tensor:
    """As `cut_out`, with the centers, N×2, on the device of the images."""
    first = centers - side // 2
    return images * ~_inside(images, first, first + side)


def erase_rectangles(
    images: Tensor, probability: float, generator: Generator, area: tuple[float, float] = (0.02, 0.33)
) -> Tensor:
    """Normalized images N×C×H×W with a rectangle set to 0 in a share ``probability`` of them.

    ``area`` bounds its share of the image, up to whole pixels. Probability 0 draws nothing and returns ``images``.
    """
    if probability == 0:
        return images
    return erase_by(images, probability, rectangle_numbers(len(images), generator).to(images.device), area)


def rectangle_numbers(count: int, generator: Generator) -> Tensor:
    """The random numbers 0..1 that decide the rectangles of a batch, on the CPU, N×5."""
    return torch.rand(count, RECTANGLE_NUMBERS, generator=generator)


def erase_by(images: Tensor, probability: float, numbers: Tensor, area: tuple[float, float] = (0.02, 0.33)) -> Tensor:
    """As `erase_rectangles`, with the `rectangle_numbers` on the device of the images."""
    return images * ~rectangles(images, probability, numbers, area)


def erase_to_mean(images: Tensor, probability: float, numbers: Tensor, area: tuple[float, float]) -> Tensor:
    """As `erase_rectangles`, for float images of any range: a rectangle is filled with the mean color of its image.

    ``numbers`` are random, N×5 in 0..1.
    """
    return torch.where(rectangles(images, probability, numbers, area), images.mean((2, 3), keepdim=True), images)


def rectangles(images: Tensor, probability: float, numbers: Tensor, area: tuple[float, float]) -> Tensor:
    """Masks N×1×H×W of whole rectangles, empty for all but a share ``probability`` of the images.

    If a rectangle is too long for the image, its aspect ratio is the nearest one that fits.
    """
    whether, size, shape, *places = numbers.unbind(1)
    height, width = images.shape[-2:]
    pixels = (area[0] + (area[1] - area[0]) * size) * (height * width)
    low, high = (math.log(aspect) for aspect in ASPECT_RATIOS)
    aspect = torch.exp(low + (high - low) * shape).clamp(pixels / width**2, height**2 / pixels)
    rows = (pixels * aspect).sqrt().round().clamp(1, height)
    columns = (pixels / rows).round().clamp(1, width)
    lengths = torch.stack([rows, columns], dim=1)
    room = torch.stack([height - rows, width - columns], dim=1) + 1  # places for the first row and the first column
    first = (torch.stack(places, dim=1) * room).floor().minimum(room - 1)
    return _inside(images, first, torch.where((whether < probability).unsqueeze(1), first + lengths, first))


def _inside(images: Tensor, first: Tensor, beyond: Tensor) -> Tensor:
    """Masks N×1×H×W on the images' device: rows and columns from ``first`` to before ``beyond``, each N×2."""
    height, width = images.shape[-2:]
    first, beyond = first.unsqueeze(-1), beyond.unsqueeze(-1)
    down, across = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    rows = (down >= first[:, 0]) & (down < beyond[:, 0])
    columns = (across >= first[:, 1]) & (across < beyond[:, 1])
    return (rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)
