"""Mixing pairs of training images and their losses: mixup blends them, CutMix pastes a rectangle of one into another.

- Zhang et al., "mixup: beyond empirical risk minimization", 2018.
- Yun et al., "CutMix: regularization strategy to train strong classifiers with localizable features", 2019.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from regstudy.config.schema import Regularization


class Mixed(NamedTuple):
    """A batch whose image i is ``share`` of image i and the rest of image ``partner[i]``; None where none is mixed."""

    images: Tensor
    partner: Tensor | None
    share: float


class Mixing(NamedTuple):
    """What decides how a batch is mixed, or that it is not; ``rectangle`` only where one is pasted."""

    partner: Tensor | None
    share: float = 1.0
    rectangle: Tensor | None = None


def mix(images: Tensor, regularization: Regularization, generator: Generator) -> Mixed:
    """Normalized images N×C×H×W as a mixed batch, or untouched with share 1.

    A batch is blended with probability ``mixup``, has rectangles pasted into it with probability ``cutmix``, and one
    share from Beta(alpha, alpha) holds for all its images. One integer is drawn from the generator per batch in any
    case, but none if both are 0: then ``images`` itself is returned. The given images never change.
    """
    if regularization.mixup == 0 and regularization.cutmix == 0:
        return Mixed(images, None, 1.0)
    drawn = draw_mixing(images.shape, regularization, generator)
    if drawn.partner is None:
        return Mixed(images, None, 1.0)
    partner = drawn.partner.to(images.device)
    # a script with one kind of mixing leaves out the other, so the settings are asked before the rectangle
    if regularization.mixup and (regularization.cutmix == 0 or drawn.rectangle is None):
        return Mixed(blended(images, partner, drawn.share), partner, drawn.share)
    rectangle = drawn.rectangle.to(images.device)  # type: ignore[union-attr]
    return Mixed(pasted(images, partner, rectangle), partner, drawn.share)


def draw_mixing(shape: Sequence[int], regularization: Regularization, generator: Generator) -> Mixing:
    """How to mix a batch N×C×H×W, as `mix` says, drawn on the CPU."""
    random = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    chance = random.random()
    if chance >= _mixed_batches(regularization):
        return Mixing(None)
    partner = torch.from_numpy(random.permutation(shape[0]))
    if regularization.mixup and (regularization.cutmix == 0 or chance < regularization.mixup):
        share = _share(random, regularization.mixup_alpha)
        return Mixing(partner, share)
    ends = _rectangle(random, _share(random, regularization.cutmix_alpha), shape)
    top, bottom, left, right = ends
    share = 1 - (bottom - top) * (right - left) / (shape[-2] * shape[-1])
    return Mixing(partner, share, torch.tensor(ends))


def blended(images: Tensor, partner: Tensor, share: float | Tensor) -> Tensor:
    """A share of each image, and the rest of its partner."""
    return images.lerp(images[partner], 1 - share)


def pasted(images: Tensor, partner: Tensor, rectangle: Tensor) -> Tensor:
    """The images with a part of their partners; ``rectangle`` has the first row, the one after the last, the columns.

    A choice for every pixel, because slicing would need the numbers on the host.
    """
    down, across = (torch.arange(length, device=images.device) for length in images.shape[-2:])
    rows = (down >= rectangle[0]) & (down < rectangle[1])
    columns = (across >= rectangle[2]) & (across < rectangle[3])
    return torch.where(rows[:, None] & columns, images[partner], images)


def mixed_loss(
    logits: Tensor,
    labels: Tensor,
    partner_labels: Tensor,
    share: float | Tensor,
    label_smoothing: float = 0.0,
    weight: Tensor | None = None,
) -> Tensor:
    """share · CE(labels) + (1 − share) · CE(partner_labels), each the mean over the batch.

    ``logits`` N×K, labels int64 N, ``weight`` one factor per class. At share 1 the partners' loss is not computed.
    """
    own = cross_entropy(logits, labels, weight=weight, label_smoothing=label_smoothing)
    if isinstance(share, float | int) and share == 1:  # a comparison of a tensor would wait for the device
        return own
    others = cross_entropy(logits, partner_labels, weight=weight, label_smoothing=label_smoothing)
    return share * own + (1 - share) * others


def _mixed_batches(regularization: Regularization) -> float:
    """The share of batches that are mixed in either way."""
    if regularization.cutmix == 0:
        return regularization.mixup
    if regularization.mixup == 0:
        return regularization.cutmix
    return regularization.mixup + regularization.cutmix


def _share(random: np.random.Generator, alpha: float) -> float:
    return float(random.beta(alpha, alpha))


def _rectangle(random: np.random.Generator, share: float, shape: Sequence[int]) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of the part to paste: 1 − share of the area around any pixel, cut at the border."""
    ends: list[int] = []
    for length in shape[-2:]:
        side = round(length * math.sqrt(1 - share))
        first = int(random.integers(length)) - side // 2
        ends += [max(first, 0), min(first + side, length)]
    top, bottom, left, right = ends
    return top, bottom, left, right
