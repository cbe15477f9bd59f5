"""PED-ANOVA of many selections of the same trials at once: "how differently is a parameter distributed at the top?"

Computes the same values as Optuna's `PedAnovaImportanceEvaluator` (Watanabe et al. 2023,
https://arxiv.org/abs/2304.10255; for conditional parameters https://arxiv.org/abs/2601.20800); a test checks this.
Optuna evaluates one ranking per
call and reads every trial again; here a trial's place on each parameter's grid is looked up once, and all rankings are
evaluated as arrays. That makes a null of hundreds of shuffles affordable at thousands of trials.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial
from scipy.special import ndtr

GRID_STEPS = 50  # grid points of a number's range
PRIOR_WEIGHT = 1.0
MIN_REGIME_TRIALS = 2  # trials that a regime needs
MIN_BANDWIDTH = 0.5 / 1.64  # bandwidth in grid points: 90 % of a kernel stay within its own
DENSITY_FLOOR = 1e-12
RANKINGS_PER_CHUNK = 64  # rankings whose kernels are held at once

Places = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Regime:
    """Trials in which a parameter was drawn from one and the same distribution."""

    group: int  # position of what the parameter is added up under
    places: Places  # per trial: its grid point or choice, or ``size`` if the trial is not of this regime
    size: int
    categorical: bool


def regimes(trials: Sequence[FrozenTrial], groups: Sequence[str], group_of: Callable[[str], str]) -> list[Regime]:
    """Every parameter's regimes, where anything could vary. ``groups`` must hold the group of every parameter."""
    position = {name: i for i, name in enumerate(groups)}
    rows: dict[tuple[str, Hashable], list[int]] = {}
    for i, trial in enumerate(trials):
        for name, distribution in trial.distributions.items():
            rows.setdefault((name, _key(distribution)), []).append(i)
    found = []
    for (name, _), members in rows.items():
        distribution = trials[members[0]].distributions[name]
        if distribution.single():
            continue
        places, size = _places(distribution, [trials[i].params[name] for i in members])
        whole = np.full(len(trials), size, dtype=np.int64)
        whole[members] = places
        found.append(Regime(position[group_of(name)], whole, size, isinstance(distribution, CategoricalDistribution)))
    return found


def evaluate(found: Sequence[Regime], groups: int, tops: Places, regions: Places | None = None) -> Numbers:
    """Importances, rankings × groups.

    ``tops``: per ranking the trials at its top, rankings × top. ``regions``: per ranking the trials that were ranked,
    rankings × trials; all of them if None.
    """
    result = np.zeros((len(tops), groups))
    top = tops.shape[1]
    for regime in found:
        everything = np.arange(len(regime.places))[None, :] if regions is None else regions
        in_region = _counts(regime, everything)
        in_top = _counts(regime, tops)
        top_weight, region_weight = in_top.sum(axis=1), in_region.sum(axis=1)
        sufficient = (top_weight > 0) & (region_weight >= MIN_REGIME_TRIALS)
        if not sufficient.any():
            continue
        local = _density(regime, in_region) + DENSITY_FLOOR
        density = _density(regime, in_top) + DENSITY_FLOOR
        divergence = (local * (density / local - 1) ** 2).sum(axis=1)
        n = everything.shape[1]
        share = (top_weight / top) ** 2 / np.maximum(region_weight / n, DENSITY_FLOOR)
        result[:, regime.group] += np.where(sufficient, share * divergence * (top / n) ** 2, 0.0)
    return result


def _key(distribution: BaseDistribution) -> Hashable:
    """Equal for equal distributions; hashing those of numbers themselves takes as long as all that follows."""
    if isinstance(distribution, CategoricalDistribution):
        return repr(distribution.choices)  # a choice itself may be a list, which cannot be hashed
    return type(distribution), *vars(distribution).values()


