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
from repeat_bank import BASELINES, FIRST, SEARCHED

from regstudy.space.search_space import is_baseline

POOL = 256  # residuals that the noise of a configuration is drawn from
NEAREST = 8  # configurations whose residuals make up the pool of one that was repeated only a few times
OFTEN = 8  # repeats from which on a configuration has its own pool
NEAR = 1.5  # points within which a neighbor lies
UNSTABLE = 12.0  # points between the best and the worst repeat of a configuration that sometimes fails to train
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

    def equal(self, noise_too: bool) -> World:
        """All configurations equally good; ``noise_too``: also equally noisy, like the better half of the search."""
        better = np.argsort(-self.truth[: self.searched])[: (self.searched + 1) // 2]
        pool = np.random.default_rng(0).choice(self.noise[better].ravel(), POOL)
        noise = np.tile(pool - pool.mean(), (len(self.truth), 1)) if noise_too else self.noise
        return World(np.zeros_like(self.truth), noise, self.splits, self.searched)


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


def usable(lines: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a bank has enough: most configurations of both arms with two repeats, or more."""
    table, numbers = values_of(lines) if lines else (np.empty((0, 0)), [])
    stable = np.array(numbers, dtype=int)[~fails(table)] if len(table) else np.array([])
    return int((stable < SEARCHED).sum()) >= SEARCHED // 2 and int((stable >= SEARCHED).sum()) >= BASELINES // 2


def fails(table: np.ndarray) -> np.ndarray:
    """Which configurations sometimes fail to train, or nearly so: their repeats lie far apart."""
    return np.nanmax(table, axis=1) - np.nanmin(table, axis=1) > UNSTABLE


def world_of(lines: Sequence[Mapping[str, Any]], unstable: bool = False) -> World:
    """The world of a bank, complete or not.

    Configurations that sometimes fail to train are left out, because a single one that was lucky in the search would
    decide how well "take the best" does. With ``unstable`` they are there: they follow no fit, and their runs are drawn
    from their own.
    """
    table, numbers = values_of(lines)
    failing = fails(table)
    kept = np.flatnonzero(~failing)
    searched = np.array(numbers) < SEARCHED
    counts = np.isfinite(table).sum(axis=1)
    kinds = 2 * ~searched + (counts > FIRST)
    truth, residuals = np.nanmean(table, axis=1), table - np.nanmean(table, axis=1, keepdims=True)
    truth[kept], splits, residuals[kept] = two_way(table[kept], kinds[kept])
    noise = np.stack(
        [
            _pool(i, truth, residuals, counts, np.array([i]) if failing[i] else kept[searched[kept] == searched[i]])
            for i in range(len(table))
        ]
    )
    used = unstable | ~failing
    order = np.r_[np.flatnonzero(searched & used), np.flatnonzero(~searched & used)]
    scale = np.sqrt(len(splits) / (len(splits) - 1))
    return World(truth[order], noise[order], scale * (splits - splits.mean()), int((searched & used).sum()))


def described(lines: Sequence[Mapping[str, Any]]) -> str:
    """What a bank is, in words."""
    world, table = world_of(lines), values_of(lines)[0]
    often = int((np.isfinite(table).sum(axis=1) > FIRST).sum())
    order = np.argsort(-world.truth[: world.searched])
    best = world.truth[order]
    noise, splits, failing = world.noise[order[:20]].std(), world.splits.std(), int(fails(table).sum())
    baselines = len(world.truth) - len(best)
    return (
        f"{len(lines)} trainings: {len(best)} configurations of the search and {baselines} baselines; "
        f"{often} configurations were repeated more than {FIRST} times. {failing} further ones sometimes "
        f"fail to train and are left out. Truth: best {best[0]:.1f} %, tenth {best[9]:.1f} %, median "
        f"{np.median(best):.1f} %, best baseline {world.truth[world.searched :].max():.1f} %. Standard deviation of a "
        f"run of the best 20: {noise:.2f} points, of the effect of a split and seed on all: {splits:.2f} points."
    )


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


def _pool(row: int, truth: np.ndarray, residuals: np.ndarray, counts: np.ndarray, peers: np.ndarray) -> np.ndarray:
    """Residuals for a configuration: its own, or with few repeats also those of its neighbors in truth."""
    nearest = peers[np.argsort(np.abs(truth[peers] - truth[row]))][:NEAREST]
    near = nearest[np.abs(truth[nearest] - truth[row]) <= NEAR]
    alone = len(near) < 2
    chosen = [row] if counts[row] >= OFTEN or alone else near
    grown = [residuals[i] * (1.0 if alone else np.sqrt(counts[i] / (counts[i] - 1))) for i in chosen]  # less a mean
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
    if world.truth.any():
        runs = np.minimum(runs, 100)
    return Drawn(world.truth[chosen], runs[:, 0], runs[:, 1:], baseline)
