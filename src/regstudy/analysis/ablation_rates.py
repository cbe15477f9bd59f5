"""The learning rate of each arm of an ablation: three are tried, in runs that enter no comparison.

A regularizer can slow training down or make it noisier, so an arm without it may do better at another learning rate.
Each arm is therefore tried at the winner's rate, a third of it and three times it: together a decade, within which no
rate is more than a factor of 1.7 from one that is tried. All arms and rates share the seeds and splits of these tries,
which no repeat has. Two of them: a single one is misled by noise too often, and a third costs more repeats of the
comparison than it brings (docs/answer.md, `benchmarks/ablation_rates.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from regstudy.analysis.contrasts import Results
from regstudy.text import listing

FACTORS: Mapping[str, float] = {"lr": 1.0, "lr / 3": 1 / 3, "lr × 3": 3.0}  # what they are called in names of arms
TRIES_PER_RATE = 2  # of each arm at each rate
_AT = " at "


def arm_at(arm: str, rate: str) -> str:
    """The name of an arm at one of `FACTORS`.

    >>> arm_at("without dropout", "lr / 3")
    'without dropout at lr / 3'
    """
    return f"{arm}{_AT}{rate}"


def is_try(arm: str) -> bool:
    """Whether an arm is one of `arm_at`, whose runs enter no comparison."""
    return any(arm.endswith(_AT + rate) for rate in FACTORS)


def tries_of(arms: Iterable[str], tries: int = TRIES_PER_RATE) -> tuple[tuple[str, int], ...]:
    """The runs that try the rates of these arms: name and repeat, numbered on their own."""
    names = list(arms)
    return tuple((arm_at(arm, rate), repeat) for repeat in range(1, tries + 1) for arm in names for rate in FACTORS)


def best_factors(arms: Iterable[str], tried: Results, *, maximize: bool) -> dict[str, float]:
    """By arm, the factor whose tries are best on average against those of the winner's rate with the same seeds.

    The winner's rate stays where none is better, or where its own tries were given up.
    """
    return {arm: FACTORS[_best(arm, tried, maximize=maximize)] for arm in arms}


def _best(arm: str, tried: Results, *, maximize: bool) -> str:
    here = tried.get(arm_at(arm, "lr"), {})
    gains = {"lr": 0.0}
    for rate in FACTORS:
        there = tried.get(arm_at(arm, rate), {})
        if shared := sorted(here.keys() & there.keys()):
            change = math.fsum(there[repeat].value - here[repeat].value for repeat in shared) / len(shared)
            gains[rate] = round(change if maximize else -change, 12)  # the same number of images is no gain
    return max(gains, key=gains.__getitem__)  # the first one of the same gain


def factors_in_words(factors: Mapping[str, float], rates: Sequence[float]) -> str:
    """Which arms take which rate: ``0.01 (unchanged): winner and baseline; 0.03 (times 3): without dropout``.

    ``rates``: those of the winner's phases; if there are several, or none is known, only factors are given.
    """
    parts = []
    for factor in sorted(set(factors.values())):
        name = "unchanged" if factor == 1 else f"times {factor:g}" if factor > 1 else f"divided by {1 / factor:g}"
        rate = f"{factor * rates[0]:.3g} ({name})" if len(rates) == 1 else name
        parts.append(f"{rate}: {listing([arm for arm, taken in factors.items() if taken == factor])}")
    return "; ".join(parts)