def _places(distribution: BaseDistribution, values: list[Any]) -> tuple[Places, int]:
    """Grid points of values, and how many the grid has; ties between two points go to the lower."""
    if isinstance(distribution, CategoricalDistribution):
        places = [int(distribution.to_internal_repr(value)) for value in values]
        return np.array(places, dtype=np.int64), len(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, steps = distribution.low, distribution.high, GRID_STEPS
    if isinstance(distribution, IntDistribution) and distribution.log:
        steps = min(math.ceil(math.log(high - low + 1) / math.log(2)) + 1, steps)
    elif distribution.step is not None:
        steps = min(round((high - low) / distribution.step) + 1, steps)
    numbers = np.asarray(values, dtype=np.float64)
    if distribution.log:
        low, high, numbers = math.log(low), math.log(high), np.log(numbers)
    grid = np.ceil((numbers - low) / ((high - low) / (steps - 1)) - 0.5).astype(np.int64)
    return np.clip(grid, 0, steps - 1), steps


def _counts(regime: Regime, chosen: Places) -> Places:
    """How many of the chosen trials are at each grid point, rankings × grid."""
    size = regime.size + 1  # the last column takes those that are not of the regime
    shifted = regime.places[chosen] + size * np.arange(len(chosen))[:, None]
    return np.bincount(shifted.ravel(), minlength=size * len(chosen)).reshape(-1, size)[:, :-1]


def _density(regime: Regime, counts: Places) -> Numbers:
    """Parzen estimate on the grid from counts, rankings × grid; rows without any trial give numbers of no meaning."""
    if regime.categorical:
        return _categorical(counts)
    return np.concatenate(
        [_numerical(counts[i : i + RANKINGS_PER_CHUNK]) for i in range(0, len(counts), RANKINGS_PER_CHUNK)]
    )


def _categorical(counts: Places) -> Numbers:
    choices = counts.shape[1]
    weight = counts.sum(axis=1, keepdims=True)
    each = PRIOR_WEIGHT / ((counts > 0).sum(axis=1, keepdims=True) + 1)  # prior within each choice's kernel
    kernels = (weight * each + counts) / (choices * each + 1)
    return np.asarray((kernels + PRIOR_WEIGHT / choices) / (weight + PRIOR_WEIGHT))


def _numerical(counts: Places) -> Numbers:
    """Gaussian kernels of Scott's bandwidth, cut to the grid and integrated over its cells, and a wide one as prior."""
    size = counts.shape[1]
    grid = np.arange(size, dtype=np.float64)
    weight = np.maximum(counts.sum(axis=1), 1)
    mean = counts @ grid / weight
    spread = np.sqrt((counts * (grid - mean[:, None]) ** 2).sum(axis=1) / np.maximum(1, weight - 1))
    below = np.cumsum(counts, axis=1)
    lower = (below >= np.maximum(weight // 4, 1)[:, None]).argmax(axis=1)
    upper = (below > (weight * 3 // 4)[:, None]).argmax(axis=1)
    width = np.maximum(1.059 * np.minimum((upper - lower) / 1.34, spread) * weight**-0.2, MIN_BANDWIDTH)
    # a cell's mass depends on its distance from the kernel only, so that one row of cell edges serves all kernels
    edges = ndtr((np.arange(-size, size) + 0.5) / width[:, None])  # rankings × 2 size, at distances -size+½ … size-½
    middle = size - np.arange(size)  # of the edges, the one half a cell below distance 0, minus the kernel's place
    mass_kept = edges[:, 2 * size - 1 - np.arange(size)] - edges[:, middle - 1]
    cells = (edges[:, 1:] - edges[:, :-1])[:, size - 1 + np.arange(size)[:, None] - np.arange(size)[None, :]]
    density = np.einsum("rxk,rk->rx", cells, counts / mass_kept)
    prior_edges = ndtr((np.arange(size + 1) - 0.5 - (size - 1) / 2) / size)
    prior = np.diff(prior_edges) / (prior_edges[-1] - prior_edges[0])
    return np.asarray((density + PRIOR_WEIGHT * prior) / (weight + PRIOR_WEIGHT)[:, None])
