"""Contrasts of an ablation: the same configuration with and without a regularizer, and what is decided at each look.

Each repeat trains the arms with one fresh seed and one fresh split, so a contrast is a difference of pairs, tested by
paired t (Student, 1908) in two outcomes: the metric and the gap. At a look, Holm's correction covers all contrasts of a
family in both outcomes, at the look's own share of the error. The shares of all looks add up to at most 5 %, so looking
again, or asking for more runs, keeps the chance of any false decision below 5 %. What was decided stays decided. A
difference counts as higher or lower only if its mean exceeds the margin, too: many pairs make trifles significant.

"None" needs evidence, too: both one-sided tests against the margin at the level that Holm leaves to a test (Schuirmann,
1987). "Not above the margin" needs the one against its upper end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from regstudy.analysis.paired import NO_SPREAD

Family = Literal["primary", "secondary"]
Measure = Literal["metric", "gap"]
MEASURES: tuple[Measure, ...] = ("metric", "gap")
Sign = Literal["higher", "lower", "none", "not higher", "not lower", "open"]


class Result(NamedTuple):
    """What a run reached: the metric on validation images, its gap, and the metric on training images (eval mode)."""

    value: float
    gap: float = math.nan
    fit: float = math.nan


Results = Mapping[str, Mapping[int, Result]]  # by arm and repeat
Lost = AbstractSet[tuple[str, int]]  # arm and repeat of runs that were given up


@dataclass(frozen=True)
class Contrast:
    """Two arms that differ in one thing: ``on`` has it, ``off`` does not. ``name`` is that of the regularizer."""

    name: str
    on: str
    off: str
    family: Family = "primary"

    @property
    def arms(self) -> tuple[str, str]:
        """Both arms."""
        return self.on, self.off


@dataclass(frozen=True)
class Stage:
    """Repeats from ``first`` up to a last one for each arm, after which is a look that spends ``alpha``.

    ``asked``: the total number of runs that was asked for when it was planned.
    """

    first: int
    until: Mapping[str, int]
    asked: int
    alpha: float

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that run."""
        return tuple(self.until)

    @property
    def last(self) -> int:
        """The last repeat of any arm."""
        return max(self.until.values())

    @property
    def cells(self) -> list[tuple[str, int]]:
        """Arm and repeat of each of its runs, repeat by repeat."""
        repeats = range(self.first, self.last + 1)
        return [(arm, repeat) for repeat in repeats for arm, last in self.until.items() if repeat <= last]

    def record(self) -> dict[str, Any]:
        """As it is stored."""
        return asdict(self)

    @classmethod
    def parse(cls, stored: Mapping[str, Any]) -> Stage:
        """The stage that was stored."""
        return cls(**stored)

    def ended(self, results: Results, lost: Lost) -> bool:
        """Whether all its runs have finished or were given up."""
        return all(repeat in results.get(arm, {}) or (arm, repeat) in lost for arm, repeat in self.cells)


@dataclass(frozen=True)
class Pairs:
    """The differences of a contrast in one measure: ``on`` minus ``off``, in repeats that both have."""

    n: int
    mean: float
    sd: float

    def p(self) -> float:
        """Two-sided p-value of no difference; NaN with fewer than two pairs.

        Without any spread, as happens on few validation images, the least that a sign-flip test can give.
        """
        if self.n < 2:
            return math.nan
        if self.sd < NO_SPREAD:
            return 1.0 if abs(self.mean) < NO_SPREAD else 2.0 ** (1 - self.n)
        return 2 * _tail(abs(self.mean) * math.sqrt(self.n) / self.sd, self.n - 1)

    def below(self, bound: float) -> float:
        """One-sided p-value of being at or above ``bound``: if it is small, the difference is below."""
        if self.n < 2:
            return math.nan
        if self.sd < NO_SPREAD:
            return 2.0 ** (1 - self.n) if self.mean < bound else 1.0
        return _tail((bound - self.mean) * math.sqrt(self.n) / self.sd, self.n - 1)

    def above(self, bound: float) -> float:
        """One-sided p-value of being at or below ``bound``."""
        return Pairs(self.n, -self.mean, self.sd).below(-bound)


