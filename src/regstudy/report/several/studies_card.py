"""The first screen's card of several studies: status, value and gap of each model on fresh seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from regstudy.config.active_regularizers import regularizer_words
from regstudy.report.metric_phrasing import unit
from regstudy.report.percent_axis import PercentAxis
from regstudy.report.phrasing import NONE, capital, listing, metric_name
from regstudy.report.range_phrasing import level_plus_minus, number, plus_minus
from regstudy.report.several.searched_study import SearchedStudy
from regstudy.report.several.several_phrasing import leading, why_not_comparable
from regstudy.text import counted


@dataclass(frozen=True)
class StudyRow:
    """One study. ``ends``: its interval as places on the axis in percent; None where nothing is drawn."""

    name: str
    detail: str
    tone: str
    word: str
    at: float | None
    ends: tuple[float, float] | None
    value: str
    gap: str


@dataclass(frozen=True)
class StudiesCard:
    """All studies in the order given, or best first where they can be compared."""

    heading: str
    rows: list[StudyRow]
    ticks: list[tuple[float, str]]
    axis: str
    unit: str
    foot: str


def studies_card(studies: Sequence[SearchedStudy]) -> StudiesCard:
    """The card; an axis only where the values can be compared."""
    alike, of, lead = not why_not_comparable(studies), studies[0].metric, leading(studies)
    known = [one for one in studies if one.claimed]
    scale = None
    if alike and known:
        ends = [end for one in known for end in (one.level.low, one.level.high)]
        free = 0.06 * (max(ends) - min(ends)) or 0.01
        scale = PercentAxis(min(ends) - free, max(ends) + free)
    order = list(range(len(studies)))
    if lead is not None:
        order.sort(key=lambda i: -studies[i].level.mean if of.maximize else studies[i].level.mean)
    rows = [_row(studies[i], scale) for i in order]
    heading = "Each study's model on fresh seeds" + ("" if alike else ": not to be compared")
    foot = (
        "Values and 95 % intervals of confirmation runs, never the values that selected. The model of a study is its"
        " winner, or the baseline where no winner is better."
    )
    if lead is not None:
        foot += " Intervals of two studies may overlap although their difference is certain: see “Differences”."
    ticks = [] if scale is None else [(scale.at(value), number(value, of)) for value in scale.ticks()]
    axis = f"{capital(metric_name(of.val))}{' (%)' if of.percent else ''}" if scale is not None else ""
    return StudiesCard(heading, rows, ticks, axis, unit(of) if alike else "", foot)


def _row(one: SearchedStudy, scale: PercentAxis | None) -> StudyRow:
    of, confirmed = one.metric, one.confirmed
    detail = "not confirmed"
    if one.claimed and confirmed is not None and one.model is not None:
        words = regularizer_words(one.model.active)
        what = f"trial {one.model.number}, with {listing(words)}" if words else f"trial {one.model.number}"
        if confirmed.recommended is confirmed.baseline:
            what = f"the baseline, trial {confirmed.baseline.number}"
        detail = f"{what}; {counted(confirmed.rounds, 'round')}"
    limit = f"; limit on the gap {number(one.tables.gap_at_most, of)}" if one.tables.gap_at_most is not None else ""
    drawn = scale is not None and one.claimed
    return StudyRow(
        one.label,
        f"{detail}; {counted(one.trials, 'trial')}, {counted(one.epochs, 'epoch')}{limit}",
        one.answer.tone,
        one.answer.word,
        scale.at(one.level.mean) if drawn and scale else None,
        (scale.at(one.level.low), scale.at(one.level.high)) if drawn and scale else None,
        level_plus_minus(one.level, of) if one.claimed else NONE,
        f"{plus_minus(one.gap, of)}" if one.claimed else NONE,
    )
