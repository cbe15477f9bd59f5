"""Differences between two arms whose runs come in pairs: an interval, a verdict, and how many more pairs would decide.

A paired t-test (Student, 1908). Numbers are in whatever unit the values have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy  # scipy.stats is loaded where it is first used: it takes a third of a second
from numpy.typing import NDArray

from regstudy.analysis.ranks import SIGNIFICANCE_LEVEL, holm

TEST_POWER = 0.8  # for the number of further repeats
NO_SPREAD = 1e-9  # standard deviations below this are rounding
BEYOND_REACH = 1e-6  # smaller distances, as a share of the spread, need an infeasible number of pairs

PairedVerdict = Literal["higher", "lower", "no difference", "undecided", "one seed"]


@dataclass(frozen=True)
class Paired:
    """Mean difference over ``n`` pairs with its 95 % interval; ``p`` is of the single test, ``adjusted`` Holm's.

    What cannot be computed is NaN: the interval and both p-values with fewer than two pairs.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float
    p: float
    adjusted: float = math.nan
    tests: int = 1  # made together, which ``adjusted`` accounts for

    def verdict(self, margin: float) -> PairedVerdict:
        """The verdict of the pairs: a difference whose whole interval lies within ± ``margin`` counts as none.

        Otherwise higher or lower where the adjusted p-value is below 5 %.
        """
        if self.n < 2:
            return "one seed"
        if -margin <= self.low and self.high <= margin:
            return "no difference"
        if self.adjusted < SIGNIFICANCE_LEVEL:
            return "higher" if self.mean > 0 else "lower"
        return "undecided"

    def more(self, margin: float) -> float:
        """Further pairs that would decide with a chance of 80 % if mean and spread stayed as they are.

        An approximation, for whichever takes fewer: separating the mean from 0 at the level that the number of tests
        leaves each, or the interval shrinking into the margin. NaN with fewer than two pairs, infinite where neither
        can be.
        """
        if self.n < 2:
            return math.nan
        if self.sd < NO_SPREAD:  # see `paired`: only the number of pairs counts
            return max(1, math.ceil(1 + math.log2(self.tests / SIGNIFICANCE_LEVEL)) - self.n)
        from_zero = pairs_needed(self.sd, abs(self.mean), SIGNIFICANCE_LEVEL / self.tests, TEST_POWER)
        into_margin = pairs_needed(
            self.sd, margin - abs(self.mean), SIGNIFICANCE_LEVEL, (1 + TEST_POWER) / 2
        )  # either end may stick out
        return max(1.0, min(from_zero, into_margin) - self.n)


def pairs_needed(sd: float, distance: float, level: float, power: float) -> float:
    """Pairs at which ``distance`` is significantly different from 0 in a two-sided test with the given power.

    Starts from the normal approximation; with few pairs, Student's t has wider tails and needs more.
    """
    if distance <= sd * BEYOND_REACH:
        return math.inf
    n = max(2, math.ceil(((scipy.stats.norm.isf(level / 2) + scipy.stats.norm.ppf(power)) * sd / distance) ** 2))
    while (scipy.stats.t.isf(level / 2, n - 1) + scipy.stats.t.ppf(power, n - 1)) * sd > distance * math.sqrt(n):
        n += 1
    return float(n)


def paired(first: NDArray[np.float64], second: NDArray[np.float64]) -> Paired:
    """``second`` minus ``first``, pair by pair; pairs with a NaN are left out.

    Where all differences are equal there is no spread to judge by, as happens on few validation images: then p is the
    least that a sign-flip test of so many pairs can give, 2^(1−n), or 1 if they are all 0.
    """
    differences = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    differences = differences[np.isfinite(differences)]
    n = len(differences)
    if n == 0:
        return Paired(0, math.nan, math.nan, math.nan, math.nan, math.nan)
    mean = float(differences.mean())
    if n == 1:
        return Paired(1, mean, math.nan, math.nan, math.nan, math.nan)
    sd = float(differences.std(ddof=1))
    if sd < NO_SPREAD:
        return Paired(n, mean, 0.0, mean, mean, 1.0 if abs(mean) < NO_SPREAD else 2.0 ** (1 - n))
    error = sd / math.sqrt(n)
    reach = float(scipy.stats.t.isf(SIGNIFICANCE_LEVEL / 2, n - 1)) * error
    return Paired(n, mean, sd, mean - reach, mean + reach, float(2 * scipy.stats.t.sf(abs(mean) / error, n - 1)))


def adjust(differences: Sequence[Paired]) -> list[Paired]:
    """The same differences with p-values adjusted for being tested together."""
    adjusted = holm([difference.p for difference in differences])
    tests = max(1, sum(math.isfinite(p) for p in adjusted))
    return [Paired(d.n, d.mean, d.sd, d.low, d.high, d.p, p, tests) for d, p in zip(differences, adjusted, strict=True)]
