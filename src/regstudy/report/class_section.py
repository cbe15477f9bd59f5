"""Who is hit: the section with the gap of each class, and sentences about classes and groups."""

from __future__ import annotations

import math
from dataclasses import replace

from regstudy.analysis.balance_effect import BalanceEffect, balance_effects
from regstudy.analysis.class_gaps import ClassGap, ClassGaps, class_gaps, pooled_class_gaps
from regstudy.analysis.fresh_classes import fresh_runs
from regstudy.analysis.share_error import ShareError
from regstudy.report.grids import Grid
from regstudy.report.phrasing import NONE, minus, percent
from regstudy.report.report_section import Findings, ReportSection
from regstudy.report.verdict_phrasing import nothing_learned_words
from regstudy.text import counted

CLASSES_ID, CLASSES_TITLE = "classes", "By class"
MAX_CLASSES_OPEN = 20  # with more, the table shows the worst ones and the rest is folded
MIN_MIX = 0.005  # of a gap, to be worth a note
NONE_STANDS_OUT = "No class stands out: no class has a larger gap than the other images, beyond chance."
HOW_CLASSES_ARE_JUDGED = [
    "Recall is the share of a class's images that are recognized. A class adds its gap times its share of the "
    "validation images to the gap in accuracy (times 1 / number of classes to that in balanced accuracy).",
    "A class is named only if it has at least 5 validation images (or groups) and its gap is larger than that of all "
    "other images together: a one-sided z-test at the 5 % level, corrected for the number of classes (Bonferroni), "
    "with two right and two wrong answers added to each count. The gap is “mostly” in a class that adds more than half "
    "of it.",
    "Intervals are 95 % limits of the recall on validation: Wilson's, or, where groups are known, on the logit scale "
    "with the class's groups as independent units. Small classes have wide intervals.",
]


def class_section(found: Findings) -> ReportSection | None:
    """The classes of the best trial, worst first, and the change from the baseline; None without the counts."""
    comparison, tables = found.comparison, found.tables
    if comparison.best is None:
        return None
    baseline = comparison.baseline.number if comparison.baseline else None
    gaps, fresh = _of_fresh_runs(found), True
    if gaps is None:
        gaps, fresh = class_gaps(tables, comparison.best.number, baseline), False
    if gaps is None:
        return None
    if comparison.nothing_learned:
        unlearned = nothing_learned_words(comparison.constant, balanced=comparison.balanced)
        return ReportSection(CLASSES_ID, CLASSES_TITLE, unlearned)
    changed = any(math.isfinite(one.change) for one in gaps.classes)
    if fresh and found.confirmation is not None:
        note = f"The winner, trial {found.confirmation.winner.number}, in its fresh rounds together, worst class first."
        against = "the baseline in the same rounds"
    else:
        note = f"The best trial ({comparison.best.number}) at its best epoch, worst class first."
        against = f"the best baseline trial ({baseline})"
    if changed:
        note += f" The change is that of recall on validation from {against}."
    notes = [note, *mix_note(gaps)]
    opposed = [balance_sentence(effect) for effect in balance_effects(tables)]
    finding = " ".join([class_sentence(gaps) or NONE_STANDS_OUT, *opposed])
    grids = class_grids(gaps, changed=changed)
    folded = gaps.named is None and not opposed
    return ReportSection(CLASSES_ID, CLASSES_TITLE, finding, notes, grids, method=HOW_CLASSES_ARE_JUDGED, folded=folded)


def _of_fresh_runs(found: Findings) -> ClassGaps | None:
    """The classes of the winner of the confirmation runs; None where there is none, or their counts are unknown."""
    if found.confirmation is None or found.fresh is None:
        return None
    data = found.fresh.data | {"classes": found.tables.data.get("classes") or []}
    return pooled_class_gaps(replace(found.fresh, data=data), *fresh_runs(found.confirmation, found.fresh))


