"""The first screen's card of what earned the gain: a row per regularizer with interval, verdict and chance."""

from __future__ import annotations

import math
from dataclasses import dataclass

from regstudy.analysis.ablation import Effect, Judgment
from regstudy.report.ablation_findings import AblationFindings
from regstudy.report.ablation_phrasing import BETTER, ONLY_SEEDS, UNDERFITS, heading, rate_sentences
from regstudy.report.ablation_table import chance
from regstudy.report.interaction_phrasing import interaction_sentence
from regstudy.report.metric_phrasing import unit, validation_name
from regstudy.report.percent_axis import PercentAxis, axis_over
from regstudy.report.phrasing import NONE, capital, setting
from regstudy.report.range_phrasing import number, tick
from regstudy.text import counted

_WORDS: dict[Judgment, tuple[str, str, str]] = {  # icon, word, kind
    "closed the gap": ("up", "Closed the gap", "ok"),
    "helped validation": ("up", "Helped validation", "ok"),
    UNDERFITS: ("flat", "Underfits", "wait"),
    "hurt": ("down", "Hurt", "bad"),
    "no effect": ("flat", "No effect", "none"),
    "undecided": ("wait", "Not decided", "wait"),
}


@dataclass(frozen=True)
class EffectRow:
    """One regularizer. Places are in percent of the axis: the mean, the ends on these images, those for new ones."""

    name: str
    detail: str
    icon: str
    word: str
    kind: str  # ok | wait | none | bad
    more: str
    at: float | None
    ends: tuple[float, float] | None
    new_ends: tuple[float, float] | None
    mean: str
    chance: str
    gap: str


@dataclass(frozen=True)
class AblationCard:
    """``band``: what is too small to matter."""

    heading: str
    rows: list[EffectRow]
    ticks: list[tuple[float, str]]
    band: tuple[float, float]
    zero: float
    axis: str
    foot: list[str]


def ablation_card(found: AblationFindings) -> AblationCard:
    """The effects of the primary family, that of all regularizers together last."""
    of, margin = found.metric, found.result.margin
    ends = [
        end
        for one in found.primary
        for end in (one.metric.mean, one.metric.low, one.metric.high, one.metric.new_low, one.metric.new_high)
    ]
    scale = axis_over(ends, 2 * margin)
    rows = [_row(one, found, scale) for one in found.primary]
    ticks = [(scale.at(value), tick(value, of)) for value in scale.ticks()]
    better = "" if of.percent else ", + is better"
    axis = f"{capital(validation_name(of))}, {unit(of)}{better}"
    band = (scale.at(-margin), scale.at(margin))
    return AblationCard(heading(found), rows, ticks, band, scale.at(0.0), axis, _foot(found))


def _foot(found: AblationFindings) -> list[str]:
    of = found.metric
    new = "" if found.own_validation else "; thin: for new images of the same kind"
    lines = [
        f"Each row: what trial {found.winner} gains by it, from {counted(found.result.runs, 'run')} with and without. "
        f"Thick: 95 % range on these images{new}. Shaded: up to {number(found.result.margin, of)}, too small to "
        "matter; “helps” means more than that."
    ]
    if sum(one.verdict not in BETTER for one in found.single) > 1:
        lines.append("One at a time: to leave out several at once may cost more.")
    lines += rate_sentences(found)
    lines += [ONLY_SEEDS] if found.own_validation else []
    return [*lines, *(interaction_sentence(one, of) for one in found.standing)]


def _row(one: Effect, found: AblationFindings, scale: PercentAxis) -> EffectRow:
    of, change = found.metric, one.metric
    icon, word, kind = _WORDS[one.verdict]
    if one.verdict in BETTER and not change.low > found.result.margin:
        kind = "none"  # the range is not clear of the margin
    more = ""
    if one.verdict == "undecided" and 0 < one.more_runs < math.inf and not found.left:
        more = counted(math.ceil(one.more_runs), "more run")
    value = found.settings.get(one.name)
    detail = "against the baseline" if one is found.together else "" if value is None else setting(value)
    return EffectRow(
        capital(one.name), detail, icon, word, kind, more,
        scale.at(change.mean) if math.isfinite(change.mean) else None,
        _ends(scale, change.low, change.high), _ends(scale, change.new_low, change.new_high),
        number(change.mean, of, signed=True),
        NONE if one.chances is None else chance(one.chances.above),
        number(one.gap.mean, of, signed=True),
    )  # fmt: skip


def _ends(scale: PercentAxis, low: float, high: float) -> tuple[float, float] | None:
    return (scale.at(low), scale.at(high)) if math.isfinite(low) and math.isfinite(high) else None