def pairs_of(results: Results, contrast: Contrast, measure: Measure | Literal["fit"], last: int | None = None) -> Pairs:
    """The pairs of a contrast, up to the repeat ``last``; repeats with a NaN are left out."""
    place = Result._fields.index("value" if measure == "metric" else measure)
    on, off = (results.get(arm, {}) for arm in contrast.arms)
    found = [
        on[repeat][place] - off[repeat][place]
        for repeat in sorted(on.keys() & off.keys())
        if last is None or repeat <= last
    ]
    return summary([each for each in found if math.isfinite(each)])


def summary(differences: Sequence[float] | NDArray[np.float64]) -> Pairs:
    """Count, mean and standard deviation."""
    n = len(differences)
    if n == 0:
        return Pairs(0, math.nan, math.nan)
    mean = math.fsum(differences) / n
    sd = math.sqrt(math.fsum((each - mean) ** 2 for each in differences) / (n - 1)) if n > 1 else math.nan
    return Pairs(n, mean, sd)


Key = tuple[str, Measure]  # name of a contrast, and measure


@dataclass(frozen=True)
class Standing:
    """What the looks so far have decided. ``open``: tests of each family that no look has decided by their sign."""

    signs: Mapping[Key, Sign]
    open: Mapping[Family, int]
    looks: int
    spent: float

    def sign(self, contrast: Contrast, measure: Measure) -> Sign:
        """The decision about a contrast in a measure."""
        return self.signs.get((contrast.name, measure), "open")

    def settled(self, contrast: Contrast) -> bool:
        """Whether both measures are decided, so that further runs are not needed."""
        return all(self.sign(contrast, measure) in ("higher", "lower", "none") for measure in MEASURES)


def standing(
    results: Results, contrasts: Sequence[Contrast], stages: Iterable[Stage], lost: Lost, margin: float
) -> Standing:
    """What has been decided at the looks after all stages that have ended."""
    signs: dict[Key, Sign] = {}
    open_: dict[Family, int] = {}
    looks, spent = 0, 0.0
    for stage in stages:
        if not stage.ended(results, lost):
            break
        looks, spent = looks + 1, spent + stage.alpha
        for family in ("primary", "secondary"):
            tests = {
                (one.name, measure): pairs_of(results, one, measure, stage.last)
                for one in contrasts
                if one.family == family
                for measure in MEASURES
            }
            for key, sign in look(tests, stage.alpha, margin).items():
                signs[key] = _stronger(signs.get(key, "open"), sign)
            open_[family] = sum(signs.get(key, "open") not in ("higher", "lower") for key in tests)
    return Standing(signs, open_, looks, spent)


def look(tests: Mapping[Key, Pairs], alpha: float, margin: float) -> dict[Key, Sign]:
    """The decisions about one family at one look."""
    ps = sorted((p, key) for key, pairs in tests.items() if math.isfinite(p := pairs.p()))
    signs: dict[Key, Sign] = {}
    for place, (p, key) in enumerate(ps):
        if p > alpha / (len(ps) - place):
            break
        if abs(tests[key].mean) > margin:
            signs[key] = "higher" if tests[key].mean > 0 else "lower"
    level = alpha / max(1, len(ps))
    for _, key in ps:
        not_higher, not_lower = tests[key].below(margin) <= level, tests[key].above(-margin) <= level
        if not_higher and not_lower:
            signs[key] = "none"
        elif key not in signs and (not_higher or not_lower):
            signs[key] = "not higher" if not_higher else "not lower"
    return signs


def _stronger(old: Sign, new: Sign) -> Sign:
    """An earlier decision and that of a later look, put together."""
    if {old, new} == {"not higher", "not lower"}:
        return "none"
    order: tuple[Sign, ...] = ("open", "not lower", "not higher", "lower", "higher", "none")
    return max(old, new, key=order.index)


def _tail(t: float, degrees: int) -> float:
    """Student's t beyond ``t``."""
    return float(special.stdtr(degrees, -t))


def t_value(degrees: int, tail: float) -> float:
    """Student's t beyond which so much lies in one tail."""
    return float(-special.stdtrit(degrees, tail))