def class_sentence(gaps: ClassGaps) -> str:
    """Which class the gap is in, if the data support one; else empty."""
    if gaps.named is None:
        return ""
    which = "The gap in balanced accuracy" if gaps.balanced else "The gap"
    if gaps.mostly:
        return (
            f"{which} is mostly in class '{gaps.named.name}': {tenths(gaps.named.points)} of its {tenths(gaps.gap)} "
            "points."
        )
    return (
        f"The gap is largest in class '{gaps.named.name}': {tenths(gaps.named.gap)} points, against "
        f"{tenths(gaps.named.others)} points in all other images."
    )


def mix_note(gaps: ClassGaps) -> list[str]:
    """What the gap would be with equal shares of the classes, if that differs."""
    if abs(gaps.mix) < MIN_MIX:
        return []
    return [
        f"Train (eval mode) and validation have different shares of the classes, which alone changes the gap by "
        f"{tenths(gaps.mix, signed=True)} points. The classes add up to the rest, {tenths(gaps.gap)} points."
    ]


def class_grids(gaps: ClassGaps, *, changed: bool) -> list[Grid]:
    """The classes, worst first; of very many the worst, with all of them folded."""
    grouped = any(one.validation.groups is not None for one in gaps.classes)
    head = [
        "class",
        "images: train / validation",
        *(["validation groups"] if grouped else []),
        "recall, train (eval mode)",
        "recall, validation",
        "95 % limits",
        "gap (points)",
        "adds to the gap (points)",
        *(["change (points)"] if changed else []),
    ]
    rows = [_row(one, grouped=grouped, changed=changed) for one in gaps.classes]
    strong = frozenset(i for i, one in enumerate(gaps.classes) if one is gaps.named)
    numeric = frozenset(range(1, len(head)))
    if len(rows) <= MAX_CLASSES_OPEN:
        return [Grid(head, rows, numeric, strong)]
    worst = Grid(head, rows[: MAX_CLASSES_OPEN // 2], numeric, strong)
    return [worst, Grid(head, rows, numeric, strong, tall=True, folded=f"All {len(rows):,} classes")]


def _row(one: ClassGap, *, grouped: bool, changed: bool) -> list[str]:
    limits = f"{percent(one.validation.low)} to {percent(one.validation.high)}".replace(" ", "\N{NO-BREAK SPACE}")
    cells = [
        one.name,
        f"{one.train_images:,} / {one.validation.images:,}",
        *([NONE if one.validation.groups is None else f"{one.validation.groups:,}"] if grouped else []),
        percent(one.recall_train),
        percent(one.validation.value),
        limits,
        tenths(one.gap),
        tenths(one.points),
    ]
    return [*cells, tenths(one.change, signed=True)] if changed else cells


def tenths(fraction: float, *, signed: bool = False) -> str:
    """0.382 → ``38.2``, or ``+38.2``; points of a share."""
    if not math.isfinite(fraction):
        return NONE
    rounded = round(100 * fraction, 1) + 0.0
    return minus(f"{rounded:+.1f}" if signed and rounded else f"{rounded:.1f}")


def groups_sentence(error: ShareError | None) -> str:
    """How many independent groups the validation part has and what that does to the error; empty without groups."""
    if error is None or error.groups is None:
        return ""
    alone = error.standard_error / math.sqrt(error.design_effect)
    return (
        f"The {counted(error.images, 'validation image')} are {counted(error.groups, 'independent group')} "
        f"(data.group), so a validation accuracy of {percent(error.value)} has a standard error of "
        f"{tenths(error.standard_error)} points (95 % limits {percent(error.low)} to {percent(error.high)}); as many "
        f"independent images would have {tenths(alone)}."
    )


def balance_sentence(effect: BalanceEffect) -> str:
    """That balancing moved two metrics in opposite directions."""
    up, down = ("more", "less") if effect.accuracy > 0 else ("less", "more")
    return (
        f"Balancing the classes (training.balance: {effect.way}) moved accuracy and balanced accuracy in opposite "
        f"directions: {counted(effect.runs, 'run')} with it have {tenths(abs(effect.accuracy))} points {up} accuracy "
        f"and {tenths(abs(effect.balanced_accuracy))} points {down} balanced accuracy than {effect.others} without, on "
        "average."
    )
