"""The card of a report's first screen with the classes in which the winner makes most of its mistakes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from regstudy.analysis.confirmation import Confirmation
from regstudy.analysis.fresh_classes import FreshClass
from regstudy.metrics import METRICS
from regstudy.report.percent_axis import PercentAxis
from regstudy.report.range_phrasing import number
from regstudy.text import counted

MOST_CLASSES = 3
ACCURACY = METRICS["accuracy"]  # recalls are shares


@dataclass(frozen=True)
class ClassRow:
    """One class: places on the axis of recalls in percent."""

    name: str
    images: str
    before: float
    after: float
    training: float
    gaps: tuple[str, str]
    label: str


@dataclass(frozen=True)
class ClassCard:
    """The classes with most mistakes."""

    heading: str
    rows: list[ClassRow]
    ends: tuple[str, str]
    foot: str


def class_card(found: Confirmation, classes: list[FreshClass] | None) -> ClassCard | None:
    """The classes in which the winner makes most of its mistakes; None where they are unknown."""
    if not classes or not sum(one.mistakes for one in classes):
        return None
    total = sum(one.mistakes for one in classes)
    worst = classes[:MOST_CLASSES]
    part = sum(one.mistakes for one in worst)
    low = math.floor(10 * min(min(one.before, one.after) for one in worst) - 1e-9) / 10
    scale = PercentAxis(max(low, 0.0), 1.0)
    rows = []
    for one in worst:
        gaps = (one.train_before - one.before, one.train_after - one.after)
        rows.append(
            ClassRow(
                one.name,
                counted(round(one.images), "image"),
                scale.at(one.before),
                scale.at(one.after),
                scale.at(one.train_after),
                (number(gaps[0], ACCURACY), number(gaps[1], ACCURACY)),
                f"{one.name}: validation {number(one.before, ACCURACY)} to {number(one.after, ACCURACY)} percent, "
                f"training {number(one.train_after, ACCURACY)} percent",
            )
        )
    classes_words = "One class holds" if len(worst) == 1 else f"{('Two', 'Three')[len(worst) - 2]} classes hold"
    few = min(worst, key=lambda one: one.images)
    error = 196 * math.sqrt(max(few.after * (1 - few.after), 0.01) / few.images) / 100
    foot = f"{_worse(classes)} Mistakes per run, mean of {counted(found.rounds, 'fresh round')}."
    if error > 0.05:
        foot += f" With {round(few.images)} images of {few.name}, its share is good to ± {100 * error:.0f} points."
    heading = f"{classes_words} {part:.0f} of the {total:.0f} mistakes that are left"
    return ClassCard(heading, rows, (f"{100 * scale.low:.0f}\N{NO-BREAK SPACE}%", "100\N{NO-BREAK SPACE}%"), foot)


def _worse(classes: list[FreshClass]) -> str:
    """Whether a class is worse in the winner than in the baseline, beyond chance."""
    worse = [one for one in classes if one.change.high < 0]
    if not worse:
        unknown = all(math.isnan(one.change.high) for one in classes)
        return "" if unknown else "No class is clearly worse than in the baseline."
    named = ", ".join(f"{one.name} ({number(one.change.mean, ACCURACY, signed=True)} points)" for one in worse[:3])
    return f"Worse than in the baseline: {named}."
