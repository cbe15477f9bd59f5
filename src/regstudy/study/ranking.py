"""Which trials of a study are usable, and which one is best.

A study may have a limit on the gap (`study.gap_at_most`): then only trials within it may win. The baseline is what the
others are compared with, so no limit holds for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from regstudy.errors import StudyError
from regstudy.metrics import Metric, metric_or_accuracy
from regstudy.records import FOLD
from regstudy.study import attributes
from regstudy.study.stored_facts import fact

ROUNDING = 1e-9  # 0.9 − 0.82 is a gap of 0.08, which computers find a little larger


def direction_of(study: optuna.Study) -> StudyDirection:
    """Whether a study minimizes or maximizes its objective; StudyError unless it has exactly one."""
    if len(study.directions) != 1:
        raise StudyError(
            f"The study '{study.study_name}' has {len(study.directions)} objectives, but this needs a study with one."
            " Open it with optuna-dashboard instead."
        )
    return study.directions[0]


def usable_trials(
    study: optuna.Study, *, limited: bool = True, trials: Sequence[FrozenTrial] | None = None
) -> list[FrozenTrial]:
    """Completed trials that did not diverge, best first; if ``limited``, those within the study's limit on the gap.

    ``trials`` are the trials of the study, if the caller has just read them.
    """
    sign = -1.0 if direction_of(study) == StudyDirection.MAXIMIZE else 1.0
    if trials is None:
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    usable = [trial for trial in complete if trial.user_attrs.get(attributes.OUTCOME) != "diverged"]
    limit = fact(study, attributes.GAP_AT_MOST)
    if limited and limit is not None:
        of = metric_or_accuracy(fact(study, attributes.METRIC))
        usable = [trial for trial in usable if within(gap_of_trial(trial, of), limit)]
    return sorted(usable, key=lambda trial: (sign * (trial.value or 0.0), trial.number))


def excess(gap: float, limit: float) -> float:
    """By how much a gap is above a limit: at most 0 if it keeps to it, NaN if it was not recorded."""
    return gap - limit - ROUNDING


def within(gap: float, limit: float | None) -> bool:
    """Whether a gap keeps to a limit, if there is one; one that was not recorded does not."""
    return limit is None or excess(gap, limit) <= 0


def best_value(study: optuna.Study) -> float | None:
    """The best objective value so far, None if there is none."""
    best = usable_trials(study)[:1]
    return best[0].value if best else None


def gap_of_trial(trial: FrozenTrial | Trial, of: Metric) -> float:
    """The gap of a trial at its best epoch, with folds the mean over theirs; NaN if it was not recorded."""
    stored = fact(trial, attributes.EPOCHS) or {"columns": (), "rows": ()}
    columns, rows = list(stored["columns"]), stored["rows"]
    if not rows or not {of.clean_train, of.val} <= set(columns):
        return math.nan
    table = np.array(rows, dtype=np.float64)  # the words for what JSON lacks become numbers, too
    folds = table[:, columns.index(FOLD)] if FOLD in columns else np.ones(len(table))
    ended = fact(trial, attributes.FOLDS) or [{"best_epoch": fact(trial, attributes.BEST_EPOCH)}]
    epochs, found = table[:, columns.index("epoch")], []
    for fold, one in enumerate(ended, start=1):
        for row in table[(folds == fold) & (epochs == one["best_epoch"])][:1]:
            found.append(of.gap(row[columns.index(of.clean_train)], row[columns.index(of.val)]))
    return float(np.mean(found)) if found else math.nan
