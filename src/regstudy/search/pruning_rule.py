"""When to cut a run short, as a pure rule: curves in, a verdict out.

A run is cut only if it is behind three fifths of its peers at the same epoch *and* its own signal says that it will
stay there: a forecast of what the rest of the epochs will add, learnt from the runs of this study that went to their
end, gives it too small a chance of ending among the best quarter. What a curve gained lately is part of the forecast.
The less is left to save, the smaller a chance must be: it is compared with ``chance`` times the share of epochs left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from regstudy.records import PruningDecision

Array = NDArray[np.float64]

FULL_FIRST = 8  # runs that go to their end before any is cut: the forecast is learnt from them
PEERS = 5  # that reached the same epoch
WARM_UP = 0.1  # share of the epochs in which nothing is cut
BEHIND = 0.4  # quantile of the peers' best values at an epoch from which on a run is never cut
CHANCE = 0.06  # of ending among the best quarter, below which a run is cut while all its epochs are left
GOOD = 0.75  # quantile of the finals that is worth reaching
LOOKBACKS = (1 / 8, 1 / 3, 1 / 2)  # of the epochs so far, over which gains are taken
RIDGE = 20.0  # penalty, in units of one run's squared standardised feature: few full runs say little about slopes


@dataclass(frozen=True)
class Peer:
    """Another run: what it reported, epoch by epoch, larger being better, and whether its outcome was observed."""

    values: Sequence[float]
    full: bool


def decide(own: Sequence[float], peers: Sequence[Peer], epochs: int, chance: float = CHANCE) -> PruningDecision:
    """Whether to cut a run that has reported ``own``, larger being better, of ``epochs`` planned values.

    A larger ``chance`` cuts more; above `BEHIND` it also raises the bar below which a run counts as behind.
    """
    epoch = len(own)
    full = [peer for peer in peers if peer.full]
    if epoch < warm_up(epochs):
        return PruningDecision(False, f"nothing is cut before epoch {warm_up(epochs)}")
    if len(full) < FULL_FIRST:
        return PruningDecision(False, f"{len(full)} of the {FULL_FIRST} runs that forecasts are learnt from are over")
    there = np.array([max(peer.values[:epoch]) for peer in peers if peer.full or len(peer.values) >= epoch])
    best = max(own)
    ahead = float(np.mean(there > best))
    if len(there) < PEERS or best >= np.quantile(there, max(BEHIND, chance)):
        return PruningDecision(
            False, f"not far enough behind at epoch {epoch}: {ahead:.0%} of {len(there)} runs were better"
        )
    finals = np.array([max(peer.values) for peer in full])
    known = np.array([features(peer.values[:epoch], epoch) for peer in full])
    forecast, error = forecast_gain(known, finals - known[:, 0], features(own, epoch))
    reach = _reach(best + max(forecast, 0.0) - float(np.quantile(finals, GOOD)), error, len(full))
    words = f"{ahead:.0%} of {len(there)} runs were better at epoch {epoch}; its chance to end among the best quarter:"
    return PruningDecision(reach < chance * max(epochs - epoch, 0) / epochs, f"{words} {reach:.1%}")


def _reach(lead: float, error: float, runs: int) -> float:
    """The chance that an expected lead over the goal holds, its error having been estimated from so many runs."""
    return float(stdtr(runs - 1, lead / error)) if error > 0 else float(lead >= 0)


def warm_up(epochs: int) -> int:
    """The first epoch after which a run may be cut."""
    return max(2, math.ceil(WARM_UP * epochs))


def features(values: Sequence[float], epoch: int) -> Array:
    """The best value so far, and how much of it was gained over the last eighth, third and half of the epochs."""
    best = np.maximum.accumulate(np.asarray(values, dtype=float))
    gains = [best[-1] - best[max(0, len(best) - 1 - max(1, round(share * epoch)))] for share in LOOKBACKS]
    return np.array([best[-1], *gains])


def forecast_gain(known: Array, gains: Array, own: Array) -> tuple[float, float]:
    """Ridge regression of remaining gains (n,) on features (n, k): the gain to expect for ``own`` (k,) and its error.

    Features and gains are put on an asinh scale of their own spread, so that single wild curves weigh little. The error
    is the root mean square of leave-one-out residuals (e / (1 - h), h the leverage), widened for few runs.
    """
    middle, spread = np.median(known, axis=0), _spread(known)
    scaled, mine = np.arcsinh((known - middle) / spread), np.arcsinh((own - middle) / spread)
    unit = float(_spread(gains[:, None])[0])
    target = gains / unit
    center = scaled.mean(axis=0)
    centred = scaled - center
    inverse = np.linalg.inv(centred.T @ centred + RIDGE * np.eye(centred.shape[1]))
    weights = inverse @ centred.T @ (target - target.mean())
    leverage = np.einsum("ij,jk,ik->i", centred, inverse, centred) + 1 / len(gains)
    residuals = (target - target.mean() - centred @ weights) / (1 - leverage)
    away = mine - center
    error = math.sqrt(float(np.mean(residuals**2)) * (1 + float(away @ inverse @ away)))
    return float(target.mean() + away @ weights) * unit, error * unit


def _spread(values: Array) -> Array:
    """The interquartile range of every column; its standard deviation where that is 0, and 1 where all are equal."""
    low, high = np.quantile(values, [0.25, 0.75], axis=0)
    spread = high - low
    spread = np.where(spread > 0, spread, values.std(axis=0))
    return np.where(spread > 0, spread, 1.0)
