"""The bar of a report's first screen: how much of what the search promised is real."""

from __future__ import annotations

from dataclasses import dataclass

from regstudy.analysis.confirmation import Confirmation
from regstudy.report.answer_phrasing import shown_luck
from regstudy.report.metric_phrasing import score, unit
from regstudy.report.range_phrasing import level_plus_minus, number, shown_gain


@dataclass(frozen=True)
class LuckBar:
    """How much of what the search promised is real; ``held`` is a share of the bar in percent."""

    promised: str
    base: str
    searched: str
    held: float
    held_text: str
    luck_text: str
    label: str
    level: str


def luck_bar(found: Confirmation) -> LuckBar | None:
    """None where the search promised no gain over the baseline's fresh runs, and where too few rounds have run."""
    of, held, luck = found.metric, shown_gain(found).mean, shown_luck(found)
    promised = held + luck
    if found.status == "too few rounds" or not promised > 0 or not number(promised, of).strip("0."):
        return None
    share = 100 * min(max(held / promised, 0.0), 1.0)
    held_text = f"{number(held, of, signed=True)} held up" if held > 0 else f"{number(held, of)}: nothing held up"
    luck_text = f"{number(luck, of)} {'were' if of.percent else 'was'} luck" if luck > 0 else "no luck in it"
    return LuckBar(
        f"{number(promised, of)} {unit(of)}",
        score(found.baseline_level.mean, of),
        score(found.winner.searched, of),
        round(share, 1),
        held_text,
        luck_text,
        f"{held_text}, {luck_text}",
        level_plus_minus(found.level, of),
    )
