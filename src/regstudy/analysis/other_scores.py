"""What trials score in metrics other than the one that decides: recorded ones, and balanced accuracy in any case."""

from __future__ import annotations

import math

import pandas as pd

from regstudy.analysis.class_gaps import balanced_accuracy
from regstudy.metrics import METRICS, Metric
from regstudy.study.tables import Tables

BALANCED = METRICS["balanced_accuracy"]


def other_scores(tables: Tables, rows: pd.DataFrame) -> dict[Metric, pd.Series]:
    """The scores of trials at their best epoch, by metric; ``rows`` are some of `Tables.trials`.

    Balanced accuracy follows from the confusion matrix that every trial keeps, NaN for those of earlier versions.
    """
    found = {metric: rows[metric.val] for metric in tables.others}
    if BALANCED not in found and tables.measured is not BALANCED:
        found[BALANCED] = rows["number"].map(lambda number: _from_confusion(tables, int(number))).astype("float64")
    return found


def _from_confusion(tables: Tables, number: int) -> float:
    matrix = tables.confusion(number).get("validation")
    return math.nan if matrix is None else balanced_accuracy(matrix)
