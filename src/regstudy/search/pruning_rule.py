"""When to prune a run, as a pure rule: curves in, a decision out.

A run is pruned only if it is behind half of its peers at the same epoch *and* is forecast to stay there. The forecast
of the gain in the remaining epochs is a regression over the full runs of this study, on the best value so far and on
recent gains. It must give the run too small a chance of ending in the best quarter. The fewer epochs are left to save,
the smaller the chance must be: it is compared with ``chance`` times the share of epochs left.

The constants were chosen by how good the configuration is that a search with confirmation hands over for the same
epochs (docs/pruning.md). What counts most is to wait for three tenths of the epochs, and then to prune much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from regstudy.records import PruningDecision

Array = NDArray[np.float64]

MIN_FULL_RUNS = 5  # full runs before any is pruned: the forecast is fitted to them
MIN_PEERS = 5  # runs that reached the same epoch
WARM_UP_SHARE = 0.3  # of the epochs, in which nothing is pruned
BEHIND_QUANTILE = 0.5  # of the peers' best values at an epoch; a run at or above it is never pruned
MIN_CHANCE = 0.25  # of ending in the best quarter; a run with less is pruned while all its epochs are left
GOOD_QUANTILE = 0.75  # of the final values: where the best quarter begins
LOOKBACK_SHARES = (1 / 8, 1 / 3, 1 / 2)  # of the epochs so far, over which gains are measured
RIDGE_PENALTY = 20.0  # in units of one run's squared standardized feature: few full runs say little about slopes


@dataclass(frozen=True)
class Peer:
    """Another run: its values per epoch (larger is better), and whether it ran to its end."""

    values: Sequence[float]
    full: bool

    @cached_property
    def best(self) -> Array:
        """Its best value so far, after each epoch."""
        return np.maximum.accumulate(np.asarray(self.values, dtype=float))

    def best_at(self, epoch: int) -> float:
        """Its best value after an epoch, or at its end where that came earlier."""
        return float(self.best[min(epoch, len(self.best)) - 1])


def decide(own: Sequence[float], peers: Sequence[Peer], epochs: int, chance: float = MIN_CHANCE) -> PruningDecision:
    """Whether to prune a run that has reported ``own`` (larger is better) of ``epochs`` planned values.

    A larger ``chance`` prunes more; above `BEHIND_QUANTILE` it also raises the bar below which a run counts as behind.
    """
    epoch = len(own)
    full = [peer for peer in peers if peer.full]
    if epoch < warm_up(epochs):
        return PruningDecision(False, f"no pruning before epoch {warm_up(epochs)}")
    if len(full) < MIN_FULL_RUNS:
        return PruningDecision(False, f"the forecast needs {MIN_FULL_RUNS} full runs, but there are {len(full)}")
    there = np.array([peer.best_at(epoch) for peer in peers if peer.full or len(peer.values) >= epoch])
    best = max(own)
    ahead = float(np.mean(there > best))
    if len(there) < MIN_PEERS or best >= np.quantile(there, max(BEHIND_QUANTILE, chance)):
        return PruningDecision(
            False, f"not far enough behind at epoch {epoch}: {ahead:.0%} of {len(there)} runs were better"
        )
    finals = np.array([peer.best[-1] for peer in full])
    known = features([peer.best for peer in full], epoch)
    mine = features([np.maximum.accumulate(np.asarray(own, dtype=float))], epoch)[0]
    forecast, error = forecast_gain(known, finals - known[:, 0], mine)
    reach = _reach(best + max(forecast, 0.0) - float(np.quantile(finals, GOOD_QUANTILE)), error, len(full))
    words = f"{ahead:.0%} of {len(there)} runs were better at epoch {epoch}; estimated chance of a top-quarter result:"
    return PruningDecision(reach < chance * max(epochs - epoch, 0) / epochs, f"{words} {reach:.1%}")


def _reach(lead: float, error: float, runs: int) -> float:
    """Probability that an expected lead over the goal is positive; its error was estimated from ``runs`` runs."""
    return float(stdtr(runs - 1, lead / error)) if error > 0 else float(lead >= 0)


def warm_up(epochs: int) -> int:
    """The first epoch after which a run may be pruned."""
    return max(2, math.ceil(WARM_UP_SHARE * epochs))


def features(bests: Sequence[Array], epoch: int) -> Array:
    """What the forecast after an epoch knows of each run, given its best value so far after each of its epochs.

    One row per run: the best value, and how much of it was gained over the last eighth, third and half of the epochs.
    """
    flat, lengths = np.concatenate(bests), np.array([len(best) for best in bests])
    first = np.cumsum(lengths) - lengths
    last = first + np.minimum(lengths, epoch) - 1
    back = [max(1, round(share * epoch)) for share in LOOKBACK_SHARES]
    gains = [flat[last] - flat[np.maximum(first, last - epochs)] for epochs in back]
    return np.column_stack([flat[last], *gains])


def forecast_gain(known: Array, gains: Array, own: Array) -> tuple[float, float]:
    """Ridge regression of remaining gains (n,) on features (n, k): the gain to expect for ``own`` (k,) and its error.

    Features and gains are put on an asinh scale of their own spread, so that single outliers weigh little. The error
    is the root mean square of leave-one-out residuals (e / (1 - h), h the leverage), widened for few runs.
    """
    middle, spread = np.median(known, axis=0), _spread(known)
    scaled, mine = np.arcsinh((known - middle) / spread), np.arcsinh((own - middle) / spread)
    unit = float(_spread(gains[:, None])[0])
    target = gains / unit
    center = scaled.mean(axis=0)
    centered = scaled - center
    inverse = np.linalg.inv(centered.T @ centered + RIDGE_PENALTY * np.eye(centered.shape[1]))
    weights = inverse @ centered.T @ (target - target.mean())
    leverage = np.einsum("ij,jk,ik->i", centered, inverse, centered) + 1 / len(gains)
    residuals = (target - target.mean() - centered @ weights) / (1 - leverage)
    away = mine - center
    error = math.sqrt(float(np.mean(residuals**2)) * (1 + float(away @ inverse @ away)))
    return float(target.mean() + away @ weights) * unit, error * unit


def _spread(values: Array) -> Array:
    """The interquartile range of every column; its standard deviation where that is 0, and 1 where all are equal."""
    low, high = np.quantile(values, [0.25, 0.75], axis=0)
    spread = high - low
    spread = np.where(spread > 0, spread, values.std(axis=0))
    return np.where(spread > 0, spread, 1.0)
