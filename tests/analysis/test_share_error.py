"""The error of a share: by hand, at its edges, and its coverage in simulated groups."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from regstudy.analysis.share_error import ShareError, grouped_error, share_error
from regstudy.records import GroupCounts, Tally

REPEATS = 3_000


def tally(images: list[int], right: list[int]) -> Tally:
    return GroupCounts(list(range(len(images))), [0] * len(images), images, right).tally()


def test_images_that_are_independent_have_wilsons_limits() -> None:
    found = share_error(81, 263)
    assert found.value == 81 / 263
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, table I, method 3
    assert found.standard_error == pytest.approx(math.sqrt(81 / 263 * 182 / 263 / 263))


def test_the_variance_of_groups_by_hand() -> None:
    """Two groups of 10 with 10 and 6 right answers: 0.8 ± sqrt(2/1 · (2² + 2²) / 20²)."""
    found = grouped_error(tally([10, 10], [10, 6]))
    assert found is not None
    assert found.standard_error == pytest.approx(0.2)
    assert found.design_effect == pytest.approx(0.04 / (0.16 / 20))
    assert (found.images, found.groups) == (20, 2)
    spread = stats.t.ppf(0.975, 1) * 0.2 / 0.16
    assert found.high == pytest.approx(1 / (1 + math.exp(-math.log(4) - spread)))


@pytest.mark.parametrize(
    ("images", "right", "effect"),
    [
        ([5, 5, 5, 5], [5, 0, 5, 0], 4 / 3 * 5),  # all or nothing: G/(G−1) times the size
        ([5, 5, 5, 5], [3, 3, 3, 3], 1.0),  # more alike than independent images could be
        ([5, 5, 5, 5], [5, 5, 5, 5], 5.0),  # nothing shows how alike they are: every group counts once
        ([5, 5, 5, 5], [0, 0, 0, 0], 5.0),
        ([1] * 40, [1, 0] * 20, 40 / 39),  # groups of one are images
        ([10**6, 10**6], [10**6, 10**6 - 1], 1.0),  # a logit that exp cannot invert
    ],
)
def test_the_design_effect(images: list[int], right: list[int], effect: float) -> None:
    found = grouped_error(tally(images, right))
    assert found is not None and found.design_effect == pytest.approx(effect)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high


@pytest.mark.parametrize("counts", [Tally(), Tally([9], [5], [1]), Tally([0], [0], [2])])
def test_without_two_groups_of_images_there_is_no_error(counts: Tally) -> None:
    assert grouped_error(counts) is None


def test_no_images_give_nan() -> None:
    assert math.isnan(share_error(0, 0).value)


def coverage(accuracy: float, icc: float, sizes: list[int]) -> float:
    """The share of simulated validation parts whose limits contain the accuracy: each group's is from a beta."""
    rng = np.random.default_rng(round(1000 * accuracy + 100 * icc))
    total = 1 / icc - 1
    hits = 0
    for own in rng.beta(accuracy * total, (1 - accuracy) * total, (REPEATS, len(sizes))):
        found = grouped_error(tally(sizes, rng.binomial(sizes, own).tolist()))
        assert isinstance(found, ShareError)
        hits += found.low <= accuracy <= found.high
    return hits / REPEATS


@pytest.mark.table
@pytest.mark.parametrize("icc", [0.05, 0.1, 0.2, 0.3])
@pytest.mark.parametrize("accuracy", [0.6, 0.7, 0.8, 0.9])
def test_coverage_of_95_percent_limits_with_20_groups_of_15(accuracy: float, icc: float) -> None:
    assert 0.93 - 0.008 <= coverage(accuracy, icc, [15] * 20) <= 0.97  # less two standard errors of 3,000 repeats


@pytest.mark.table
def test_coverage_falls_near_a_perfect_accuracy() -> None:
    """docs/method.md states these: 96 % at ICC 0.05, 88 % at ICC 0.3."""
    assert coverage(0.97, 0.05, [15] * 20) == pytest.approx(0.96, abs=0.015)
    assert coverage(0.97, 0.3, [15] * 20) == pytest.approx(0.88, abs=0.025)
