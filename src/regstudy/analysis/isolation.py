"""One hyperparameter at a time, with the others varying freely: how good trials were in each part of its range.

The best of a part grows with the number of trials in it, so the mean of the best quarter and the count are
reported too. This is descriptive: parts of a range do not have equal numbers of trials, because a search draws more
trials where it has found good ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu

from regstudy.analysis.learned import qualify
from regstudy.analysis.ranks import SIGNIFICANCE_LEVEL, holm
from regstudy.study.tables import PARAM, Tables

RANGE_PARTS = 4  # of a numeric range, of equal width on its scale
MAX_CHOICES_LISTED = 8  # of a hyperparameter without a range, the most frequent ones
TOP_QUARTER = 0.25
MIN_PART_TRIALS = 4  # finished ones, for a part to be judged


@dataclass(frozen=True)
class RangePart:
    """The search trials within one part of a setting's range; the objective is NaN where none was observed.

    ``low`` and ``high`` are None for a single value: off, or a choice. ``gap``: median over the comparable trials.
    """

    label: str
    low: float | None
    high: float | None
    observed: int
    pruned: int
    best: float
    top_quarter: float
    gap: float
    values: tuple[float, ...] = ()  # the objectives of the finished trials


def isolation(tables: Tables, path: str) -> list[RangePart]:
    """The parts of one hyperparameter's range in order, the off value first; empty if it is unknown or never varied.

    Trials of the search arm only: in the baseline arm all regularizers are off at once.
    """
    values = tables.strength(path)
    search = tables.trials["arm"] != "baseline"
    if values is None or values[search].nunique() < 2:
        return []
    values, null = values.where(search), tables.regularizers.get(path)
    numbers = pd.to_numeric(values, errors="coerce")
    span = tables.ranges.get(path)
    drawn = span is not None and span.low is not None and span.high is not None  # from a range of numbers
    if numbers[values.notna()].isna().any() or (values.nunique() <= RANGE_PARTS and not drawn):
        shown = values.dropna().value_counts().index[:MAX_CHOICES_LISTED]
        ordered = sorted(shown, key=lambda value: (value != null, value if isinstance(value, int | float) else 0.0))
        return [_part(tables, value_label(value, null), None, None, values == value) for value in ordered]
    off = numbers == null if null is not None else pd.Series(False, index=values.index)
    on = numbers[~off].dropna()
    parts = [_part(tables, "off", None, None, off)] if off.any() else []
    log = bool(span and span.log) and on.min() > 0
    if on.empty:
        return parts
    low, high = on.min(), on.max()
    if span and span.low is not None and span.high is not None and span.low <= low and high <= span.high:
        low, high = span.low, span.high
    if not low < high:
        return [*parts, _part(tables, value_label(low, null), None, None, numbers == low)]
    edges = np.geomspace(low, high, RANGE_PARTS + 1) if log else np.linspace(low, high, RANGE_PARTS + 1)
    edges[0], edges[-1] = min(edges[0], on.min()), max(edges[-1], on.max())
    for i, (left, right) in enumerate(pairwise(edges.tolist())):
        inside = ~off & (numbers >= left) & ((numbers < right) if i < RANGE_PARTS - 1 else (numbers <= right))
        parts.append(_part(tables, f"{left:.3g} – {right:.3g}", float(left), float(right), inside))
    return parts


def best_part(parts: list[RangePart], *, maximize: bool, min_trials: int = MIN_PART_TRIALS) -> RangePart | None:
    """The part with the best “best quarter”, among those with at least ``min_trials`` finished trials; None if none."""
    usable = [part for part in parts if part.observed >= min_trials and math.isfinite(part.top_quarter)]
    if not usable:
        return None
    return (max if maximize else min)(usable, key=lambda part: part.top_quarter)


def settings(tables: Tables) -> list[str]:
    """The searched hyperparameters other than regularizers: the declared nuisances, else all Optuna parameters."""
    drawn = [column.removeprefix(PARAM) for column in tables.trials.columns if column.startswith(PARAM)]
    # the switch of a range with `or` belongs to its number, as in `training.patience.on`
    known = tables.nuisances or [name.removesuffix(".on") for name in drawn if tables.regularizer_of(name) is None]
    columns = set(tables.trials.columns)
    # a section such as `schedule` is a nuisance by its name
    paths = [f"{name}.name" if name not in columns and f"{name}.name" in columns else name for name in known]
    search = tables.trials["arm"] != "baseline"
    varied = []
    for path in dict.fromkeys(paths):
        values = tables.strength(path)
        if path not in tables.regularizers and values is not None and values[search].nunique() > 1:
            varied.append(path)
    return varied


def _part(tables: Tables, label: str, low: float | None, high: float | None, inside: pd.Series) -> RangePart:
    trials = tables.trials[inside.astype(bool)]
    seen = trials[tables.observed()[trials.index]]
    values = np.sort(seen["value"].to_numpy(dtype=float))
    if tables.maximize:
        values = values[::-1]
    comparable = qualify(tables).mask[trials.index]
    return RangePart(
        label=label,
        low=low,
        high=high,
        observed=len(values),
        pruned=int((trials["state"] == "PRUNED").sum()),
        best=float(values[0]) if len(values) else math.nan,
        top_quarter=float(values[: max(1, math.ceil(TOP_QUARTER * len(values)))].mean()) if len(values) else math.nan,
        gap=float(trials.loc[comparable, tables.gap].median()) if comparable.any() else math.nan,
        values=tuple(values.tolist()),
    )


def clear_best(parts: list[RangePart], *, maximize: bool) -> RangePart | None:
    """The best part if its trials are significantly better than those of every other part; None if any may tie.

    Mann–Whitney tests of all pairs of parts with enough finished trials, adjusted by Holm, because the best one was
    not known before.
    """
    top = best_part(parts, maximize=maximize)
    judged = [part for part in parts if part.observed >= MIN_PART_TRIALS]
    pairs = list(combinations(judged, 2))
    if top is None or not pairs:
        return None
    found = holm([float(mannwhitneyu(a.values, b.values).pvalue) for a, b in pairs])
    own = [p for (a, b), p in zip(pairs, found, strict=True) if top in (a, b)]
    return top if max(own) < SIGNIFICANCE_LEVEL else None


def value_label(value: Any, null: Any) -> str:
    """A single value of a hyperparameter for readers; ``null`` is the off value of a regularizer, None of others."""
    if null is not None and value == null:
        return "off"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
