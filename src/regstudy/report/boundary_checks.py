"""Whether the best trials lie at an end of a searched range, and what to do about it.

A practitioner's rule, not a statistical test, so false alarms are limited by hand: an irrelevant parameter has its
single best trial in one of the outer tenths of its range in 1 of 5 studies, but three of its top five in the same one
in 1 of 60. Only the latter is an ``act``, and only in a range of many values and with at least `MIN_TRIALS` finished
trials. All other advice is given on the condition that more trials confirm it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from regstudy.analysis.curves import ranked
from regstudy.analysis.gap import MIN_TRIALS
from regstudy.report.curve_checks import MAJORITY_OF_TOP, TOP_TRIALS, StudyCheck
from regstudy.study.tables import PARAM, ParameterRange, Tables

OUTER_SHARE = 0.1  # part of a range at either end, on its scale


def boundaries(tables: Tables) -> Iterator[StudyCheck]:
    """Whether the best trials lie at an end of the searched range, for each numeric parameter."""
    judged, found = 0, []
    for name, span in tables.ranges.items():
        null = _null(tables, name)
        place = places(tables.trials[PARAM + name], span) if PARAM + name in tables.trials else None
        if place is None:
            continue
        usable = tables.eligible() & place.notna()
        if null is not None:  # in the baseline arm it was not free
            usable &= tables.trials["arm"] != "baseline"
        place = place[ranked(tables, usable)]
        if len(place) < TOP_TRIALS or place.nunique() < 2:
            continue
        judged += 1
        many_valued = not span.choices and _many_valued(place)
        outer = {"lower": place <= OUTER_SHARE + 1e-9, "upper": place >= 1 - OUTER_SHARE - 1e-9}
        counts = {end: int(inside.iloc[:TOP_TRIALS].sum()) for end, inside in outer.items()}
        end = max(counts, key=lambda name: counts[name])
        if counts[end] < MAJORITY_OF_TOP and many_valued:
            end = next((name for name, inside in outer.items() if inside.iloc[0]), "")
        if counts.get(end, 0) >= MAJORITY_OF_TOP or (end and many_valued and outer[end].iloc[0]):
            firm = counts[end] >= MAJORITY_OF_TOP and many_valued and len(place) >= MIN_TRIALS
            found.append(_boundary(name, span, null, end, counts[end], firm))
    yield from found
    if judged and not found:
        yield StudyCheck(
            "boundary",
            "fine",
            f"No best trials at the edge of {'the range' if judged == 1 else f'any of the {judged} ranges'} searched.",
        )


def _boundary(name: str, span: ParameterRange, null: float | None, end: str, count: int, firm: bool) -> StudyCheck:
    ends = [float(choice) for choice in span.choices] or [value for value in (span.low, span.high) if value is not None]
    low, high = min(ends), max(ends)
    limit = low if end == "lower" else high
    many = count >= MAJORITY_OF_TOP
    who = (
        f"{count} of the top {TOP_TRIALS} trials are"
        if many
        else f"The best trial ({count} of the top {TOP_TRIALS}) is"
    )
    where = f"at the {end} end of the choices" if span.choices else f"in the {end} tenth of the range"
    chance = (
        "" if firm else "; with so few trials or values this may be chance" if many else "; one trial may be chance"
    )
    finding = f"{who} {where} of {name} ({low:g} to {high:g}){chance}."
    weak = null is not None and (null <= low if end == "lower" else null >= high)
    share = limit == 1 and end == "upper" and low >= 0 and not span.log
    if not (weak or share or limit == 0):
        way = "downward" if end == "lower" else "upward"
        advice = f"Extend the range of `{name}` {way}, beyond {limit:g}."
        return StudyCheck(f"boundary:{name}", "act" if firm else "note", finding, _if_confirmed(advice, firm))
    if null is None:
        advice = f"Search `{name}` only near {limit:g}: it cannot go further."
    elif weak:
        advice = f"Try {null:g}, which turns `{name}` off."
    else:
        advice = f"Add another regularizer: the strongest value of `{name}` cannot be exceeded."
    return StudyCheck(f"boundary:{name}", "note", finding, _if_confirmed(advice, firm))


def _if_confirmed(advice: str, firm: bool) -> str:
    """Advice that rests on a finding which may be chance is given under that condition only."""
    return advice if firm else f"If more trials confirm it: {advice[:1].lower()}{advice[1:]}"


def places(values: pd.Series, span: ParameterRange) -> pd.Series | None:
    """Position of each trial's value in its range, 0 to 1 on its scale; None if the range is not numeric."""
    if span.choices:
        numbers = [choice for choice in span.choices if _is_number(choice)]
        if len(numbers) < max(2, len(span.choices)):
            return None
        ordered = sorted(set(numbers))
        return pd.to_numeric(values, errors="coerce").map(
            {value: i / max(1, len(ordered) - 1) for i, value in enumerate(ordered)}
        )
    if span.low is None or span.high is None or not span.low < span.high:
        return None
    numeric = pd.to_numeric(values, errors="coerce").astype("float64")
    if span.log:
        return (np.log(numeric.where(numeric > 0)) - math.log(span.low)) / math.log(span.high / span.low)
    return (numeric - span.low) / (span.high - span.low)


def _many_valued(places: pd.Series) -> bool:
    """Whether the drawn values are so many that few of them lie in the outer tenth of the range."""
    return int(places.nunique()) == len(places) or int(places.nunique()) > MIN_TRIALS


def _null(tables: Tables, name: str) -> float | None:
    """The off value of the regularizer that a parameter sets, if that is a number."""
    null = tables.regularizers.get(tables.regularizer_of(name) or "")
    return float(null) if null is not None and _is_number(null) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
