"""The gains of several studies as strips, for the list of studies; those with the same unit share an axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regstudy.analysis.confirmation import Estimate
from regstudy.metrics import METRICS
from regstudy.report.percent_axis import PercentAxis, axis_over
from regstudy.report.range_phrasing import number, reach

UNITS = {"points": METRICS["accuracy"], "nats": METRICS["loss"]}  # and a metric with such numbers


@dataclass(frozen=True)
class GainStrip:
    """A gain with its interval: places in percent of the width. ``gaps``: those of baseline and winner."""

    band: tuple[float, float]
    zero: float
    at: float
    low: float
    high: float
    text: str
    gaps: str


def gain_strips(stored: Sequence[Mapping[str, Any] | None]) -> list[GainStrip | None]:
    """A strip for each study that claims a gain of its confirmation runs; see `headline.keep_headline`."""
    axes = {
        unit: axis_over([value for one in same for value in one["gain"]], 2 * max(one["margin"] for one in same))
        for unit in UNITS
        if (same := [one for one in stored if one is not None and one["unit"] == unit])
    }
    return [None if one is None or one["unit"] not in axes else _strip(one, axes[one["unit"]]) for one in stored]


def _strip(stored: Mapping[str, Any], axis: PercentAxis) -> GainStrip:
    of, margin = UNITS[stored["unit"]], stored["margin"]
    mean, low, high = stored["gain"]
    gain = Estimate(mean, low, high, 0)
    gaps = " → ".join(number(gap, of) for gap in stored["gaps"])
    return GainStrip(
        (axis.at(-margin), axis.at(margin)),
        axis.at(0.0),
        axis.at(gain.mean),
        axis.at(gain.low),
        axis.at(gain.high),
        f"{number(gain.mean, of, signed=True)} ± {number(reach(gain), of)} {stored['unit']}",
        f"gap {gaps}" if gaps else "",
    )
