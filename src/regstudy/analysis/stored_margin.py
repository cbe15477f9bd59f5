"""The margin as it is stored: differences up to it do not matter."""

from __future__ import annotations

from regstudy.metrics import metric_or_accuracy

MARGIN = 0.003  # of a share, or in nats, where it changes the probability of the true class by 0.3 % (geometric mean)


def stored_margin(given: float | None, series: str | None) -> float:
    """From what was asked: points of a share, or nats of a loss."""
    if given is None:
        return MARGIN
    return given / 100 if metric_or_accuracy(series).percent else given
