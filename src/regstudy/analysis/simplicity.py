"""How simple a trial is, and the simplest of those that one standard error cannot tell from the best.

Without confirmation runs, the validation images are all there is: a trial is as good as the best one if its value is
within one standard error of it (the one-standard-error rule; Breiman et al., Classification and Regression Trees,
1984). The error of an accuracy is that of a share of the validation images, or of groups of them; that of another
metric is known in a study with folds, from the spread over the folds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from regstudy.analysis.share_error import share_error, validation_error
from regstudy.study.tables import Tables, best


@dataclass(frozen=True)
class Simplicity:
    """``active``: a trial's regularizers that are not off, with their values; ``strength``: the sum over them, each as
    a share of the strongest in the study.
    """

    active: dict[str, object]
    strength: float

    @property
    def order(self) -> tuple[int, float]:
        """What sorts the simplest first: fewer regularizers, then weaker ones."""
        return len(self.active), self.strength


def simplicity(tables: Tables, number: int) -> Simplicity:
    """How simple a trial of a search is."""
    trial = tables.trials[tables.trials["number"] == number].iloc[0]
    active, strength = dict[str, object](), 0.0
    for path, off in tables.regularizers.items():
        values = tables.strength(path)
        if values is None or (value := trial[values.name]) == off or pd.isna(value):
            continue
        active[path] = value
        numbers = pd.to_numeric(values, errors="coerce").abs()
        strength += (
            abs(float(value)) / float(numbers.max()) if isinstance(value, int | float) and numbers.max() else 1.0
        )
    return Simplicity(active, strength)


@dataclass(frozen=True)
class OneErrorRule:
    """The best trial, its standard error, the trials within it (the best among them), and the simplest of these."""

    best: int
    error: float
    equals: tuple[int, ...]
    simplest: int


def one_error_rule(tables: Tables, folds: Sequence[float] = ()) -> OneErrorRule | None:
    """The rule for a search without confirmation runs; None if it has no usable trial or the error is unknown.

    ``folds`` are the values of the best trial in each fold, if the study has folds.
    """
    first = best(tables)
    if first is None:
        return None
    number, value = int(first["number"]), float(first["value"])
    error = _standard_error(tables, number, value, folds)
    if error is None:
        return None
    rows = tables.trials[tables.eligible()]
    behind = (value - rows["value"]) * (1 if tables.maximize else -1)
    equals = [int(one) for one in rows.loc[behind <= error, "number"]]
    return OneErrorRule(number, error, tuple(equals), min(equals, key=lambda one: (simplicity(tables, one).order, one)))


def _standard_error(tables: Tables, number: int, value: float, folds: Sequence[float]) -> float | None:
    if tables.metric == "val_accuracy":
        images = int(tables.data.get("validation") or 0)
        found = validation_error(tables, number) or (share_error(value * images, images) if images else None)
        return found.standard_error if found else None
    if len(folds) > 1 and all(map(math.isfinite, folds)):
        return float(np.std(folds, ddof=1) / math.sqrt(len(folds)))
    return None
