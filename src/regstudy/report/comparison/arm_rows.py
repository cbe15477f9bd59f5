"""The tables of a comparison's arms: a column per arm, a row per fact or measure."""

from __future__ import annotations

from collections.abc import Sequence

from regstudy.analysis.arm_statistics import ACCURACY, RUNNING_GAP, Comparison, curves_of
from regstudy.report.comparison.comparison_phrasing import (
    epoch_words,
    measure_name,
    parameter_words,
    runs_words,
    seconds_words,
    spread_words,
)
from regstudy.report.metric_phrasing import unit
from regstudy.text import counted

KEY_MEASURES = (("val", "last"), ("val", "best"), ("clean_train", "last"), ("gap", "last"))


def arm_rows(found: Comparison) -> list[list[str]]:
    """The most important rows about the arms, a column per arm; the number of runs only if some are missing."""
    runs = [["runs", *map(runs_words, found.arms)]] if any(arm.used != arm.asked for arm in found.arms) else []
    cost = [f"{epoch_words(arm)} / {seconds_words(arm)}" for arm in found.arms]
    measures = [found.key(kind, moment) for kind, moment in KEY_MEASURES]
    return [*runs, *_measure_rows(found, [*measures, *accuracy_beside(found)]), ["epochs run / time per epoch", *cost]]


def accuracy_beside(found: Comparison) -> list[str]:
    """Accuracy where another metric decides."""
    return [] if found.metric is ACCURACY else [f"{ACCURACY.val}_last"]


def all_arm_rows(found: Comparison) -> list[list[str]]:
    """The full table of arms: a row per fact or measure, a column per arm."""
    facts = (
        ("runs", runs_words),
        ("parameters", parameter_words),
        ("time per epoch (median)", seconds_words),
        ("epochs run", epoch_words),
    )
    rows = [[name, *(words(arm) for arm in found.arms)] for name, words in facts]
    measures = [f"{series}_{moment}" for moment in ("first", "last") for series in curves_of(found.tables)]
    measures += [found.key("val", "best"), f"{RUNNING_GAP}_last", found.key("gap", "last"), found.key("gap", "best")]
    return [*rows, *_measure_rows(found, [*measures, *accuracy_beside(found)])]


def _measure_rows(found: Comparison, measures: Sequence[str]) -> list[list[str]]:
    rows = []
    for measure in measures:
        if measure not in found.arms[0].spreads:
            continue  # only accuracy and loss are measured in train mode
        of = found.metric_of(measure)
        shown = unit(of) if "gap" in measure or not of.percent else "%"
        cells = [spread_words(arm.spreads[measure], of) for arm in found.arms]
        rows.append([f"{measure_name(found, measure)} ({shown})", *cells])
    return rows


def unbroken(text: str) -> str:
    """A text whose ranges and spreads do not wrap."""
    for sign in ("±", "to"):
        text = text.replace(f" {sign} ", f"\N{NO-BREAK SPACE}{sign}\N{NO-BREAK SPACE}")
    return text


def timing_note(found: Comparison) -> str:
    """How many workers shared the machine while the times were measured."""
    counts = [count for arm in found.arms if arm.workers for count in arm.workers]
    if not counts:
        return ""
    low, high = min(counts), max(counts)
    number = counted(high, "worker") if low == high else f"{low} to {high} workers"
    return f"Times were measured with {number} on the machine and are valid only for that load."
