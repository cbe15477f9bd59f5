"""Whole studies drawn from a bank of repeated trainings: what is true of its configurations, and how noisy a run is.

The bank (`repeat_bank.py`) has configurations × repeats; a repeat has one training seed and one split for all of them.
A two-way fit gives an effect of each repeat, and a truth of each configuration: its mean, drawn by its noise toward the
mean of its kind (search or baseline; repeated often or only at first), as empirical Bayes has it. What is left is the
noise of single runs, which is drawn again for every simulated run. So no value that chose anything is part of a truth.

All values are in points (hundredths).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from repeat_bank import FIRST, SEARCHED

from regstudy.space.search_space import is_baseline

POOL = 256  # residuals that the noise of a configuration is drawn from
NEAREST = 8  # configurations whose residuals make up the pool of one that was repeated only a few times
OFTEN = 8  # repeats from which on a configuration has its own pool
ROUNDS = 48  # most rounds of a race


@dataclass(frozen=True)
class World:
    """What studies are drawn from. The first ``searched`` configurations are those of the search, then baselines.

    ``noise``: (configurations, POOL) residuals of single runs; ``splits``: effects of a seed and split on all of them.
    """

    truth: np.ndarray
    noise: np.ndarray
    splits: np.ndarray
    searched: int

    def null(self) -> World:
        """The same noise, but all configurations are equally good."""
        return World(np.zeros_like(self.truth), self.noise, self.splits, self.searched)


@dataclass(frozen=True)
class Drawn:
    """The trials of a search and what fresh runs of them would give; slot by slot.

    ``values`` are those of the search, on one split; ``fresh``: (slots, ROUNDS), each round on a split of its own.
    """

    truth: np.ndarray
    values: np.ndarray
    fresh: np.ndarray
    baseline: np.ndarray  # which slots are


def values_of(lines: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, list[int]]:
    """The best epochs of a bank in points, (configurations, repeats), NaN where missing; and which these are.

    Configurations with a single repeat are left out.
    """
    numbers, repeats = ({line[key] for line in lines} for key in ("configuration", "repeat"))
    table = np.full((max(numbers) + 1, max(repeats) + 1), np.nan)
    for line in lines:
        table[line["configuration"], line["repeat"]] = 100 * max(line["val_accuracy"])
    kept = np.flatnonzero(np.isfinite(table).sum(axis=1) > 1)
    return table[kept], kept.tolist()


def world_of(lines: Sequence[Mapping[str, Any]]) -> World:
    """The world of a bank, complete or not."""
    table, numbers = values_of(lines)
    searched = sum(number < SEARCHED for number in numbers)
    counts = np.isfinite(table).sum(axis=1)
    kinds = 2 * (np.arange(len(table)) >= searched) + (counts > FIRST)
    truth, splits, residuals = two_way(table, kinds)
    noise = np.stack([_pool(i, truth, residuals, counts, searched) for i in range(len(table))])
    scale = np.sqrt(len(splits) / (len(splits) - 1))
    return World(truth, noise, scale * (splits - splits.mean()), searched)


def two_way(table: np.ndarray, kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truths of the rows, effects of the columns, and residuals (NaN where ``table`` is).

    Twice: the first fit, without shrinking, tells how much the rows of each kind differ beyond their noise.
    """
    rows, columns = np.nonzero(np.isfinite(table))
    y, count = table[rows, columns], len(table)
    design = np.zeros((len(y), count + table.shape[1]))
    design[np.arange(len(y)), rows] = design[np.arange(len(y)), count + columns] = 1.0
    plain = np.linalg.lstsq(design, y, rcond=None)[0]
    plain[:count] += plain[count:].mean()  # repeats average to 0
    plain[count:] -= plain[count:].mean()
    left = y - design @ plain
    runs = np.isfinite(table).sum(axis=1)
    weights, center = np.full(design.shape[1], 1e-9), np.zeros(design.shape[1])
    for kind in np.unique(kinds):
        of, own = np.flatnonzero(kinds == kind), kinds[rows] == kind
        variance = left[own] @ left[own] / (own.sum() - len(of))  # poor configurations are noisier than good ones
        spread = max(float(np.var(plain[of], ddof=1) - np.mean(variance / runs[of])), 0.01) if len(of) > 1 else 1e9
        weights[of], center[of] = variance / spread, plain[of].mean()
    shrunk = np.linalg.solve(design.T @ design + np.diag(weights), design.T @ y + weights * center)
    residuals = np.full(table.shape, np.nan)
    residuals[rows, columns] = y - design @ plain
    return shrunk[:count], shrunk[count:], residuals


def _pool(row: int, truth: np.ndarray, residuals: np.ndarray, counts: np.ndarray, searched: int) -> np.ndarray:
    """Residuals for a configuration: its own, or with few repeats those of its neighbors in truth of the same arm."""
    peers = np.flatnonzero((np.arange(len(truth)) >= searched) == (row >= searched))
    nearest = peers[np.argsort(np.abs(truth[peers] - truth[row]))][:NEAREST]
    chosen = [row] if counts[row] >= OFTEN else nearest
    grown = [residuals[i] * np.sqrt(counts[i] / (counts[i] - 1)) for i in chosen]  # a fitted mean takes some away
    pool = np.concatenate(grown)
    pool = pool[np.isfinite(pool)]
    return np.random.default_rng(row).permutation(np.resize(pool - pool.mean(), POOL))


def draw(world: World, slots: int, rng: np.random.Generator) -> Drawn:
    """A search by random sampling, whose configurations are drawn from the world with replacement."""
    baseline = np.array([is_baseline(slot) for slot in range(slots)])
    baselines = len(world.truth) - world.searched
    chosen = np.where(
        baseline, world.searched + rng.integers(baselines, size=slots), rng.integers(world.searched, size=slots)
    )
    noise = world.noise[chosen[:, None], rng.integers(POOL, size=(slots, 1 + ROUNDS))]
    runs = world.truth[chosen][:, None] + rng.choice(world.splits, 1 + ROUNDS) + noise
    return Drawn(world.truth[chosen], runs[:, 0], runs[:, 1:], baseline)
