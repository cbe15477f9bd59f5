"""Means with their intervals in the unit of a metric: levels in percent, differences in points, a loss in nats.

A range reads "5.3 to 7.5", and half of its width "± 0.6". All numbers are rounded as shown (`PLACES`), so that every
difference agrees with its parts.
"""

from __future__ import annotations

import math
from dataclasses import replace

from regstudy.analysis.confirmation import Confirmation, Estimate
from regstudy.analysis.gap import PLACES
from regstudy.metrics import Metric
from regstudy.report.metric_phrasing import score, unit
from regstudy.report.phrasing import NONE, minus


def number(value: float, of: Metric, *, signed: bool = False) -> str:
    """0.0637 → ``6.4``, or ``+6.4``; of a loss ``0.064``. Nothing is neither positive nor negative."""
    if not math.isfinite(value):
        return NONE
    digits = 1 if of.percent else PLACES
    rounded = round((100 if of.percent else 1) * round(float(value), PLACES), digits) + 0.0
    return minus(f"{rounded:+.{digits}f}" if signed and rounded else f"{rounded:.{digits}f}")


def span(found: Estimate, of: Metric) -> str:
    """``95.8 to 98.0``; empty if the interval is unknown."""
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return ""
    return f"{number(found.low, of)} to {number(found.high, of)}"


def in_brackets(found: Estimate, of: Metric) -> str:
    """The range behind a number: `` (95.8 to 98.0)``, or nothing."""
    return f" ({span(found, of)})" if span(found, of) else ""


def level(found: Estimate, of: Metric) -> str:
    """``96.9 % (95.8 to 98.0)``; of a loss ``0.312 (0.300 to 0.324)``."""
    return score(found.mean, of) + in_brackets(found, of)


def plus_minus(found: Estimate, of: Metric) -> str:
    """``91.3 ± 0.6``, or ``91.3`` if the interval is unknown; see `reach`."""
    shown = number(found.mean, of)
    return f"{shown} ± {number(reach(found), of)}" if math.isfinite(found.half) else shown


def reach(found: Estimate) -> float:
    """How far the interval reaches from the mean, on the side on which it reaches farther; they may differ a little."""
    return max(found.high - found.mean, found.mean - found.low)


def level_plus_minus(found: Estimate, of: Metric) -> str:
    """``91.3 ± 0.6 %``; of a loss ``0.312 ± 0.012``."""
    return plus_minus(found, of) + ("\N{NO-BREAK SPACE}%" if of.percent else "")


def gain(found: Estimate, of: Metric) -> str:
    """``6.4 points (5.3 to 7.5)``."""
    return f"{number(found.mean, of)} {unit(of)}{in_brackets(found, of)}"


def shown_gain(found: Confirmation) -> Estimate:
    """The gain over the baseline, as the difference of the two levels that are shown; its range is as computed."""
    levels = [round(one.mean, PLACES) for one in (found.level, found.baseline_level)]
    return replace(found.gain, mean=(1 if found.metric.maximize else -1) * (levels[0] - levels[1]))


def tick(value: float, of: Metric) -> str:
    """A round number on an axis, without needless zeros: ``−2``, ``+0.5``."""
    text = number(value, of, signed=True)
    return text.rstrip("0").rstrip(".") if text.strip("+−0.") else "0"
