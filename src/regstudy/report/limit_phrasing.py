"""What a limit on the gap did to a study's selection, in sentences."""

from __future__ import annotations

import math

from regstudy.analysis.confirmation import Confirmation
from regstudy.analysis.gap import PLACES
from regstudy.analysis.gap_limit import GapLimit, LimitedTrial
from regstudy.metrics import Metric
from regstudy.report.metric_phrasing import amount, score
from regstudy.report.range_phrasing import gain
from regstudy.text import counted


def limit_words(limit: float, of: Metric) -> str:
    """``5.0 points``; a limit that needs more digits has them."""
    shown = f"{100 * limit:.10g}" if of.percent else f"{limit:.10g}"
    return f"{shown if '.' in shown else f'{shown}.0'} {'points' if of.percent else 'nats'}"


def search_limit_sentence(found: GapLimit) -> str:
    """How many trials keep the limit, and what it cost; empty as long as no search trial has finished."""
    of, best, top = found.metric, found.best, found.unlimited
    if not found.finished or top is None:
        return ""
    head = f"The gap may be at most {limit_words(found.limit, of)}"
    if best is None:
        return f"{head}; none of {counted(found.finished, 'finished search trial')} keeps to it."
    head += f"; {found.within:,} of {counted(found.finished, 'finished search trial')} keep to it"
    if best.number == top.number:
        return f"{head}, and so does the best of them: the limit cost nothing."
    if not math.isfinite(top.gap):
        return f"{head}. Without this limit, trial {top.number} would lead the search; its gap is unknown."
    return f"{head}. Without this limit, {_would_lead(top, best, of)} with a gap of {amount(top.gap, of)}."


def unmet_sentences(found: GapLimit) -> tuple[str, list[str]]:
    """That no trial keeps the limit: a headline, and what the smallest gap costs."""
    of, small, top = found.metric, found.smallest, found.unlimited
    headline = f"No search trial keeps its gap within {limit_words(found.limit, of)}, so there is no winner."
    todo = (
        "Widen the ranges toward stronger regularization, get more images, or start a study with a larger"
        " `study.gap_at_most`."
    )
    if small is None or top is None:
        return headline, ["No gap was recorded, so none can be compared with the limit.", todo]
    smallest = f"The smallest gap is {_signed(small.gap, of)} (trial {small.number}, {score(small.value, of)})"
    if small.number == top.number:
        return headline, [f"{smallest}, which is also the best search trial.", todo]
    cost = f"{amount(abs(_ahead(top, small)), of)} worse than the best search trial, {top.number}, whose gap is"
    return headline, [f"{smallest}. It is {cost} {_signed(top.gap, of)}.", todo]


def fresh_limit_sentence(found: Confirmation) -> str:
    """Whether what is recommended keeps the limit on fresh seeds; empty without a limit or without gaps."""
    of, limit = found.metric, found.gap_at_most
    if limit is None:
        return ""
    winner = found.recommended is found.winner
    who, gap = ("winner's", found.gap) if winner else ("baseline's", found.baseline_gap)
    if not math.isfinite(gap.mean):
        return "The fresh gap is unknown, so nothing says whether the limit holds."
    told = f"On fresh seeds the {who} gap is {gain(gap, of)}"
    words = {
        "kept": f"within the limit of {limit_words(limit, of)}.",
        "broken": f"above the limit of {limit_words(limit, of)}: it does not hold.",
        "undecided": f"too uncertain to say whether the limit of {limit_words(limit, of)} holds.",
    }
    return f"{told}, {words[found.limit_kept or 'undecided']}"


def _would_lead(top: LimitedTrial, best: LimitedTrial, of: Metric) -> str:
    return f"trial {top.number} would lead the search by {amount(_ahead(top, best), of)}"


def _ahead(top: LimitedTrial, other: LimitedTrial) -> float:
    """The difference of the two values as they are shown."""
    return abs(round(top.value, PLACES) - round(other.value, PLACES))


def _signed(gap: float, of: Metric) -> str:
    return ("−" if round(gap, PLACES) < 0 else "") + amount(gap, of)
