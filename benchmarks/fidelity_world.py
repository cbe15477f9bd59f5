"""Studies whose trials are recorded curves with a known true quality: what pruning rules are replayed on.

`repeats/*` (repeat_bank.py) have each configuration's trainings on several seeds and splits. A trial is one repeat of a
configuration, less what its split did to all of them. Its truth is the mean of the configuration's *other* repeats,
drawn toward the mean of its kind by its noise, so no value that was selected is part of a truth. `banks/*`
(curve_bank.py) have one training per configuration; their truth is that of a Gaussian process through all of them
(warm_start.py). Fresh runs are the truth with the noise of single runs, which the repeats give.

All values are in points (hundredths).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import warm_start
from confirm_world import POOL, ROUNDS, fails, values_of, world_of
from curve_bank import BANKS, read_bank
from repeat_bank import FIRST, REPEATS, SEARCHED

from regstudy.search.pruning_rule import LOOKBACK_SHARES
from regstudy.space.search_space import is_baseline

WORLDS = ("repeats/digits", "repeats/cifar10", "banks/digits", "banks/cifar10")


@dataclass(frozen=True)
class World:
    """``curves``: (trainings, epochs) validation accuracy; ``truth``, ``of``: of each its truth and its configuration.

    The configurations below ``searched`` are those of the search, the others are baselines. ``noise``:
    (configurations, POOL) residuals of fresh runs; ``splits``: effects of a split on all of them.
    """

    curves: np.ndarray
    truth: np.ndarray
    of: np.ndarray
    noise: np.ndarray
    splits: np.ndarray
    searched: int
    stops: np.ndarray | None = None  # (trainings,) epochs after which early stopping ends them, if it does

    @property
    def best(self) -> float:
        """The truth of the best configuration of the search."""
        return max(float(self.truth[self.of == number].mean()) for number in range(self.searched))


@dataclass(frozen=True)
class Stream:
    """The trials of a study in order: (trials, epochs) the best values so far; ``values`` as measured.

    ``features``: those of the forecast of `regstudy.search.pruning_rule` after each epoch. ``luck`` decides what
    pruners draw for each trial.
    """

    values: np.ndarray
    best: np.ndarray
    features: np.ndarray
    truth: np.ndarray
    fresh: np.ndarray  # (trials, ROUNDS)
    baseline: np.ndarray
    luck: np.ndarray
    stops: np.ndarray  # epochs after which each trial ends by itself

    @property
    def epochs(self) -> int:
        """Of a full trial."""
        return self.values.shape[1]


@cache
def world(name: str) -> World:
    """A world by its name, see `WORLDS`."""
    kind, bank = name.split("/")
    return _repeated(bank) if kind == "repeats" else _single(name, bank)


def _repeated(bank: str) -> World:
    lines = read_bank(REPEATS / f"{bank}.jsonl")
    table, numbers = values_of(lines)
    kept = np.array(numbers)[~fails(table)]
    place = {int(number): at for at, number in enumerate(kept)}
    lines = [line for line in lines if line["configuration"] in place]
    of = np.array([place[line["configuration"]] for line in lines])
    repeat = np.array([line["repeat"] for line in lines])
    curves = 100 * np.array([line["val_accuracy"] for line in lines])
    curves = curves - _splits(curves, of, repeat)
    finals = curves.max(axis=1)
    known, searched = world_of(lines), kept < SEARCHED
    kinds = 2 * ~searched + (np.bincount(of) > FIRST)
    truth = np.empty(len(of))
    for kind in np.unique(kinds):
        truth[kinds[of] == kind] = _others(finals[kinds[of] == kind], of[kinds[of] == kind])
    return World(curves, truth, of, known.noise, known.splits, int(searched.sum()))


def _splits(curves: np.ndarray, of: np.ndarray, repeat: np.ndarray) -> np.ndarray:
    """What each training's split did to all configurations, epoch by epoch: the effects of a two-way fit."""
    design = np.zeros((len(of), of.max() + 1 + repeat.max() + 1))
    design[np.arange(len(of)), of] = design[np.arange(len(of)), of.max() + 1 + repeat] = 1.0
    effects = np.linalg.lstsq(design, curves, rcond=None)[0][of.max() + 1 :]
    return (effects - effects.mean(axis=0))[repeat]


def _others(finals: np.ndarray, of: np.ndarray) -> np.ndarray:
    """For each training of one kind of configurations, the mean of the others of its configuration, shrunk."""
    groups = [np.flatnonzero(of == number) for number in np.unique(of)]
    variance = float(np.mean([finals[group].var(ddof=1) for group in groups]))
    means, runs = np.array([finals[group].mean() for group in groups]), np.array([len(group) for group in groups])
    spread = max(float(means.var(ddof=1) - np.mean(variance / runs)), 0.01)
    truth = np.empty(len(finals))
    for group in groups:
        n = len(group) - 1
        others = (finals[group].sum() - finals[group]) / n
        truth[group] = (n * others + variance / spread * means.mean()) / (n + variance / spread)
    return truth


def _single(name: str, bank: str) -> World:
    smooth = warm_start.world(name)
    lines = read_bank(BANKS / f"{bank}.jsonl")
    curves = 100 * np.nan_to_num(np.array([line["val_accuracy"] for line in lines], dtype=float))
    truth = np.array([smooth.truth(line["params"]) for line in lines])
    noise = np.random.default_rng(0).normal(0, smooth.noise, (len(lines), POOL))
    return World(curves, truth, np.arange(len(lines)), noise, np.zeros(1), len(lines))


def stream(of: World, trials: int, seed: int) -> Stream:
    """The trials of a study: every configuration in random order, then all again, each time by a random training.

    The baselines have their slots, if the world has any. The same seed gives the same trials to every rule.
    """
    rng = np.random.default_rng(seed)
    of_numbers = [np.flatnonzero(of.of == number) for number in range(of.of.max() + 1)]
    baselines = len(of_numbers) - of.searched
    order = np.concatenate([rng.permutation(of.searched) for _ in range(trials // of.searched + 1)])[:trials]
    slots = np.array([baselines > 0 and is_baseline(slot) for slot in range(trials)])
    numbers = np.where(slots, of.searched + rng.integers(max(baselines, 1), size=trials), order)
    chosen = np.array([rng.choice(of_numbers[number]) for number in numbers])
    values = of.curves[chosen]
    noise = of.noise[numbers[:, None], rng.integers(POOL, size=(trials, ROUNDS))]
    fresh = of.truth[chosen][:, None] + rng.choice(of.splits, ROUNDS) + noise
    best, luck = np.maximum.accumulate(values, axis=1), rng.random((trials, 2))
    stops = np.full(trials, values.shape[1]) if of.stops is None else of.stops[chosen]
    return Stream(values, best, _features(best), of.truth[chosen], fresh, slots, luck, stops)


def _features(best: np.ndarray) -> np.ndarray:
    """As `regstudy.search.pruning_rule.features` after each epoch: (trials, epochs, features)."""
    found = np.empty((*best.shape, 1 + len(LOOKBACK_SHARES)))
    for epoch in range(1, best.shape[1] + 1):
        back = [max(0, epoch - 1 - max(1, round(share * epoch))) for share in LOOKBACK_SHARES]
        found[:, epoch - 1, 0] = best[:, epoch - 1]
        found[:, epoch - 1, 1:] = best[:, [epoch - 1]] - best[:, back]
    return found
