"""Whether the models of several searched studies differ, from their confirmation runs alone.

The model of a study is what its confirmation recommends: the winner, or the baseline where no winner is better. Values
can be compared only on the same images, split in the same way, and in the same metric (`key_of`). Studies with the same
seed train their rounds with the same training seeds, on the same fresh splits, so their values come in pairs; otherwise
the two sets of runs are independent (Welch, 1947). As in `regstudy.analysis.claim`, each round is also read without its
own vote about the winner: what is told is the mean of that reading, the interval covers both, and the larger p counts.

Which study leads is seen only afterwards, so the p-values of all pairs of studies and of both outcomes are corrected
together (Holm).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from regstudy.analysis.claim import Estimate
from regstudy.analysis.confirmation import Confirmation
from regstudy.analysis.paired import NO_SPREAD, Paired, PairedVerdict, adjust, paired
from regstudy.analysis.race import MIN_ROUNDS
from regstudy.analysis.ranks import SIGNIFICANCE_LEVEL
from regstudy.study.tables import Tables

Outcome = Literal["value", "gap"]
Reading = NDArray[np.float64]


@dataclass(frozen=True)
class Contrast:
    """How two studies' models differ, by the positions of the studies; ``first`` minus ``second``.

    Of the value, positive is better for the first, also where lower values are better; of the gap, a positive
    difference is a larger gap. ``in_pairs``: whether the runs share seeds and splits.
    """

    first: int
    second: int
    outcome: Outcome
    test: Paired
    in_pairs: bool
    margin: float

    @property
    def verdict(self) -> PairedVerdict:
        """What the runs show; see `Paired.verdict`."""
        return self.test.verdict(self.margin)


def key_of(tables: Tables) -> tuple[object, ...] | None:
    """Studies with the same key can be compared; None if the study does not say which images it used."""
    split = tables.data.get("split_hash")
    return None if not split else (split, tables.metric, tables.data.get("group"), tables.folds)


def claims(found: Confirmation | None) -> bool:
    """Whether a study has enough fresh rounds to say anything about its model."""
    return found is not None and found.status in ("confirmed", "no better", "undecided") and found.rounds >= MIN_ROUNDS


def level_of(found: Confirmation, outcome: Outcome) -> Estimate:
    """The value or the gap of a study's model on fresh seeds."""
    if found.recommended is found.winner:
        return found.level if outcome == "value" else found.gap
    return found.baseline_level if outcome == "value" else found.baseline_gap


def contrasts(studies: Sequence[tuple[Tables, Confirmation | None]]) -> list[Contrast]:
    """All pairs of studies that can be compared and have something to say, in value and in gap."""
    made = []
    for (i, (one, first)), (k, (other, second)) in combinations(enumerate(studies), 2):
        if key_of(one) is None or key_of(one) != key_of(other) or first is None or second is None:
            continue
        if not (claims(first) and claims(second)):
            continue
        same_rounds = one.seed is not None and one.seed == other.seed and first.own_validation == second.own_validation
        for outcome in ("value", "gap"):
            found = _contrast(i, k, outcome, first, second, same_rounds)
            if found is not None:
                made.append(found)
    tests = adjust([one.test for one in made])
    return [replace(one, test=test) for one, test in zip(made, tests, strict=True)]


def _contrast(
    i: int, k: int, outcome: Outcome, first: Confirmation, second: Confirmation, same_rounds: bool
) -> Contrast | None:
    sign = -1.0 if outcome == "value" and not first.metric.maximize else 1.0
    one, other = _readings(first, outcome), _readings(second, outcome)
    shared = sorted(one.keys() & other.keys()) if same_rounds else []
    in_pairs = len(shared) >= MIN_ROUNDS
    if not in_pairs and min(len(one), len(other)) < MIN_ROUNDS:
        return None
    rows = (shared, shared) if in_pairs else (sorted(one), sorted(other))
    a, b = (sign * np.array([each[n] for n in numbers]) for each, numbers in zip((one, other), rows, strict=True))
    plain, blind = (paired(y, x) if in_pairs else welch(x, y) for x, y in zip(a.T, b.T, strict=True))
    return Contrast(i, k, outcome, _covering(plain, blind), in_pairs, first.margin)


def _readings(found: Confirmation, outcome: Outcome) -> dict[int, tuple[float, float]]:
    """By round: the value of the study's model, and what the round says without its own vote."""
    of = {one.number: one for one in found.leaders}
    made = {}
    for number, chosen in found.chosen.items():
        both = (found.winner, of[chosen]) if found.recommended is found.winner else (found.baseline, found.baseline)
        series = [each.values if outcome == "value" else each.gaps for each in both]
        if all(number in each and math.isfinite(each[number]) for each in series):
            made[number] = (series[0][number], series[1][number])
    return made


def _covering(plain: Paired, blind: Paired) -> Paired:
    """The blind reading with an interval that covers both, and the larger p."""
    return replace(
        blind, sd=max(plain.sd, blind.sd), low=min(plain.low, blind.low), high=max(plain.high, blind.high),
        p=max(plain.p, blind.p),
    )  # fmt: skip


def welch(first: Reading, second: Reading) -> Paired:
    """``first`` minus ``second`` for independent runs (Welch, 1947); ``n`` is the smaller number of runs.

    Without any spread, p is the least that a permutation test of so many runs can give, or 1 without a difference.
    """
    n, m = len(first), len(second)
    mean = float(first.mean() - second.mean())
    parts = float(first.var(ddof=1)) / n, float(second.var(ddof=1)) / m
    error = math.sqrt(sum(parts))
    sd = error * math.sqrt(min(n, m))  # of a pair, were there as many pairs
    if error < NO_SPREAD:
        return Paired(min(n, m), mean, 0.0, mean, mean, 1.0 if abs(mean) < NO_SPREAD else 2 / math.comb(n + m, n))
    degrees = sum(parts) ** 2 / (parts[0] ** 2 / (n - 1) + parts[1] ** 2 / (m - 1))
    reach = float(stats.t.isf(SIGNIFICANCE_LEVEL / 2, degrees)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, degrees))
    return Paired(min(n, m), mean, sd, mean - reach, mean + reach, p)
