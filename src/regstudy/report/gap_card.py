"""The first screen's card with the gap of the baseline and of the winner, and from which side it differs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from regstudy.analysis.confirmation import Confirmation, Estimate
from regstudy.report.answer_phrasing import gap_heading
from regstudy.report.metric_phrasing import score, unit
from regstudy.report.percent_axis import PercentAxis
from regstudy.report.range_phrasing import level_plus_minus, number
from regstudy.text import counted


@dataclass(frozen=True)
class GapEnd:
    """One end of the drawing of the gap: places in pixels from the top."""

    name: str
    training: str
    validation: str
    gap: str
    training_at: float
    validation_at: float
    validation_ends: tuple[float, float] | None  # of its interval
    texts: tuple[float, float, float]  # places of the texts: upper, gap, lower
    training_above: bool


@dataclass(frozen=True)
class GapCard:
    """The gap of the baseline and of the winner."""

    heading: str
    ends: tuple[GapEnd, GapEnd]
    label: str
    foot: str
    height: int


def gap_card(found: Confirmation) -> GapCard | None:
    """None where the epochs of the runs were not recorded."""
    of, height = found.metric, 300
    if not all(math.isfinite(one.mean) for one in (found.gap, found.baseline_gap)):
        return None
    sign = 1.0 if of.maximize else -1.0
    levels = (found.baseline_level, found.level)
    fits = [Estimate(one.mean + sign * gap.mean, math.nan, math.nan, one.n) for one, gap in zip(
        levels, (found.baseline_gap, found.gap), strict=True)]  # fmt: skip
    shown = [one.mean for one in (*levels, *fits)]
    shown += [end for one in levels for end in (one.low, one.high) if math.isfinite(end)]
    low, high = min(shown), max(shown)
    least = 0.02 * max(abs(high), abs(low))  # smaller differences are not blown up to the whole height
    free = max(0.0, least - (high - low)) / 2
    scale = PercentAxis(low - free, high + free)

    def at(value: float) -> float:
        return round(48 + (height - 84) * (1 - scale.at(value) / 100), 1)

    ends = []
    for name, level, fit, gap in zip(
        ("Baseline", "Winner"), levels, fits, (found.baseline_gap, found.gap), strict=True
    ):
        ends_at = (at(level.low), at(level.high)) if math.isfinite(level.low) else None
        upper, lower = sorted((at(fit.mean), at(level.mean)))
        ends.append(
            GapEnd(
                name, score(fit.mean, of), level_plus_minus(level, of), number(gap.mean, of),
                at(fit.mean), at(level.mean), ends_at, apart(upper, lower, height),
                at(fit.mean) <= at(level.mean),
            )
        )  # fmt: skip
    label = "; ".join(
        f"{end.name}: training {end.training}, validation {end.validation}, gap {end.gap} {unit(of)}" for end in ends
    )
    splits = "a new seed" if found.own_validation else "a new seed and a new split"
    foot = (
        f"Means of {counted(found.rounds, 'fresh round')}, each with {splits}. ± and bars: where the mean lies, with "
        f"95\N{NO-BREAK SPACE}% certainty. Training is measured in eval mode. Not drawn from zero."
    )
    return GapCard(gap_heading(found), (ends[0], ends[1]), label, foot, height)


def apart(upper: float, lower: float, height: float, least: float = 46.0) -> tuple[float, float, float]:
    """Places for three texts at two points and between them, moved apart so far that none covers another."""
    middle = (upper + lower) / 2
    reach = max((lower - upper) / 2, least)
    middle = min(max(middle, 40 + reach), height - 26 - reach)
    return round(middle - reach, 1), round(middle, 1), round(middle + reach, 1)
