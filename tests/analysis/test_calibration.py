"""Calibration errors by hand, and a noise floor that is what calibrated models really show."""

from __future__ import annotations

import numpy as np
import pytest

from regstudy.analysis.calibration import calibration, reliability_curve
from regstudy.records import Reliability, pool_reliabilities

BINS = 15


def made(confidence: np.ndarray, right: np.ndarray) -> Reliability:
    """From the confidence in each answer and whether it was right."""
    at = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    images, hits = (np.bincount(at, weights, BINS).astype(int) for weights in (np.ones(len(at)), right))
    return Reliability(
        tuple(images.tolist()), tuple(np.bincount(at, confidence, BINS).tolist()), tuple(hits.tolist()), 0.1
    )


def drawn(seed: int, many: int, sharpness: float, shift: float = 0.0) -> Reliability:
    """Answers that are right as often as their confidence says, after which it is shifted."""
    random = np.random.default_rng(seed)
    confidence = random.beta(sharpness, 1, many)
    right = random.random(many) < confidence
    return made(np.clip(confidence + shift, 0, 1), right)


@pytest.mark.parametrize(
    ("images", "confidence", "right", "ece", "over"),
    [
        ((4, 0, 4), (1.2, 0.0, 3.6), (1, 0, 4), 0.075, -0.025),  # 0.3 against 0.25, 0.9 against 1
        ((0, 10), (0.0, 9.0), (0, 9), 0.0, 0.0),
        ((0, 10), (0.0, 10.0), (0, 5), 0.5, 0.5),
        ((2, 2), (0.8, 1.6), (2, 0), 0.7, 0.1),  # opposite errors do not cancel
    ],
)
def test_errors_by_hand(
    images: tuple[int, ...], confidence: tuple[float, ...], right: tuple[int, ...], ece: float, over: float
) -> None:
    found = calibration(Reliability(images, confidence, right, 0.3))
    assert (found.ece, found.overconfidence) == (pytest.approx(ece), pytest.approx(over))
    assert (found.images, found.brier) == (sum(images), 0.3)


@pytest.mark.parametrize(("many", "sharpness"), [(50, 1.0), (200, 3.0), (2000, 3.0), (500, 30.0)])
def test_the_noise_floor_is_the_error_of_calibrated_models(many: int, sharpness: float) -> None:
    found = [calibration(drawn(seed, many, sharpness)) for seed in range(300)]
    errors = np.array([one.ece for one in found])
    spread = errors.std() / len(errors) ** 0.5
    assert np.mean([one.noise_floor for one in found]) == pytest.approx(errors.mean(), abs=4 * spread, rel=0.03)
    assert 0.01 <= np.mean([one.off for one in found]) <= 0.09  # 5 % false alarms


@pytest.mark.parametrize(("shift", "off"), [(0.0, False), (-0.15, True), (0.1, True)])
def test_a_shift_of_the_confidence_is_seen(shift: float, off: bool) -> None:
    found = calibration(drawn(1, 2000, 4.0, shift))
    assert found.off == off
    if off:
        assert (found.overconfidence > 0) == (shift > 0)


def test_the_floor_is_the_same_each_time_and_falls_with_more_images() -> None:
    few, many = drawn(0, 100, 3.0), drawn(0, 10_000, 3.0)
    assert calibration(few) == calibration(few)
    assert calibration(few).noise_floor > 5 * calibration(many).noise_floor > 0


def test_sets_are_pooled_by_their_images() -> None:
    both = pool_reliabilities(
        [Reliability((1, 2), (0.2, 1.8), (0, 2), 0.1), Reliability((0, 9), (0.0, 9.0), (0, 3), 0.5)]
    )
    assert both == Reliability((1, 11), (0.2, 10.8), (0, 5), pytest.approx((3 * 0.1 + 9 * 0.5) / 12))
    assert reliability_curve(both) == [(0.2, 0.0, 1), (pytest.approx(10.8 / 11), 5 / 11, 11)]
