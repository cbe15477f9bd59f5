"""A sentence per interaction of two regularizers that stands."""

from __future__ import annotations

from regstudy.analysis.ablation import Change
from regstudy.analysis.interactions import Interaction, Kind
from regstudy.metrics import Metric
from regstudy.report.ablation_phrasing import estimate
from regstudy.report.metric_phrasing import unit, validation_name
from regstudy.report.phrasing import capital
from regstudy.report.range_phrasing import number, span

_ONLY: dict[Kind, str] = {
    "either is enough": "either of {0} and {1} is enough",
    "first only without second": "{0} {helps} only without {1}",
    "second only without first": "{1} {helps} only without {0}",
    "first only with second": "{0} {helps} only with {1}",
    "second only with first": "{1} {helps} only with {0}",
    "only together": "{0} and {1} {help} only together",
    "less together": "{0} and {1} each do less in the presence of the other",
    "more together": "{0} and {1} each do more in the presence of the other",
}
_SECOND: tuple[Kind, ...] = ("second only without first", "second only with first")


def interaction_sentence(found: Interaction, of: Metric) -> str:
    """``Dropout helps only without mix-up: +2.1 points of validation (1.2 to 3.0) without it, −0.1 with it.``"""
    metric = found.measure == "metric"
    helps, help_ = ("helps", "help") if metric else ("narrows the gap", "narrow the gap")
    head = _ONLY[found.kind].format(found.first, found.second, helps=helps, help=help_)
    if not metric and found.kind in ("either is enough", "less together", "more together"):
        head = f"for the gap, {head}"
    second = found.kind in _SECOND
    name, other = (found.second, found.first) if second else (found.first, found.second)
    without, with_ = (found.second_without, found.second_with) if second else (found.first_without, found.first_with)
    what = f"{unit(of)} of {validation_name(of)}" if metric and of.percent else f"{unit(of)}"
    by = "" if metric and of.percent else " better" if metric else " less gap"
    alone = f"{_size(without, of)} {what}{by} ({span(estimate(without), of)}) without {other}"
    return f"{capital(head)}: {name} gives {alone}, and {_size(with_, of)} ({span(estimate(with_), of)}) with it."


def _size(found: Change, of: Metric) -> str:
    return number(found.mean, of, signed=True)
