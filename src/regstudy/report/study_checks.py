"""What a person with experience would look for in a finished study: each check is a severity, a finding, and advice.

``act``: change something before trusting or repeating the study; ``note``: know it; ``fine``: looked at, nothing found.
A check that cannot be made (too few trials, nothing recorded) is left out. The rules are those of a practitioner's
checklist, not tests, so chance is kept in bounds by hand: a parameter that does not matter has its single best trial in
one of the outer tenths of its range in 1 study of 5, but three of its top five in the same one in 1 of 60. Only the
latter is an ``act``, and only in a range of many values and with `MIN_TRIALS` trials that were seen to the end.
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
from regstudy.report.curve_checks import MANY, TOP, budget, look_at_curves
from regstudy.report.curve_checks import CheckSeverity as CheckSeverity
from regstudy.report.curve_checks import StudyCheck as StudyCheck
from regstudy.study.tables import PARAM, ParameterRange, Tables
from regstudy.text import counted

SEVERITIES: tuple[CheckSeverity, ...] = ("act", "note", "fine")

OUTER = 0.1  # part of a range at either end, on its scale
ALONE = 0.25  # interquartile ranges by which the best of all may exceed the expected best of half
INFEASIBLE = 0.25  # share of trials
LEVEL = 0.01  # for what infeasible trials have in common, divided by the number of parameters
PRUNED = 0.8  # share of the search trials
EXCLUDED = 1 / 3  # of the observed trials
LEAST_BASELINE = 3  # trials


def checks(tables: Tables) -> list[StudyCheck]:
    """Every check that can be made of a study, what to act on first."""
    made = (_boundaries, _density, _infeasible, budget, look_at_curves, _training, _pruning, _baseline)
    found = [check for make in made for check in make(tables)]
    return sorted(found, key=lambda check: SEVERITIES.index(check.severity))


def _boundaries(tables: Tables) -> Iterator[StudyCheck]:
    """Whether the best trials lie at an end of what was searched, for each parameter that is a number."""
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
        if len(place) < TOP or place.nunique() < 2:
            continue
        judged += 1
        many_valued = not span.choices and _many_valued(place)
        outer = {"lower": place <= OUTER + 1e-9, "upper": place >= 1 - OUTER - 1e-9}
        counts = {end: int(inside.iloc[:TOP].sum()) for end, inside in outer.items()}
        end = max(counts, key=lambda name: counts[name])
        if counts[end] < MANY and many_valued:
            end = next((name for name, inside in outer.items() if inside.iloc[0]), "")
        if counts.get(end, 0) >= MANY or (end and many_valued and outer[end].iloc[0]):
            firm = counts[end] >= MANY and many_valued and len(place) >= MIN_TRIALS
            found.append(_boundary(name, span, null, end, counts[end], firm))
    yield from found
    if judged and not found:
        yield StudyCheck(
            "boundary", "fine", f"The best trials lie at no end of the {counted(judged, 'range')} searched."
        )


def _places(values: pd.Series, span: ParameterRange) -> pd.Series | None:
    """Where in its range each trial's value lies, 0 to 1 on its scale; None if it is no range of numbers."""
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
    many = count >= MANY
    who = f"{count} of the top {TOP} trials lie" if many else f"The best trial, {count} of the top {TOP}, lies"
    where = f"at the {end} end of the choices" if span.choices else f"in the {end} tenth of the range"
    chance = "" if firm else "; this few trials or values may do so by chance" if many else "; one may by chance"
    finding = f"{who} {where} of {name} ({low:g} to {high:g}){chance}."
    weak = null is not None and (null <= low if end == "lower" else null >= high)
    share = limit == 1 and end == "upper" and low >= 0 and not span.log
    if not (weak or share or limit == 0):
        way = "downward" if end == "lower" else "upward"
        advice = f"Extend `{name}` {way}, beyond {limit:g}."
        return StudyCheck(f"boundary:{name}", "act" if firm else "note", finding, advice)
    if null is None:
        advice = f"`{name}` cannot go beyond {limit:g}; look whether it is worth searching there only."
    elif weak:
        advice = f"The weakest value of `{name}` does best: try it at {null:g}, which turns it off."
    else:
        advice = f"The strongest value of `{name}` does best and it cannot be exceeded: add another regularizer."
    return StudyCheck(f"boundary:{name}", "note", finding, advice)


