"""Values, differences and axes in the unit of a metric: percent and points for shares, nats for the loss."""

from __future__ import annotations

import math

import pandas as pd

from regstudy.analysis.gap import PLACES
from regstudy.metrics import Metric, is_metric, metric
from regstudy.report.phrasing import NONE, metric_name, minus, percent, points


def score(value: float, of: Metric) -> str:
    """0.8123 → ``81.2 %``; a loss → ``0.512``."""
    return percent(value) if of.percent else _nats(value)


def gap_score(value: float, of: Metric) -> str:
    """A gap: ``5.2 %``, or ``0.213 nats``."""
    return percent(value) if of.percent or not math.isfinite(value) else f"{_nats(value)} nats"


def gap_of(row: pd.Series, of: Metric) -> str:
    """Gap of a trial's row, equal to the difference of its two values as shown."""
    clean, val = (round(float(row[name]), PLACES) for name in (of.clean_train, of.val))
    return gap_score(of.gap(clean, val), of)


def change(difference: float, of: Metric) -> str:
    """0.0412 → ``+4.1 points``, or ``+0.041 nats``."""
    return points(difference) if of.percent else f"{bare_change(difference, of)} nats".replace(f"{NONE} nats", NONE)


def bare_change(difference: float, of: Metric) -> str:
    """The same without a unit."""
    if of.percent:
        return points(difference).removesuffix(" points")
    if not math.isfinite(difference):
        return NONE
    text = minus(f"{round(difference, PLACES):+.3f}")
    return "±0.000" if text[1:] == "0.000" else text


def amount(size: float, of: Metric) -> str:
    """The size of a difference: ``4.1 points``, or ``0.041 nats``."""
    return f"{100 * abs(size):.1f} points" if of.percent else f"{_nats(abs(size))} nats"


def unit(of: Metric) -> str:
    """The unit of differences and gaps."""
    return "points" if of.percent else "nats"


def scale(of: Metric) -> int:
    """The factor by which values are drawn."""
    return 100 if of.percent else 1


def axis(of: Metric) -> str:
    """The title of an axis: ``balanced accuracy (%)``, ``loss (nats)``."""
    return f"{of.label} ({'%' if of.percent else 'nats'})"


def objective_axis(name: str | None) -> str:
    """The title of an axis for a study's objective; only the metrics that we know have a unit."""
    known = metric(name) if name and is_metric(name) else None
    return metric_name(name) + (f" ({'%' if known.percent else 'nats'})" if known else "")


def validation_name(of: Metric) -> str:
    """``validation`` for accuracy, which a reader expects; else with the metric's name."""
    return "validation" if of.name == "accuracy" else f"validation {of.label}"


def gap_definition(of: Metric, *, short: bool = False) -> str:
    """The gap as a difference: ``gap: train (eval mode) − validation``; of a loss the other way around."""
    label = "" if short else f"{of.label} "
    parts = [f"train {label}(eval mode)", f"validation {label}".strip()]
    return f"{'gap:' if short else 'Gap ='} " + " − ".join(parts if of.maximize else parts[::-1])


def fit_got_worse(of: Metric) -> str:
    """What happens to training images when only the fit gets worse."""
    return f"train {of.label} {'fell' if of.maximize else 'rose'}"


def _nats(value: float) -> str:
    return minus(f"{round(float(value), PLACES) + 0.0:.3f}") if math.isfinite(value) else NONE
