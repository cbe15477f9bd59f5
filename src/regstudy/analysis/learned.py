"""Whether networks have learned: which trials have a meaningful gap, and whether any beats a constant answer.

An untrained network has no gap, and counting it would make every regularizer that ruins training look like a cure. So a
gap is compared only among trials that completed, did not diverge, and whose value on training images in eval mode is
hardly worse than that of the best baseline trial: by `CLEAN_TRAIN_TOLERANCE` in a share, and in the loss by
`LOSS_TOLERANCE` of what a constant answer loses. The constant answers of macro F1 and of the worst class's recall are
beaten by random guessing, so beating them shows nothing by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from regstudy.analysis.constant_answer import ConstantAnswer, constant_answer
from regstudy.analysis.other_scores import other_scores
from regstudy.metrics import Metric
from regstudy.study.tables import Tables, best

CLEAN_TRAIN_TOLERANCE = 0.05  # of a share
LOSS_TOLERANCE = 0.1  # of the loss of the best constant answer, or in nats where that is unknown
NEAR_CONSTANT = 0.1, 0.2  # of a share, and of what is left above it: within both, a network has barely learned
NEAR_CONSTANT_LOSS = 0.1  # of the constant answer's loss, below it
COSTS_OF_BALANCING = ("accuracy", "loss")  # count each image alike, so that balanced training makes them worse
SURE_SIGNS = ("balanced_accuracy", "auroc", "average_precision")  # clearly above the constant answer only by learning


@dataclass(frozen=True)
class Qualification:
    """Which trials may be compared by their gap, and how many were excluded."""

    mask: pd.Series  # one bool per row of the trial table
    metric: Metric
    reference: float  # on training images in eval mode, which others must come near; NaN if there is none
    tolerance: float  # how much worse others may be
    from_baseline: bool
    excluded: int  # observed to the end, but too much worse on training images


def qualify(tables: Tables) -> Qualification:
    """Mark the trials that trained well enough for a meaningful gap."""
    metric, reference_row = tables.measured, best(tables, "baseline")
    from_baseline = reference_row is not None and math.isfinite(reference_row[metric.clean_train])
    if not from_baseline:
        reference_row = best(tables, limited=False)
    reference = math.nan if reference_row is None else float(reference_row[metric.clean_train])
    clean, allowed = tables.trials[metric.clean_train], tolerance(tables)
    observed = tables.observed() & clean.notna() & tables.trials[tables.gap].notna()
    near = clean >= reference - allowed if metric.maximize else clean <= reference + allowed
    mask = observed & near
    return Qualification(mask, metric, reference, allowed, from_baseline, int((observed & ~mask).sum()))


def tolerance(tables: Tables) -> float:
    """How much worse than the best baseline trial a comparable trial may be on training images, in the study's unit."""
    if tables.measured.percent:
        return CLEAN_TRAIN_TOLERANCE
    constant = constant_answer(tables.data, tables.measured.val, tables.doctor)
    return LOSS_TOLERANCE * (constant.value if constant else 1.0)


def barely_learned(value: float, constant: ConstantAnswer, metric: Metric) -> bool:
    """Whether a value is hardly better than that of a constant answer, or worse."""
    known = constant.value
    if not metric.maximize:
        return value > known * (1 - NEAR_CONSTANT_LOSS)
    return value < known + min(known, NEAR_CONSTANT[0], NEAR_CONSTANT[1] * (1 - known))


def nothing_learned(tables: Tables) -> bool:
    """Whether trials have ended, and none of them, pruned ones included, beats the best constant answer.

    Neither in the study's metric nor in accuracy: a confident network can learn and still have a high loss. Nor clearly
    in another metric: with unequal classes, a network can have learned much and be no more accurate.
    """
    trials = tables.trials
    ended = trials[trials["state"].isin(["COMPLETE", "PRUNED"]) & (trials["outcome"] != "diverged")]
    judged = [
        (constant, ended[column].dropna())
        for metric, column in ((tables.metric, "value"), ("val_accuracy", "val_accuracy"))
        if (constant := constant_answer(tables.data, metric, tables.doctor)) is not None
    ]
    values = [(constant, value) for constant, column in judged for value in column]
    beaten = any(constant.beaten_by(value) for constant, value in values)
    return bool(values) and not beaten and not _clear_in_another(tables, ended)


def _clear_in_another(tables: Tables, ended: pd.DataFrame) -> bool:
    for metric, values in other_scores(tables, ended).items():
        constant = constant_answer(tables.data, metric.val, tables.doctor)
        if constant is None or metric.name not in SURE_SIGNS:
            continue
        if any(not barely_learned(value, constant, metric) for value in values.dropna()):
            return True
    return False


def balancing(tables: Tables) -> bool:
    """Whether some trials balance the classes, which may make the study's metric worse."""
    chosen = tables.trials.get("training.balance", ())
    costly = tables.measured.name in COSTS_OF_BALANCING
    return costly and any(isinstance(value, str) and value != "none" for value in chosen)
