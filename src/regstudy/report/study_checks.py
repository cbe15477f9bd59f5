"""An expert's checklist for a finished study: each check has a severity, a finding and advice.

``act``: change something before trusting or repeating the study; ``note``: for information; ``fine``: passed.
A check that cannot be made (too few trials, nothing recorded) is left out. The rules are a practitioner's checklist,
not statistical tests, so false alarms are limited by hand: an irrelevant parameter has its single best trial in one of
the outer tenths of its range in 1 of 5 studies, but three of its top five in the same one in 1 of 60. Only the latter
is an ``act``, and only in a range of many values and with at least `MIN_TRIALS` finished trials.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu

from regstudy.analysis.audit import audit
from regstudy.analysis.curves import ranked
from regstudy.analysis.gap import MIN_TRIALS, compare, qualify
from regstudy.analysis.ranks import expected_best
from regstudy.report.curve_checks import MAJORITY_OF_TOP, TOP_TRIALS, budget, look_at_curves
from regstudy.report.curve_checks import CheckSeverity as CheckSeverity
from regstudy.report.curve_checks import StudyCheck as StudyCheck
from regstudy.study.tables import PARAM, ParameterRange, Tables
from regstudy.text import counted

SEVERITIES: tuple[CheckSeverity, ...] = ("act", "note", "fine")

OUTER_SHARE = 0.1  # part of a range at either end, on its scale
ISOLATED_BEST_IQR = 0.25  # interquartile ranges by which the best of all may exceed the expected best of half
MAX_INFEASIBLE_SHARE = 0.25  # share of trials
CLUSTER_P_LEVEL = 0.01  # for what infeasible trials have in common, divided by the number of parameters
MAX_PRUNED_SHARE = 0.8  # share of the search trials
MAX_EXCLUDED_SHARE = 1 / 3  # of the observed trials
MIN_BASELINE_TRIALS = 3  # trials


def checks(tables: Tables) -> list[StudyCheck]:
    """Every check that can be made, most urgent first."""
    made = (_boundaries, _density, _infeasible, budget, look_at_curves, _training, _pruning, _baseline)
    found = [check for make in made for check in make(tables)]
    return sorted(found, key=lambda check: SEVERITIES.index(check.severity))


def _boundaries(tables: Tables) -> Iterator[StudyCheck]:
    """Whether the best trials lie at an end of the searched range, for each numeric parameter."""
    judged, found = 0, []
    for name, span in tables.ranges.items():
        null = _null(tables, name)
        place = _places(tables.trials[PARAM + name], span) if PARAM + name in tables.trials else None
        if place is None:
            continue
        usable = tables.observed() & place.notna()
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


def _places(values: pd.Series, span: ParameterRange) -> pd.Series | None:
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
        return StudyCheck(f"boundary:{name}", "act" if firm else "note", finding, advice)
    if null is None:
        advice = f"`{name}` cannot go beyond {limit:g}; consider searching only near that value."
    elif weak:
        advice = f"The weakest value of `{name}` works best: try {null:g}, which turns it off."
    else:
        advice = f"The strongest value of `{name}` works best and cannot be exceeded: add another regularizer."
    return StudyCheck(f"boundary:{name}", "note", finding, advice)


def _density(tables: Tables) -> Iterator[StudyCheck]:
    """Whether the best trial is isolated: the best of a random half would have been much worse."""
    values = tables.trials.loc[_search(tables) & tables.observed(), "value"].to_numpy(dtype=float)
    if len(values) < MIN_TRIALS:
        return
    half = expected_best(values, len(values) // 2, maximize=tables.maximize)
    loss = abs(float(values.max() if tables.maximize else values.min()) - half)
    spread = float(np.subtract(*np.quantile(values, [0.75, 0.25])))
    unit = f"{loss / spread:.2f} interquartile ranges" if spread > 0 else f"{loss:.3g}"
    side = "below" if tables.maximize else "above"
    finding = f"the best of a random half of {len(values)} search trials is on average {unit} {side} the best of all."
    if loss > ISOLATED_BEST_IQR * spread:
        advice = "Run more trials (raise `--trials`): they may well find a better one."
        yield StudyCheck("density", "note", f"The best trial is an outlier: {finding}", advice)
    else:
        yield StudyCheck("density", "fine", f"Other trials come close to the best: {finding}")


def _infeasible(tables: Tables) -> Iterator[StudyCheck]:
    """How many trials diverged or ran out of memory, and where in the ranges; of retried attempts the last counts."""
    slots = tables.trials["slot"]
    trials = tables.trials[slots.isna() | ~slots.duplicated(keep="last")]
    trials = trials[trials["state"].isin(["COMPLETE", "PRUNED", "FAIL"])]
    if trials.empty:
        return
    diverged = trials["outcome"] == "diverged"
    memory = (trials["state"] == "FAIL") & trials["reason"].astype("str").str.contains("out of memory", na=False)
    bad = (diverged | memory).fillna(False).astype(bool)
    finding = (
        f"{bad.sum()} of {counted(len(trials), 'trial')} ({100 * bad.mean():.1f} %) were unusable: "
        f"{diverged.sum()} diverged, {memory.sum()} ran out of memory"
    )
    if not bad.mean() > MAX_INFEASIBLE_SHARE:
        yield StudyCheck("infeasible", "fine", f"{finding}.")
        return
    where = _cluster(tables, trials, bad)
    advice = "Shrink the ranges" if where is None else f"Shrink the range of `{where[0]}` at its {where[1]} end"
    more = "; lower `training.batch_size` against out-of-memory failures." if memory.any() else "."
    yield StudyCheck("infeasible", "act", finding + ("" if where is None else f"; {where[2]}") + ".", advice + more)


def _cluster(tables: Tables, trials: pd.DataFrame, bad: pd.Series) -> tuple[str, str, str] | None:
    """Parameter, end and description of where infeasible trials lie, if they clearly differ from the others."""
    tested: list[tuple[float, str, pd.Series, pd.Series]] = []
    for name, span in tables.ranges.items():
        if PARAM + name not in trials or _places(trials[PARAM + name], span) is None:
            continue
        values = pd.to_numeric(trials[PARAM + name], errors="coerce").astype("float64")
        a, b = values[bad].dropna(), values[~bad].dropna()
        if len(a) and len(b) and values.nunique() > 1:
            tested.append((float(mannwhitneyu(a, b).pvalue), name, a, b))
    if not tested:
        return None
    p, name, a, b = min(tested, key=lambda found: found[0])
    middle, (low, high) = float(a.median()), b.quantile([0.25, 0.75])
    if p >= CLUSTER_P_LEVEL / len(tested) or low <= middle <= high:
        return None
    upper = middle > high
    word, end = ("above", "upper") if upper else ("below", "lower")
    if a.min() > b.max() or a.max() < b.min():
        edge = b.max() if upper else b.min()
        return name, end, f"all of them, and no others, are {word} {name} = {edge:.3g}"
    beyond = int((b > middle).sum() if upper else (b < middle).sum())
    return name, end, f"half of them are {word} {name} = {middle:.3g}, but only {beyond} of the {len(b)} other trials"


def _training(tables: Tables) -> Iterator[StudyCheck]:
    """Underfitting: in the best trial, and in how many others."""
    comparison, qualified = compare(tables), qualify(tables)
    if comparison.underfit and comparison.challenger is not None:
        finding = (
            f"From the best baseline trial to trial {comparison.challenger.number}, the gap shrank by "
            f"{-100 * comparison.gap_change:.1f} points without a gain in validation accuracy. The gap was not closed: "
            "it shrank only because train accuracy (eval mode) fell."
        )
        yield StudyCheck(
            "underfit",
            "act",
            finding,
            "Lower the upper bounds (`high`) of the regularizers, or raise `training.epochs`.",
        )
    total = int(qualified.mask.sum()) + qualified.excluded
    if total and qualified.excluded > MAX_EXCLUDED_SHARE * total:
        finding = (
            f"{qualified.excluded} of {counted(total, 'finished trial')} underfit so much that their gap means "
            f"nothing: their train accuracy (eval mode) is too far below {100 * qualified.reference:.1f} %."
        )
        advice = "Lower the upper bounds (`high`) of the regularizers, or narrow the range of `optimizer.lr`."
        yield StudyCheck("excluded", "note", finding, advice)


def _pruning(tables: Tables) -> Iterator[StudyCheck]:
    """Whether pruning left enough finished trials, and whether its error rate is known."""
    competed = tables.trials.loc[_search(tables), "state"]
    competed = competed[competed.isin(["COMPLETE", "PRUNED"])]
    pruned, all_pruned = int((competed == "PRUNED").sum()), audit(tables)
    if not pruned:
        return
    finding = (
        f"{pruned} of {counted(len(competed), 'search trial')} ({100 * pruned / len(competed):.1f} %) were pruned."
    )
    if pruned > MAX_PRUNED_SHARE * len(competed):
        yield StudyCheck("pruned", "act", finding, "Use `--pruner none`, or raise `training.epochs`.")
    else:
        yield StudyCheck("pruned", "fine", finding)
    if not all_pruned.judged:
        pruned_trials = counted(all_pruned.pruned, "pruned trial")
        finding = (
            f"The error rate of pruning ({pruned_trials}) is unknown: no trial that would have been pruned "
            "was run to its end."
        )
        yield StudyCheck("audit", "note", finding, "Run some trials with `--pruner none` to measure it.")


def _baseline(tables: Tables) -> Iterator[StudyCheck]:
    """Whether the baseline arm, if the study has arms, has enough trials for a comparison."""
    arms = tables.trials["arm"]
    count = int((tables.observed() & (arms == "baseline")).sum())
    if arms.notna().any() and count < MIN_BASELINE_TRIALS:
        finding = f"The baseline arm has only {counted(count, 'finished trial')}, so its best trial says little."
        yield StudyCheck("baseline", "note", finding, "Raise `--trials`: the baseline arm gets about a tenth of them.")


def _search(tables: Tables) -> pd.Series:
    return tables.trials["arm"] != "baseline"


def _many_valued(places: pd.Series) -> bool:
    """Whether the drawn values are so many that few of them lie in the outer tenth of the range."""
    return int(places.nunique()) == len(places) or int(places.nunique()) > MIN_TRIALS


def _null(tables: Tables, name: str) -> float | None:
    """The off value of a regularizer, by its parameter, whose name may contain choices within its path."""
    for path, null in tables.regularizers.items():
        parts = iter(name.split("."))
        ends = name.split(".")[0] == path.split(".")[0] and name.split(".")[-1] == path.split(".")[-1]
        if ends and all(part in parts for part in path.split(".")) and _is_number(null):
            return float(null)
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
