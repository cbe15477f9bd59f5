"""The classes of the winner of a study against those of the baseline, over the fresh rounds that both ran.

In a round both have the same validation images, so the recall of a class is compared round by round. Its interval is
corrected for the number of classes (Bonferroni), since the one that got worst is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from regstudy.analysis.class_gaps import sum_of
from regstudy.analysis.confirmation import Confirmation, Estimate
from regstudy.analysis.ranks import SIGNIFICANCE_LEVEL
from regstudy.space.round_plan import ROUND
from regstudy.study.companion import BASELINE_ARM, arm_of
from regstudy.study.tables import PARAM, Tables

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class FreshClass:
    """One class: images and wrong answers on validation per run, and the shares that are recognized (recalls)."""

    name: str
    images: float
    mistakes: float  # of the winner
    before: float  # recall of the baseline on validation
    after: float  # of the winner
    train_before: float  # on training images, in eval mode
    train_after: float
    change: Estimate  # of the recall on validation, from baseline to winner


def fresh_runs(found: Confirmation, fresh: Tables) -> tuple[list[int], list[int]]:
    """The runs of the winner and of the baseline in the rounds that both finished, as numbers of trials, by round."""
    ended = fresh.trials[fresh.trials["state"] == "COMPLETE"]
    rounds = sorted(set(found.winner.values) & set(found.baseline.values))
    by_arm = []
    for arm in (arm_of(found.winner.number), BASELINE_ARM):
        own = ended[ended["arm"] == arm].drop_duplicates(PARAM + ROUND).set_index(PARAM + ROUND)["number"]
        by_arm.append([int(own[number]) for number in rounds])
    return by_arm[0], by_arm[1]


def fresh_classes(found: Confirmation, fresh: Tables, names: Sequence[str]) -> list[FreshClass] | None:
    """Every class with images, that with most wrong answers of the winner first; None where a run stores no classes."""
    runs = [[fresh.confusion(number) for number in arm] for arm in fresh_runs(found, fresh)]
    whole = [matrix for arm in runs for run in arm for matrix in run.values()]
    if not whole or any(set(run) != {"train", "validation"} for arm in runs for run in arm):
        return None
    if len({len(matrix) for matrix in whole}) > 1:
        return None
    winner, baseline = ({part: sum_of([run[part] for run in arm]) for part in arm[0]} for arm in runs)
    support = winner["validation"].sum(1)
    present = [int(label) for label in np.flatnonzero(support)]
    changes = np.array(
        [_recall(own["validation"]) - _recall(base["validation"]) for own, base in zip(*runs, strict=True)]
    )
    rounds = len(changes)
    classes = [
        FreshClass(
            name=str(names[label]) if len(names) == len(support) else str(label),
            images=float(support[label]) / rounds,
            mistakes=float(support[label] - winner["validation"][label, label]) / rounds,
            before=_recall(baseline["validation"])[label],
            after=_recall(winner["validation"])[label],
            train_before=_recall(baseline["train"])[label],
            train_after=_recall(winner["train"])[label],
            change=_interval(changes[:, label], len(present)),
        )
        for label in present
    ]
    return sorted(classes, key=lambda one: (-one.mistakes, one.after, one.name))


def _recall(matrix: Counts) -> NDArray[np.float64]:
    """The recall of each class; NaN without images."""
    with np.errstate(invalid="ignore"):
        return np.asarray(matrix.diagonal() / matrix.sum(1), dtype=np.float64)


def _interval(values: NDArray[np.float64], classes: int) -> Estimate:
    known = values[np.isfinite(values)]
    mean = float(known.mean()) if len(known) else math.nan
    if len(known) < 2:
        return Estimate(mean, math.nan, math.nan, len(known))
    quantile = float(stats.t.isf(SIGNIFICANCE_LEVEL / 2 / classes, len(known) - 1))
    reach = quantile * float(known.std(ddof=1)) / math.sqrt(len(known))
    return Estimate(mean, mean - reach, mean + reach, len(known))
