"""Whether `training.balance` moved accuracy and balanced accuracy in opposite directions.

Both come from the stored confusion matrices, so that neither needs to be recorded. A change counts if it is larger
than the margin of equal accuracies and than `MIN_ERRORS` standard errors of a difference between means (Welch).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from regstudy.analysis.class_gaps import accuracy, balanced_accuracy
from regstudy.analysis.gap import MARGIN
from regstudy.study.tables import Tables

PATH, OFF = "training.balance", "none"
MIN_RUNS = 3  # on each side
MIN_ERRORS = 2.0


@dataclass(frozen=True)
class BalanceEffect:
    """Runs with the classes balanced in one way against runs without: changes of the means, in 0..1."""

    way: str
    runs: int
    others: int
    accuracy: float
    balanced_accuracy: float


def balance_effects(tables: Tables, numbers: Sequence[int] | None = None) -> list[BalanceEffect]:
    """Each way of balancing that moved the two in opposite directions, among the observed trials (of ``numbers``)."""
    trials = tables.trials[tables.observed()]
    if PATH not in trials.columns:
        return []
    if numbers is not None:
        trials = trials[trials["number"].isin(numbers)]
    if trials[PATH].nunique() < 2:
        return []
    scores: dict[str, list[tuple[float, float]]] = {}
    for number, way in zip(trials["number"], trials[PATH], strict=True):
        matrix = tables.confusion(int(number)).get("validation")
        if isinstance(way, str) and matrix is not None and matrix.sum():
            scores.setdefault(way, []).append((accuracy(matrix), balanced_accuracy(matrix)))
    without = np.array(scores.pop(OFF, []))
    found = []
    for way, values in scores.items():
        among = np.array(values)
        if min(len(among), len(without)) < MIN_RUNS:
            continue
        change = among.mean(0) - without.mean(0)
        error = np.sqrt(among.var(0, ddof=1) / len(among) + without.var(0, ddof=1) / len(without))
        sure = (np.abs(change) > MARGIN) & (np.abs(change) > MIN_ERRORS * error)
        if sure.all() and math.prod(change) < 0:
            found.append(BalanceEffect(way, len(among), len(without), float(change[0]), float(change[1])))
    return found