def _density(tables: Tables) -> Iterator[StudyCheck]:
    """Whether the best of a random half of the search would have been much worse than the best of all."""
    values = tables.trials.loc[_search(tables) & tables.observed(), "value"].to_numpy(dtype=float)
    if len(values) < MIN_TRIALS:
        return
    half = expected_best(values, len(values) // 2, maximize=tables.maximize)
    loss = abs(float(values.max() if tables.maximize else values.min()) - half)
    spread = float(np.subtract(*np.quantile(values, [0.75, 0.25])))
    unit = f"{loss / spread:.2f} interquartile ranges" if spread > 0 else f"{loss:.3g}"
    finding = f"half of the {len(values)} search trials would on average have ended {unit} below the best of all."
    finding = finding if tables.maximize else finding.replace("below", "above")
    if loss > ALONE * spread:
        advice = "Add trials (`--trials`) around it: more of them may well find better still."
        yield StudyCheck("density", "note", f"The best trial stands alone: {finding}", advice)
    else:
        yield StudyCheck("density", "fine", f"The best trial has company: {finding}")


def _infeasible(tables: Tables) -> Iterator[StudyCheck]:
    """How many trials diverged or did not fit into memory, and where they lie; of repeated attempts the last counts."""
    slots = tables.trials["slot"]
    trials = tables.trials[slots.isna() | ~slots.duplicated(keep="last")]
    trials = trials[trials["state"].isin(["COMPLETE", "PRUNED", "FAIL"])]
    if trials.empty:
        return
    diverged = trials["outcome"] == "diverged"
    memory = (trials["state"] == "FAIL") & trials["reason"].astype("str").str.contains("out of memory", na=False)
    bad = (diverged | memory).fillna(False).astype(bool)
    finding = (
        f"{bad.sum()} of {counted(len(trials), 'trial')} ({100 * bad.mean():.1f} %) could not be used: "
        f"{diverged.sum()} diverged, {memory.sum()} ran out of memory"
    )
    if not bad.mean() > INFEASIBLE:
        yield StudyCheck("infeasible", "fine", f"{finding}.")
        return
    where = _cluster(tables, trials, bad)
    advice = "Shrink the ranges" if where is None else f"Shrink the range of `{where[0]}` at its {where[1]} end"
    more = "; lower `training.batch_size` for those out of memory." if memory.any() else "."
    yield StudyCheck("infeasible", "act", finding + ("" if where is None else f"; {where[2]}") + ".", advice + more)


def _cluster(tables: Tables, trials: pd.DataFrame, bad: pd.Series) -> tuple[str, str, str] | None:
    """Parameter, end and words for where infeasible trials lie, if they are clearly separated from the others."""
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
    if p >= LEVEL / len(tested) or low <= middle <= high:
        return None
    upper = middle > high
    word, end = ("above", "upper") if upper else ("below", "lower")
    if a.min() > b.max() or a.max() < b.min():
        edge = b.max() if upper else b.min()
        return name, end, f"all of them, and no other, lie {word} {name} = {edge:.3g}"
    beyond = int((b > middle).sum() if upper else (b < middle).sum())
    return name, end, f"half of them lie {word} {name} = {middle:.3g}, but only {beyond} of the {len(b)} others"


def _training(tables: Tables) -> Iterator[StudyCheck]:
    """Whether training itself suffered: in the best trial, and in how many others."""
    comparison, qualified = compare(tables), qualify(tables)
    if comparison.underfit and comparison.challenger is not None:
        finding = (
            f"From the best baseline trial to trial {comparison.challenger.number} the gap shrank by "
            f"{-100 * comparison.gap_change:.1f} points and validation accuracy did not gain: a gap that shrank only "
            "because clean training accuracy fell is not a closed gap."
        )
        yield StudyCheck(
            "underfit", "act", finding, "Lower the `high` of the regularizers, or raise `training.epochs`."
        )
    total = int(qualified.mask.sum()) + qualified.excluded
    if total and qualified.excluded > EXCLUDED * total:
        finding = (
            f"{qualified.excluded} of {counted(total, 'observed trial')} trained too badly for their gap to mean "
            f"anything: clean training accuracy too far below {100 * qualified.reference:.1f} %."
        )
        advice = "Lower the `high` of the regularizers, or narrow `optimizer.lr` to where training works."
        yield StudyCheck("excluded", "note", finding, advice)


def _pruning(tables: Tables) -> Iterator[StudyCheck]:
    """Whether pruning left enough to judge by, and whether it could be judged itself."""
    competed = tables.trials.loc[_search(tables), "state"]
    competed = competed[competed.isin(["COMPLETE", "PRUNED"])]
    pruned, all_pruned = int((competed == "PRUNED").sum()), audit(tables)
    if not pruned:
        return
    finding = (
        f"{pruned} of {counted(len(competed), 'search trial')} ({100 * pruned / len(competed):.1f} %) were pruned."
    )
    if pruned > PRUNED * len(competed):
        yield StudyCheck("pruned", "act", finding, "Use `--pruner none`, or raise `training.epochs`.")
    else:
        yield StudyCheck("pruned", "fine", finding)
    if not all_pruned.judged:
        finding = f"How often the {counted(all_pruned.pruned, 'cut')} were wrong is unknown: none was run on to see."
        yield StudyCheck("audit", "note", finding, "Run some trials with `--pruner none` to see.")


def _baseline(tables: Tables) -> Iterator[StudyCheck]:
    """Whether the baseline arm, in a study that has arms, has enough trials to compare with."""
    arms = tables.trials["arm"]
    count = int((tables.observed() & (arms == "baseline")).sum())
    if arms.notna().any() and count < LEAST_BASELINE:
        finding = f"The baseline arm has {counted(count, 'trial')} seen to the end, so its best says little."
        yield StudyCheck("baseline", "note", finding, "Raise `--trials`: about a tenth of them go to the baseline arm.")


def _search(tables: Tables) -> pd.Series:
    return tables.trials["arm"] != "baseline"


def _many_valued(places: pd.Series) -> bool:
    """Whether a range has so many values that few of them lie in its outer tenth, as drawn."""
    return int(places.nunique()) == len(places) or int(places.nunique()) > MIN_TRIALS


def _null(tables: Tables, name: str) -> float | None:
    """The value that turns a regularizer off, by its parameter, whose name may have choices within its path."""
    for path, null in tables.regularizers.items():
        parts = iter(name.split("."))
        ends = name.split(".")[0] == path.split(".")[0] and name.split(".")[-1] == path.split(".")[-1]
        if ends and all(part in parts for part in path.split(".")) and _is_number(null):
            return float(null)
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
