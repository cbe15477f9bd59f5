"""The first screen's card of the configurations that were trained again, as differences from the winner."""

from __future__ import annotations

import math
from dataclasses import dataclass

from regstudy.analysis.claim import Estimate, interval
from regstudy.analysis.confirmation import Confirmation, Leader
from regstudy.config.active_regularizers import regularizer_words
from regstudy.report.answer_phrasing import equals_sentence
from regstudy.report.metric_phrasing import unit
from regstudy.report.percent_axis import PercentAxis, axis_over
from regstudy.report.phrasing import NONE, setting
from regstudy.report.range_phrasing import level_plus_minus, number, shown_gain, tick
from regstudy.text import counted

MOST_LEADERS = 6


@dataclass(frozen=True)
class LeaderRow:
    """One leader: ``difference`` and its ends are places on the axis in percent."""

    name: str
    settings: str
    value: str
    rounds: str
    kind: str  # winner | equal | behind | baseline
    word: str
    difference: str
    at: float
    low: float
    high: float


@dataclass(frozen=True)
class LeadersCard:
    """The leaders and the baseline, as differences from the winner; ``band``: what is too small to matter."""

    heading: str
    rows: list[LeaderRow]
    ticks: list[tuple[float, str]]
    band: tuple[float, float]
    zero: float
    foot: str
    axis: str


def leaders_card(found: Confirmation) -> LeadersCard:
    """The winner, the other leaders, and the baseline."""
    of = found.metric
    others = found.leaders[1:MOST_LEADERS]
    behind = [_back(one.behind) for one in others]
    base = _back(shown_gain(found))
    scale = axis_over([end for one in (*behind, base) for end in (one.mean, one.low, one.high)], 2 * found.margin)
    rows = [_row(found.winner, found, scale, Estimate(0.0, 0.0, 0.0, 0), "winner")]
    for leader, difference in zip(others, behind, strict=True):
        rows.append(_row(leader, found, scale, difference, "equal" if leader.equal else "behind"))
    rows.append(_row(found.baseline, found, scale, base, "baseline"))
    left_out = len(found.leaders) - 1 - len(others)
    foot = (
        f"{'Points' if of.percent else 'Nats'} of {of.label} from the winner, over the rounds that both ran. Too close:"
        " the runs cannot distinguish it from the winner, and it may be somewhat worse. Shaded: up to"
        f" {number(found.margin, of)}, too small to matter."
    )
    if left_out:
        foot += f" {counted(left_out, 'further leader')} dropped out early."
    heading = equals_sentence(found, "the winner") or (
        "No other leader comes close to the winner" if others else "The winner was the only leader"
    )
    ticks = [(scale.at(value), tick(value, of)) for value in scale.ticks()]
    band = (scale.at(-found.margin), scale.at(found.margin))
    return LeadersCard(heading.rstrip("."), rows, ticks, band, scale.at(0.0), foot, unit(of))


def _back(found: Estimate) -> Estimate:
    """How much better than the winner, from how much worse."""
    return Estimate(-found.mean + 0.0, -found.high, -found.low, found.n)


_WORDS = {"winner": "Winner", "equal": "Too close", "behind": "Behind", "baseline": "Baseline"}


def _row(leader: Leader, found: Confirmation, scale: PercentAxis, difference: Estimate, kind: str) -> LeaderRow:
    of = found.metric
    estimate = {"winner": found.level, "baseline": found.baseline_level}.get(kind) or interval(
        list(leader.values.values())
    )
    known = math.isfinite(difference.low) and math.isfinite(difference.high)
    ends = (difference.low, difference.high) if known else (scale.low, scale.high)
    settings = ", ".join(
        f"{name} {setting(value)}"
        for name, value in zip(regularizer_words(leader.active), leader.active.values(), strict=True)
    )
    return LeaderRow(
        "Baseline" if kind == "baseline" else f"Trial {leader.number}",
        "all regularizers off" if kind == "baseline" else settings or "no regularizer",
        level_plus_minus(estimate, of),
        counted(len(leader.values), "round"),
        kind,
        _WORDS[kind],
        NONE if kind == "winner" else number(difference.mean, of, signed=True),
        scale.at(difference.mean),
        scale.at(ends[0]),
        scale.at(ends[1]),
    )
