"""Which trial would win by another metric, and whether accuracy hides what that one shows.

A trial's values are those of its best epoch by the study's metric. Accuracy itself and the loss are no reason to doubt
a study that decides by something else, so only what `study.also` recorded is asked. Where accuracy decides and some
classes are rare, balanced accuracy is asked in any case: every trial keeps its confusion matrix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from regstudy.analysis.gap import MARGIN
from regstudy.analysis.other_scores import other_scores
from regstudy.metrics import Metric
from regstudy.study.tables import Tables, best

PER_CLASS = ("balanced_accuracy", "macro_f1", "worst_class_recall")  # every class counts alike, however rare
HIDDEN = 0.02  # a difference from which on these show more than the chance choice among similar trials
UNEQUAL = 1.5  # times the images of the smallest class in the largest, from which on some count as rare


@dataclass(frozen=True)
class OtherWinner:
    """The best trial by another metric than the study's, with its value and that of the study's best trial there."""

    metric: Metric
    number: int
    value: float
    value_of_best: float
    hidden: bool  # the study decides by accuracy, and by this metric the rarer classes are worth much more


def other_winners(tables: Tables) -> list[OtherWinner]:
    """Metrics by which another trial is better by more than the margin."""
    top = best(tables)
    if top is None:
        return []
    trials, found = tables.trials[tables.eligible()], []
    columns = other_scores(tables, trials)
    asked = tables.measured.name == "accuracy" and unequal(tables)
    for metric, column in columns.items():
        values, own = column.dropna(), float(column[top.name])
        if metric.name == "accuracy" or values.empty or not math.isfinite(own):
            continue
        if metric not in tables.others and not asked:
            continue
        lead = float(values.max()) - own
        if lead > MARGIN:
            hidden = (
                tables.measured.name == "accuracy" and metric.name in PER_CLASS and lead > HIDDEN and unequal(tables)
            )
            found.append(
                OtherWinner(metric, int(trials.at[values.idxmax(), "number"]), float(values.max()), own, hidden)
            )
    return found


def unequal(tables: Tables) -> bool:
    """Whether some class is known to be much rarer in the validation part than another."""
    counts = tables.data.get("validation_per_class")
    return isinstance(counts, list) and bool(counts) and max(counts) >= UNEQUAL * min(counts)
