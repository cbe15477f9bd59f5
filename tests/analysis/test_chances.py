"""How likely a difference is above, within or below the margin."""

from __future__ import annotations

import math

import numpy as np
import pytest

from regstudy.analysis import chances as rules
from regstudy.analysis.chances import chances
from regstudy.analysis.contrasts import Pairs, summary


@pytest.mark.parametrize(
    ("mean", "sd", "n", "above", "below"),
    [
        (3.0, 1.0, 10, (0.99, 1.0), (0.0, 0.001)),
        (-3.0, 1.0, 10, (0.0, 0.001), (0.97, 1.0)),
        (0.0, 0.1, 20, (0.0, 0.001), (0.0, 0.001)),
        (0.3, 1.0, 6, (0.1, 0.35), (0.0, 0.05)),
        (0.3, 0.01, 50, (0.3, 0.7), (0.0, 0.001)),  # at the margin
        (0.5, 0.0, 6, (0.9, 1.0), (0.0, 0.01)),  # no spread at all
        (0.0, 0.0, 6, (0.0, 0.05), (0.0, 0.05)),
    ],
)
def test_chances(mean: float, sd: float, n: int, above: tuple[float, float], below: tuple[float, float]) -> None:
    found = chances(Pairs(n, mean, sd), 0.3)
    assert found is not None
    assert above[0] <= found.above <= above[1] and below[0] <= found.below <= below[1]
    assert found.above + found.within + found.below == pytest.approx(1)


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_from_less_than_two_pairs(n: int) -> None:
    assert chances(Pairs(n, 0.5, math.nan), 0.3) is None


def test_the_unit_does_not_matter() -> None:
    one, other = chances(Pairs(7, 0.6, 1.1), 0.3), chances(Pairs(7, 0.006, 0.011), 0.003)
    assert one is not None and other is not None and one.above == pytest.approx(other.above)


def test_the_closed_form_is_the_integral(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against draws from the prior, weighted by their likelihood."""
    values = [0.9, -0.2, 1.4, 0.8, 0.3]
    monkeypatch.setattr(rules, "GRID", np.full(rules.STEPS, 2.0))  # one variance, so that draws are simple
    rng = np.random.default_rng(3)
    sd = np.exp(rng.uniform(-4, 4, 400_000))  # flat in its logarithm
    nothing, good = rng.random(len(sd)) < rules.NOTHING, rng.random(len(sd)) < rules.GOOD
    effect = np.where(nothing, 0, np.where(good, 1, -1) * np.abs(rng.normal(0, math.sqrt(2), len(sd))) * sd)
    log = sum(-0.5 * ((value - effect) / sd) ** 2 - np.log(sd) for value in values)
    weights = np.exp(log - log.max())
    found = chances(summary(values), 0.3)
    assert found is not None
    assert found.above == pytest.approx(float(weights[effect > 0.3].sum() / weights.sum()), abs=0.02)
    assert found.below == pytest.approx(float(weights[effect < -0.3].sum() / weights.sum()), abs=0.01)


def test_they_are_calibrated_where_the_prior_is_right() -> None:
    rng = np.random.default_rng(5)
    said, true = [], []
    for _ in range(4000):
        size = rng.exponential(1) if rng.random() < 0.5 else 0.0
        effect = size if rng.random() < 0.8 else -size
        found = chances(summary(effect + rng.normal(0, 1, int(rng.choice([6, 10, 16])))), 0.3)
        assert found is not None
        said.append(found.above)
        true.append(effect > 0.3)
    place = np.minimum(4, (5 * np.array(said)).astype(int))
    for fifth in range(5):
        those = place == fifth
        assert np.mean(np.array(said)[those]) == pytest.approx(np.mean(np.array(true)[those]), abs=0.08)
