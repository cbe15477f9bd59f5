"""Pruning rules on arrays: which trials of a study they let run to the end, and after how many epochs in all.

A rule gets a `Stream` and a budget in epochs. It returns, for each trial, the epochs that the study had spent when that
trial was full, infinite if it never was; and when each trial was over, or paused for the first time. The arrays say the
same as the pruners of Optuna and of regstudy, `tests/search/test_fidelity.py` compares them, and are fast enough for
thousands of studies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from fidelity_world import Stream

from regstudy.search import pruning_rule as rule
from regstudy.search.pruner import AUDIT_SHARE

STARTUP = 5  # full trials before Optuna's percentile pruner prunes
TIMES = np.ndarray


class Spent(NamedTuple):
    """Epochs that the study had spent when each trial was full (infinite: never), and when it was over."""

    full: TIMES
    over: TIMES


Rule = Callable[[Stream, float], Spent]
Judge = Callable[[int, int, np.ndarray], bool]  # trial, epoch, lengths of the trials before: whether to prune


def one_by_one(stream: Stream, budget: float, prune: Judge) -> Spent:
    """Trials in order, each until it is pruned or full; baselines are never pruned."""
    trials, epochs = stream.values.shape
    lengths, total = np.zeros(trials, dtype=int), 0
    full, over = np.full(trials, np.inf), np.full(trials, np.inf)
    for trial in range(trials):
        if total >= budget:
            break
        lengths[trial], stop = epochs, int(stream.stops[trial])  # a stopped trial is a full one
        if not stream.baseline[trial]:
            lengths[trial] = next((e for e in range(1, stop) if prune(trial, e, lengths[:trial])), epochs)
        total += min(lengths[trial], stop)
        over[trial] = total
        if lengths[trial] == epochs:
            full[trial] = total
    return Spent(full, over)


def never(stream: Stream, budget: float) -> Spent:
    """No pruning."""
    return one_by_one(stream, budget, lambda *_: False)


@dataclass(frozen=True)
class Percentile:
    """Optuna's: below the lowest ``share`` of the values that full trials had at this epoch, after a warm-up.

    ``pruned_too``: of the best values so far of all trials that got there.
    """

    share: float
    warm_up: float = 0.1
    pruned_too: bool = False

    def __call__(self, stream: Stream, budget: float) -> Spent:
        """See the module."""
        first = round(self.warm_up * stream.epochs)

        def prune(trial: int, epoch: int, lengths: np.ndarray) -> bool:
            full = np.flatnonzero(lengths == stream.epochs)
            if epoch < first or len(full) < STARTUP:
                return False
            there = stream.values[full, epoch - 1]
            if self.pruned_too:
                there = stream.best[: len(lengths)][lengths >= epoch, epoch - 1]
            return bool(stream.best[trial, epoch - 1] < np.percentile(there, 100 * self.share))

        return one_by_one(stream, budget, prune)


@dataclass(frozen=True)
class Halving:
    """Optuna's asynchronous successive halving; with ``brackets`` its Hyperband."""

    share: float  # of the epochs, for the first rung
    factor: int
    brackets: bool = False

    def __call__(self, stream: Stream, budget: float) -> Spent:
        """See the module."""
        first = max(1, round(self.share * stream.epochs))
        count = math.floor(math.log(stream.epochs / first, self.factor)) + 1 if self.brackets else 1
        weights = np.array([math.ceil(count * self.factor**s / (s + 1)) for s in reversed(range(count))], dtype=float)
        edges = np.cumsum(weights / weights.sum())
        bracket = np.minimum(np.searchsorted(edges, stream.luck[:, 0]), count - 1)
        rungs: dict[tuple[int, int], list[float]] = {}

        def prune(trial: int, epoch: int, _: np.ndarray) -> bool:
            at = int(bracket[trial])
            if epoch not in {first * self.factor ** (at + k) for k in range(9)}:
                return False
            value = stream.values[trial, epoch - 1]
            values = rungs.setdefault((at, epoch), [])
            values.append(value)
            kept = max(1, len(values) // self.factor)
            return bool(value < sorted(values)[-kept])

        return one_by_one(stream, budget, prune)


@dataclass(frozen=True)
class Signal:
    """regstudy's rule, with its constants; ``audit``: a tenth of the trials is never pruned.

    ``baselines``: whether baseline trials are peers.
    """

    chance: float = rule.MIN_CHANCE
    behind: float = rule.BEHIND_QUANTILE
    full_runs: int = rule.MIN_FULL_RUNS
    good: float = rule.GOOD_QUANTILE
    audit: bool = False
    baselines: bool = True
    warm_up: float = rule.WARM_UP_SHARE

    def __call__(self, stream: Stream, budget: float) -> Spent:
        """See the module."""
        finals, epochs = stream.best[:, -1], stream.epochs

        def prune(trial: int, epoch: int, lengths: np.ndarray) -> bool:
            if epoch < max(2, math.ceil(self.warm_up * epochs)) or (self.audit and stream.luck[trial, 1] < AUDIT_SHARE):
                return False
            peer = np.ones(len(lengths), dtype=bool) if self.baselines else ~stream.baseline[: len(lengths)]
            full = np.flatnonzero(peer & (lengths == epochs))
            there = stream.best[: len(lengths)][peer & (lengths >= epoch), epoch - 1]
            best = stream.best[trial, epoch - 1]
            if len(there) < rule.MIN_PEERS or len(full) < self.full_runs:
                return False
            if best >= np.quantile(there, max(self.behind, self.chance)):
                return False
            known = stream.features[full, epoch - 1]
            forecast, error = rule.forecast_gain(known, finals[full] - known[:, 0], stream.features[trial, epoch - 1])
            lead = best + max(forecast, 0.0) - float(np.quantile(finals[full], self.good))
            reach = float(rule.stdtr(len(full) - 1, lead / error)) if error > 0 else float(lead >= 0)
            return reach < self.chance * (epochs - epoch) / epochs

        return one_by_one(stream, budget, prune)


@dataclass(frozen=True)
class Promotion:
    """Trials pause at rungs; of all that reached the first rung, each rung lets the best share go on.

    A paused trial comes back when it is among the share of a grown rung (asynchronous successive halving as Li et al.,
    2020, have it). A trial that may go on runs before a new one is begun.
    """

    rungs: Sequence[float] = (0.1, 0.25, 0.5)
    keep: Sequence[float] = (0.6, 0.35, 0.2)

    def __call__(self, stream: Stream, budget: float) -> Spent:
        """See the module."""
        trials, epochs = stream.values.shape
        ends = [max(1, round(share * epochs)) for share in self.rungs] + [epochs]
        full, over = np.full(trials, np.inf), np.full(trials, np.inf)
        at: list[list[int]] = [[] for _ in self.rungs]  # who has reached a rung
        gone: list[set[int]] = [set() for _ in self.rungs]  # who has left it
        total, begun = 0, 0
        while total < budget and begun < trials:
            trial, rung = self._next(stream, at, gone, ends)
            if trial is None:
                trial, rung, begun = begun, -1, begun + 1
            else:
                gone[rung].add(trial)
            if stream.baseline[trial]:
                total, rung = total + epochs, len(ends) - 1
            else:
                total, rung = total + ends[rung + 1] - (ends[rung] if rung >= 0 else 0), rung + 1
            over[trial] = min(over[trial], total)
            if rung == len(ends) - 1:
                full[trial] = total
            else:
                at[rung].append(trial)
        return Spent(full, over)

    def _next(
        self, stream: Stream, at: list[list[int]], gone: list[set[int]], ends: list[int]
    ) -> tuple[int | None, int]:
        for rung in reversed(range(len(at))):
            values = stream.best[at[rung], ends[rung] - 1]
            allowed = math.floor(self.keep[rung] * len(at[0]))
            if len(gone[rung]) >= allowed:
                continue
            for place in np.argsort(-values, kind="stable")[:allowed]:
                if at[rung][place] not in gone[rung]:
                    return at[rung][place], rung
        return None, -1


@dataclass(frozen=True)
class ShortThenBest:
    """Every trial for a share of the epochs, and then the best fifth to the end."""

    share: float
    keep: float = 0.2

    def __call__(self, stream: Stream, budget: float) -> Spent:
        """See the module."""
        trials, epochs = stream.values.shape
        k = max(1, round(self.share * epochs))
        cost = np.cumsum(np.where(stream.baseline, epochs, k + self.keep * (epochs - k)))
        count = int(np.searchsorted(cost, budget, side="right"))
        searched = np.flatnonzero(~stream.baseline[:count])
        ranked = searched[np.argsort(-stream.best[searched, k - 1], kind="stable")]
        kept = np.r_[ranked[: round(self.keep * len(ranked))], np.flatnonzero(stream.baseline[:count])]
        full, over = np.full(trials, np.inf), np.full(trials, np.inf)
        full[kept] = over[:count] = budget
        return Spent(full, over)
