"""An axis whose places are percent of its width, so that plots on a page shrink while their letters do not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PercentAxis:
    """An axis over the width of a plot."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Where a value lies, in percent of the width; values beyond the ends lie at them."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(max(share, 0.0), 1.0), 2)

    def ticks(self) -> list[float]:
        """Three to six round values."""
        width = self.high - self.low
        power = 10.0 ** math.floor(math.log10(width))
        step = next(size for size in (power / 5, power / 2, power, 2 * power, 5 * power) if width / size <= 5.5)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [place * step for place in range(first, last + 1)]


def axis_over(values: Sequence[float], least: float) -> PercentAxis:
    """An axis on which all finite values and zero have a place, at least as wide as twice ``least``."""
    known = [0.0, least, -least, *(value for value in values if math.isfinite(value))]
    low, high = min(known), max(known)
    free = 0.06 * (high - low)
    return PercentAxis(low - free, high + free)
