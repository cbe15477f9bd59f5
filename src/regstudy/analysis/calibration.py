"""Calibration: whether a model that is sure of 80 % of its answers is right in 80 % of them.

The expected calibration error (ECE) is the mean distance between confidence and accuracy over intervals of confidence,
weighted by their images (Naeini et al., 2015; Guo et al., 2017, with 15 intervals of equal width). It is never 0, even
for a perfectly calibrated model, because the accuracy of few images varies by chance. So it comes with its noise floor:
the ECE of a model with the same confidences whose answers are right exactly that often (the bias that Roelofs et al.,
2022, describe), simulated with a fixed seed. All images of an interval are given its mean confidence there, which
changes the spread of their accuracy by less than 3 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regstudy.records import Reliability

NOISE_DRAWS = 1000  # simulated sets of images
NOISE_QUANTILE = 0.95  # an ECE above this quantile of the simulated ones is more than noise


@dataclass(frozen=True)
class Calibration:
    """ECE with its noise floor (0..1), and the mean Brier score.

    ``noise_floor`` is the mean ECE of the simulated sets, ``noise_limit`` its 95 % quantile. ``overconfidence`` is mean
    confidence minus accuracy: negative if the model is right more often than it says.
    """

    images: int
    ece: float
    noise_floor: float
    noise_limit: float
    brier: float
    overconfidence: float

    @property
    def off(self) -> bool:
        """Whether the ECE is larger than chance explains."""
        return self.ece > self.noise_limit


def calibration(found: Reliability) -> Calibration:
    """The calibration of a model on one set of images, which must not be empty."""
    images, confidence, right = (np.asarray(one, dtype=np.float64) for one in _columns(found))
    total = images.sum()
    filled = images > 0
    drawn = np.random.default_rng(0).binomial(
        images[filled].astype(np.int64),
        np.clip(confidence[filled] / images[filled], 0, 1),
        size=(NOISE_DRAWS, int(filled.sum())),
    )
    noise = np.abs(drawn - confidence[filled]).sum(1) / total
    return Calibration(
        images=int(total),
        ece=float(np.abs(right - confidence).sum() / total),
        noise_floor=float(noise.mean()),
        noise_limit=float(np.quantile(noise, NOISE_QUANTILE)),
        brier=found.brier,
        overconfidence=float((confidence.sum() - right.sum()) / total),
    )


def reliability_curve(found: Reliability) -> list[tuple[float, float, int]]:
    """Mean confidence, accuracy and number of images of each interval that has images."""
    return [(total / n, hits / n, n) for n, total, hits in zip(*_columns(found), strict=True) if n]


def _columns(found: Reliability) -> tuple[tuple[int, ...], tuple[float, ...], tuple[int, ...]]:
    return found.images, found.confidence, found.right
