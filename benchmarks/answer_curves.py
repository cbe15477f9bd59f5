"""The rules of `answer.py`, without trainings: who leads when, what that is truly worth, and when one catches another.

Values are accuracies in 0..1, moments are seconds since the process started.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

NO_ANSWER = 0.0  # what a contestant's answer is worth before it has one
Curve = Sequence[tuple[float, float]]  # in ascending order: a moment, and the value from then on


@dataclass(frozen=True)
class Event:
    """A trial has this value after an epoch, or, with None, it can no longer be the answer: it was pruned or failed."""

    moment: float
    trial: int
    value: float | None


@dataclass(frozen=True)
class Claim:
    """What a contestant says about a configuration at the end."""

    name: str
    configuration: str
    value: float


@dataclass(frozen=True)
class Contest:
    """One contestant with one seed: seconds of the clock and of the CPU, epochs, the answers in their order, claims."""

    contestant: str
    seed: int
    seconds: float
    cpu_seconds: float
    epochs: int
    answers: Sequence[tuple[float, str]]  # from this moment on, this configuration is the answer
    claims: Sequence[Claim]

    @property
    def final(self) -> str:
        """The configuration that is handed over at the end."""
        return self.answers[-1][1]

    def configurations(self) -> set[str]:
        """All whose truth is needed."""
        return {name for _, name in self.answers} | {claim.configuration for claim in self.claims}


@dataclass(frozen=True)
class Spread:
    """The mean, the median and the range of values, and the standard error of the mean (NaN with one value)."""

    mean: float
    median: float
    low: float
    high: float
    error: float


@dataclass(frozen=True)
class Catch:
    """When the median curve reaches a peer's final value and stays within one standard error of it.

    ``moment`` is infinite if it never does, ``share`` is that of the peer's median whole time. ``near`` is the first
    moment from which the curve stays within one standard error, whether or not it reaches the value itself.
    """

    target: Spread
    whole: float
    moment: float
    near: float

    @property
    def share(self) -> float:
        """The moment as a share of the peer's whole time."""
        return self.moment / self.whole


def leaders(events: Iterable[Event]) -> list[tuple[float, int]]:
    """From which moment on which trial has the best value so far; of equals it is the one with the lowest number.

    A trial that still runs counts with its best epoch, and no longer once it is pruned.
    """
    best: dict[int, float] = {}
    found: list[tuple[float, int]] = []
    for event in sorted(events, key=lambda event: event.moment):
        if event.value is None:
            best.pop(event.trial, None)
        else:
            best[event.trial] = max(best.get(event.trial, -math.inf), event.value)
        leader = min(best, key=lambda trial: (-best[trial], trial), default=None)
        if leader is not None and (not found or found[-1][1] != leader):
            found.append((event.moment, leader))
    return found


def true_curve(contest: Contest, truth: Mapping[str, float]) -> Curve:
    """What a contestant's answer is truly worth over time."""
    return [(moment, truth[name]) for moment, name in contest.answers]


def value_at(curve: Curve, moment: float) -> float:
    """The value at a moment."""
    place = bisect_right(curve, moment, key=lambda point: point[0])
    return curve[place - 1][1] if place else NO_ANSWER


def median_curve(curves: Sequence[Curve]) -> Curve:
    """The median over seeds at each moment at which one of the curves changes."""
    moments = sorted({moment for curve in curves for moment, _ in curve})
    return [(moment, median(value_at(curve, moment) for curve in curves)) for moment in moments]


def reached(curve: Curve, target: float, slack: float) -> float:
    """The first moment at which the curve is at the target or above and never again below target − slack; or infinity.

    >>> reached([(1, 0.5), (2, 0.4), (3, 0.6), (4, 0.58)], 0.5, 0.05)
    3
    """
    found = math.inf
    for moment, value in reversed(curve):
        if value < target - slack:
            break
        if value >= target:
            found = moment
    return found


def spread(values: Sequence[float]) -> Spread:
    """The spread of values, of which there must be one."""
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Spread(fmean(values), median(values), min(values), max(values), error)


def catch(mine: Sequence[Contest], peer: Sequence[Contest], truth: Mapping[str, float]) -> Catch:
    """When the seeds of one contestant catch those of its peer."""
    target = spread([truth[contest.final] for contest in peer])
    slack = 0.0 if math.isnan(target.error) else target.error
    curve = median_curve([true_curve(contest, truth) for contest in mine])
    whole = median(contest.seconds for contest in peer)
    low = target.median - slack
    return Catch(target, whole, reached(curve, target.median, slack), reached(curve, low, 0.0))


def shares_without_one(
    mine: Sequence[Contest], peer: Sequence[Contest], truth: Mapping[str, float]
) -> tuple[float, float]:
    """The smallest and the largest share when one seed is left out, of both contestants: how much hangs on one seed."""
    seeds = {contest.seed for contest in (*mine, *peer)} if min(len(mine), len(peer)) > 1 else {-1}
    found = []
    for left_out in seeds:
        pair = [[contest for contest in one if contest.seed != left_out] for one in (mine, peer)]
        found.append(catch(pair[0], pair[1], truth).share)
    return min(found), max(found)


def overstatements(contests: Sequence[Contest], truth: Mapping[str, float]) -> dict[str, list[tuple[float, float]]]:
    """By the name of a claim, what was claimed and what is true, for each seed that makes it."""
    found: dict[str, list[tuple[float, float]]] = {}
    for contest in contests:
        for claim in contest.claims:
            found.setdefault(claim.name, []).append((claim.value, truth[claim.configuration]))
    return found


def means(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The mean of each configuration's trainings."""
    return {name: fmean(each) for name, each in values.items()}
