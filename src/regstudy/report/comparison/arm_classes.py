"""Who is hit, by arm: recall and gap of each class over an arm's runs, and what groups do to the error."""

from __future__ import annotations

import math

from regstudy.analysis.arm_statistics import Comparison
from regstudy.analysis.balance_effect import PATH, balance_effects
from regstudy.analysis.class_gaps import ClassGap, ClassGaps, pooled_class_gaps
from regstudy.analysis.share_error import validation_error
from regstudy.report.class_section import (
    CLASSES_ID,
    CLASSES_TITLE,
    HOW_CLASSES_ARE_JUDGED,
    MAX_CLASSES_OPEN,
    NONE_STANDS_OUT,
    balance_sentence,
    class_sentence,
    groups_sentence,
    tenths,
)
from regstudy.report.grids import Grid
from regstudy.report.phrasing import NONE, percent
from regstudy.report.report_section import ReportSection


def arm_classes(found: Comparison) -> ReportSection | None:
    """The classes of every arm, worst in the first arm first; None unless the first arm stored the counts."""
    first = found.arms[0].name
    arms = {arm.name: gaps for arm in found.arms if (gaps := _gaps(found, arm.name)) is not None}
    if first not in arms:
        return None
    named = {name: sentence for name, gaps in arms.items() if (sentence := class_sentence(gaps))}
    opposed = _opposed(found)
    finding = " ".join([*(f"{name}: {sentence}" for name, sentence in named.items()), *opposed]) or NONE_STANDS_OUT
    by_arm = {name: {one.name: one for one in gaps.classes} for name, gaps in arms.items()}
    order = [one.name for one in arms[first].classes]
    rows = [
        [name, _images(by_arm[first][name], len(_numbers(found, first)))]
        + [_cell(by_arm[arm].get(name), None if arm == first else by_arm[first][name]) for arm in arms]
        for name in order
    ]
    head = ["class", "validation images", *arms]
    names = {gaps.named.name for gaps in arms.values() if gaps.named is not None}
    strong = frozenset(i for i, name in enumerate(order) if name in names)
    grids = [Grid(head, rows[:MAX_CLASSES_OPEN], frozenset({1}), strong)]
    if len(rows) > MAX_CLASSES_OPEN:
        grids[0] = Grid(head, rows[: MAX_CLASSES_OPEN // 2], frozenset({1}), strong)
        grids.append(Grid(head, rows, frozenset({1}), strong, tall=True, folded=f"All {len(rows):,} classes"))
    notes = [
        "Recall on validation at the best epoch, over all runs of an arm, with its 95 % limits, its change from "
        f"{first} (points), and the gap: recall in train (eval mode) minus validation. Worst class first."
    ]
    method = [*HOW_CLASSES_ARE_JUDGED, "The runs of an arm share most of their images, so they count as one."]
    folded = not named and not opposed
    return ReportSection(CLASSES_ID, CLASSES_TITLE, finding, notes, grids, method=method, folded=folded)


def arm_groups(found: Comparison) -> str:
    """What groups do to the error of the first run that knows them; empty without groups."""
    numbers = [number for arm in found.arms for number in _numbers(found, arm.name)]
    sentences = (groups_sentence(validation_error(found.tables, number)) for number in numbers)
    return next(filter(None, sentences), "")


def _numbers(found: Comparison, arm: str) -> list[int]:
    return [int(number) for number in found.runs.loc[found.runs["arm"] == arm, "number"]]


def _gaps(found: Comparison, arm: str) -> ClassGaps | None:
    return pooled_class_gaps(found.tables, _numbers(found, arm))


def _images(one: ClassGap, runs: int) -> str:
    return f"{round(one.validation.images / runs):,}"


def _cell(one: ClassGap | None, against: ClassGap | None) -> str:
    """Recall with its limits, its change and the gap, as in ``81.2 % (70.1 % to 88.9 %), +2.3; gap 12.0``."""
    if one is None:
        return NONE
    recall = f"{percent(one.validation.value)} ({percent(one.validation.low)} to {percent(one.validation.high)})"
    change = "" if against is None else f", {tenths(one.validation.value - against.validation.value, signed=True)}"
    gap = f"; gap {tenths(one.gap)}" if math.isfinite(one.gap) else ""
    return recall + change + gap


def _opposed(found: Comparison) -> list[str]:
    """Of arms that differ in nothing but how they balance the classes."""
    alike: dict[str, list[int]] = {}
    for name, config in found.plan.arms.items():
        rest = config.replaced({PATH: "none"}).model_dump_json()
        alike.setdefault(rest, []).extend(_numbers(found, name))
    return [balance_sentence(effect) for runs in alike.values() for effect in balance_effects(found.tables, runs)]
