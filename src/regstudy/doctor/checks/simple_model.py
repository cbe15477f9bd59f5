"""A simple classifier in closed form, to check labels without training a network.

Features are a coarse color thumbnail and histograms of oriented gradients (after Dalal and Triggs, 2005) of the image
at 32×32; the classifier is kernel ridge regression on one-hot labels (regularized least squares). On 2,500 images it
predicts 52% of CIFAR-10 and 99% of the handwritten digits, in a second on one core.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d, interpolate, one_hot, pad

FEATURE_SIDE, GRADIENT_CELL, GRADIENT_ORIENTATIONS = 32, 4, 9
KERNEL_RIDGE = 0.3
LABEL_FOLDS = 5
FEATURE_BLOCK = 512


def features(images: Tensor) -> Tensor:
    """Standardized features N×D of uint8 N×C×H×W; color and shape are weighted one to two."""
    blocks = [_describe(images[at : at + FEATURE_BLOCK]) for at in range(0, len(images), FEATURE_BLOCK)]
    color, shape = (torch.cat(parts) for parts in zip(*blocks, strict=True))
    parts = [(part - part.mean(0)) / (part.std(0) + 1e-3) for part in (color, shape)]
    parts[0] *= math.sqrt(shape.shape[1] / (2 * color.shape[1]))
    return torch.cat(parts, 1)


def _describe(images: Tensor) -> tuple[Tensor, Tensor]:
    pixels = images.float() / 255
    if pixels.shape[-2:] != (FEATURE_SIDE, FEATURE_SIDE):
        pixels = interpolate(pixels, (FEATURE_SIDE, FEATURE_SIDE), mode="bilinear", antialias=True, align_corners=False)
    gray = pad(pixels.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    across = gray[..., 1:-1, 2:] - gray[..., 1:-1, :-2]
    down = gray[..., 2:, 1:-1] - gray[..., :-2, 1:-1]
    size, turn = (
        (across**2 + down**2).sqrt(),
        torch.atan2(down, across) / (2 * math.pi) * GRADIENT_ORIENTATIONS % GRADIENT_ORIENTATIONS,
    )
    bins = []
    for orientation in range(GRADIENT_ORIENTATIONS):
        away = (turn - orientation).abs()
        bins.append(size * (1 - torch.minimum(away, GRADIENT_ORIENTATIONS - away)).clamp(min=0))
    cells = avg_pool2d(torch.cat(bins, 1), GRADIENT_CELL)
    energy = avg_pool2d(pad((cells**2).sum(1, keepdim=True), (1, 1, 1, 1), mode="replicate"), 3, 1)
    cells = (cells / (energy.sqrt() + 0.02)).clamp(max=0.6).sqrt()
    return avg_pool2d(pixels, GRADIENT_CELL).flatten(1), cells.flatten(1)


def kernel(described: Tensor) -> Tensor:
    """Similarities N×N in 0..1: exp(-d² / median of d²)."""
    distances = torch.cdist(described, described) ** 2
    return torch.exp(-distances / distances.median().clamp(min=1e-6))


def out_of_fold(similar: Tensor, labels: Tensor, classes: int, groups: Tensor | None = None) -> Tensor:
    """Cross-validated class scores N×classes, roughly probabilities: each image is predicted from the other folds.

    Images of one group share a fold, so that copies do not predict each other.
    """
    keys = torch.arange(len(labels)) if groups is None else torch.unique(groups, return_inverse=True)[1]
    if int(keys.max()) < 1:  # a single group cannot be split
        keys = torch.arange(len(labels))
    order = torch.randperm(int(keys.max()) + 1, generator=Generator().manual_seed(0))
    fold = order[keys] % LABEL_FOLDS
    scores = torch.zeros(len(labels), classes)
    for number in range(LABEL_FOLDS):
        known, asked = (fold != number).nonzero()[:, 0], (fold == number).nonzero()[:, 0]
        if len(asked):
            scores[asked] = predicted(similar, labels, classes, known, asked)
    return scores


def predicted(similar: Tensor, labels: Tensor, classes: int, known: Tensor, asked: Tensor) -> Tensor:
    """Scores of the classes for images at some positions from those at others."""
    wanted = one_hot(labels[known], classes).float()
    prior = wanted.mean(0)
    ridge = similar[known][:, known]
    ridge.diagonal().add_(KERNEL_RIDGE)
    scores: Tensor = similar[asked][:, known] @ torch.linalg.solve(ridge, wanted - prior) + prior
    return scores


def margins(scores: Tensor) -> Tensor:
    """How far the best class is ahead of the next, N."""
    best = scores.topk(2, 1).values
    return best[:, 0] - best[:, 1]
