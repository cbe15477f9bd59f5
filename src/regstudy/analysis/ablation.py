"""What each regularizer does: effects of an ablation with intervals, chances and a verdict; numbers only.

`regstudy.analysis.ablation_design` says which runs are made, `regstudy.analysis.contrasts` what is decided at a look.
An effect is the configuration with a regularizer minus the one without it, over the repeats that both have.

Two intervals answer two questions. *On these images*: repeats with fresh seed and split are independent given the pool
of images; a 95 % t-interval. *For new images of the same kind*: repeats share images, which more repeats do not cure;
the corrected resampled t-interval (Nadeau & Bengio, 2003), standard error sd · √(1/n + n_test/n_train).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from regstudy.analysis.ablation_design import further_pairs, next_alpha
from regstudy.analysis.chances import Chances, chances
from regstudy.analysis.claim import MANY_RUNS
from regstudy.analysis.contrasts import (
    MEASURES,
    Contrast,
    Lost,
    Pairs,
    Results,
    Sign,
    Stage,
    Standing,
    pairs_of,
    standing,
    t_value,
)
from regstudy.analysis.ranks import SIGNIFICANCE_LEVEL

Judgment = Literal[
    "closed the gap",
    "helped validation",
    "smaller gap, validation not better (underfits)",
    "hurt",
    "no effect",
    "undecided",
]


@dataclass(frozen=True)
class Change:
    """A mean difference over ``n`` pairs, with the regularizer minus without it.

    ``low`` and ``high`` are the 95 % interval on these images, ``new_low`` and ``new_high`` that for new images, NaN
    where it cannot be computed or the validation part is the user's own. ``sign``: what the looks have decided.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float
    new_low: float
    new_high: float
    sign: Sign


@dataclass(frozen=True)
class Effect:
    """What one regularizer does in the presence of the others.

    ``metric`` is positive where the regularizer makes validation better, also where lower values are better, and so is
    ``fit``, the same on the training images. A negative ``gap`` is a smaller gap. ``chances``: that it helps, does
    nothing that matters, or hurts (validation, by more than the margin). ``level`` and ``margin`` are those of a test
    at the next look.
    """

    contrast: Contrast
    metric: Change
    gap: Change
    fit: Change
    chances: Chances | None
    verdict: Judgment
    level: float
    margin: float

    @property
    def name(self) -> str:
        """What is tested: the regularizer."""
        return self.contrast.name

    @property
    def more_runs(self) -> float:
        """Further runs of these two arms that would decide with a chance of 80 %, were mean and spread to stay.

        0 if it is decided, infinite if more than `MANY_RUNS` would be needed.
        """
        if self.verdict != "undecided":
            return 0.0
        change = self.gap if self.metric.sign == "none" else self.metric
        more = 2 * further_pairs(Pairs(change.n, change.mean, change.sd), self.level, self.margin)
        return more if more <= MANY_RUNS else math.inf


@dataclass(frozen=True)
class Ablation:
    """All effects, those of the primary family first, in the order of the contrasts. ``looks`` have been made."""

    effects: list[Effect]
    margin: float
    looks: int
    runs: int  # finished

    def effect(self, name: str) -> Effect:
        """The effect of a regularizer."""
        return next(one for one in self.effects if one.name == name)

    @property
    def more_runs(self) -> float:
        """Further runs that would decide every undecided effect that can be decided; 0 if there is none."""
        each: dict[str, float] = {}  # an arm runs as often as the effect that needs it most
        for one in self.effects:
            if 0 < one.more_runs < math.inf:
                each |= {arm: max(each.get(arm, 0.0), one.more_runs / 2) for arm in one.contrast.arms}
        return sum(each.values())


def ablation(
    results: Results,
    contrasts: Sequence[Contrast],
    stages: Sequence[Stage],
    *,
    margin: float,
    maximize: bool = True,
    lost: Lost = frozenset(),
    test_share: float | None = None,
) -> Ablation:
    """The effects that the runs so far show; verdicts rest on the looks after the stages that have ended.

    ``test_share``: validation images divided by training images of a split; None where the validation part is fixed.
    """
    now = standing(results, contrasts, stages, lost, margin)
    level = next_alpha(stages)
    effects = [_effect(one, results, now, level, margin, maximize, test_share) for one in contrasts]
    return Ablation(
        sorted(effects, key=lambda one: one.contrast.family),
        margin,
        now.looks,
        sum(len(row) for row in results.values()),
    )


def _effect(
    contrast: Contrast,
    results: Results,
    now: Standing,
    alpha: float,
    margin: float,
    maximize: bool,
    test_share: float | None,
) -> Effect:
    metric, gap, fit = (pairs_of(results, contrast, measure) for measure in ("metric", "gap", "fit"))
    better, gap_sign = now.sign(contrast, "metric"), now.sign(contrast, "gap")
    if not maximize:
        metric, fit, better = _flipped(metric), _flipped(fit), FLIPPED[better]
    return Effect(
        contrast=contrast,
        metric=change(metric, better, test_share),
        gap=change(gap, gap_sign, test_share),
        fit=change(fit, "open", test_share),
        chances=chances(metric, margin),
        verdict=judged(better, gap_sign),
        level=alpha / max(1, now.open.get(contrast.family, len(MEASURES))),
        margin=margin,
    )


FLIPPED: dict[Sign, Sign] = {
    "higher": "lower",
    "lower": "higher",
    "not higher": "not lower",
    "not lower": "not higher",
    "none": "none",
    "open": "open",
}


def _flipped(pairs: Pairs) -> Pairs:
    return Pairs(pairs.n, -pairs.mean, pairs.sd)


def judged(metric: Sign, gap: Sign) -> Judgment:
    """The verdict from what is decided about the metric (higher is better) and the gap."""
    if metric == "higher":
        return "closed the gap" if gap == "lower" else "helped validation"
    if metric == "lower":
        return "hurt"
    if gap == "lower" and metric in ("none", "not higher"):
        return "smaller gap, validation not better (underfits)"
    if metric == "none" and gap in ("none", "not lower", "higher"):
        return "no effect"
    return "undecided"


def change(pairs: Pairs, sign: Sign, test_share: float | None) -> Change:
    """A difference with both intervals."""
    n, mean = pairs.n, pairs.mean
    reach = t_value(n - 1, SIGNIFICANCE_LEVEL / 2) * pairs.sd if n > 1 else math.nan
    here = reach / math.sqrt(max(n, 1))
    new = math.nan if test_share is None else reach * math.sqrt(1 / max(n, 1) + test_share)
    return Change(n, mean, pairs.sd, mean - here, mean + here, mean - new, mean + new, sign)
