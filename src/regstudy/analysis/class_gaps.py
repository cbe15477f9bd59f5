"""Which classes the gap is in: recall of each class in train (eval mode) and validation, from confusion matrices.

The gap in accuracy is a sum over classes: each class adds its own gap, weighted by its share of the validation images;
in balanced accuracy all classes have equal weights. What is left over comes from other shares of the classes in the
two parts (``mix``). Recalls, gaps and shares are fractions in 0..1.

A class stands out if its gap is larger than that of all other images together, at the 5 % level after correction for
the number of classes (Bonferroni, since the worst of several is looked at). Of such classes, the one that adds most is
named, and the gap is *mostly* in it if it adds more than half. Variances are binomial with two right and two wrong
answers added (Agresti and Coull, 1998), since small classes often have none of one kind, times the design effect of
groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from regstudy.analysis.share_error import ShareError, share_error, validation_error
from regstudy.study.tables import Tables

Counts = NDArray[np.int64]
LEVEL = 0.05
MIN_GAP = 0.02  # a smaller gap has no place worth naming
MIN_SUPPORT = 5  # of a class that is named


@dataclass(frozen=True)
class ClassGap:
    """One class of one trial at its best epoch.

    ``points`` is what it adds to the gap, ``change`` its recall on validation minus that of the baseline; NaN where
    there is nothing to compare. ``z`` compares its gap with that of all other images, in standard errors.
    """

    name: str
    train_images: int
    recall_train: float
    validation: ShareError
    points: float
    z: float
    change: float = math.nan

    @property
    def gap(self) -> float:
        """Recall in train (eval mode) minus recall on validation."""
        return self.recall_train - self.validation.value


@dataclass(frozen=True)
class ClassGaps:
    """All classes with images, worst first (by recall on validation), and the gap that they add up to.

    ``named`` is the class that stands out, if one does. ``balanced``: the gap is that in balanced accuracy.
    """

    classes: list[ClassGap]
    gap: float
    mix: float
    balanced: bool
    named: ClassGap | None

    @property
    def mostly(self) -> bool:
        """Whether the class that stands out adds more than half of the gap."""
        return self.named is not None and self.named.points > self.gap / 2


def class_gaps(tables: Tables, number: int, baseline: int | None = None) -> ClassGaps | None:
    """The classes of one trial, with the change from another; None without confusion matrices of both parts."""
    own = tables.confusion(number)
    if not {"train", "validation"} <= own.keys() or own["train"].shape != own["validation"].shape:
        return None
    if not own["train"].sum() or not own["validation"].sum():
        return None
    names = [str(name) for name in tables.data.get("classes") or ()]
    if len(names) != len(own["validation"]):
        names = [str(label) for label in range(len(own["validation"]))]
    error = validation_error(tables, number)
    before = tables.confusion(baseline).get("validation") if baseline not in (None, number) else None  # type: ignore[arg-type]
    comparable = before is not None and np.array_equal(before.sum(1), own["validation"].sum(1))
    return _class_gaps(
        names,
        own["train"],
        own["validation"],
        before if comparable else None,
        error.design_effect if error else 1.0,
        balanced=tables.metric == "val_balanced_accuracy",
    )


def balanced_accuracy(matrix: Counts) -> float:
    """The mean recall of the classes with images; NaN without images."""
    support = matrix.sum(1)
    present = support > 0
    return float((matrix.diagonal()[present] / support[present]).mean()) if present.any() else math.nan


def accuracy(matrix: Counts) -> float:
    """The share of right answers; NaN without images."""
    return float(matrix.trace() / matrix.sum()) if matrix.sum() else math.nan


def _class_gaps(
    names: Sequence[str],
    train: Counts,
    validation: Counts,
    before: Counts | None,
    effect: float,
    *,
    balanced: bool,
) -> ClassGaps:
    seen, support = train.sum(1), validation.sum(1)
    hits, right = train.diagonal(), validation.diagonal()
    both = np.flatnonzero((seen > 0) & (support > 0))
    weight = np.zeros(len(support))
    weight[both] = 1 / max(len(both), 1) if balanced else support[both] / support[both].sum()
    changes = (right - before.diagonal()) / np.maximum(support, 1) if before is not None else None
    found = []
    for label in np.flatnonzero(support):
        recall = float(hits[label] / seen[label]) if seen[label] else math.nan
        measured = share_error(float(right[label]), int(support[label]), effect)
        others = (hits.sum() - hits[label], seen.sum() - seen[label])
        rest = (right.sum() - right[label], support.sum() - support[label])
        own, variance = _gap((hits[label], seen[label]), (right[label], support[label]), effect)
        other, more = _gap(others, rest, effect)
        points = float(weight[label] * (recall - measured.value)) if seen[label] else 0.0
        change = math.nan if changes is None else float(changes[label])
        z = (own - other) / math.sqrt(variance + more)
        found.append(ClassGap(names[label], int(seen[label]), recall, measured, points, z, change))
    if balanced:
        whole = balanced_accuracy(train) - balanced_accuracy(validation)
    else:
        whole = accuracy(train) - accuracy(validation)
    added = sum(one.points for one in found)
    worst = sorted(found, key=lambda one: (one.validation.value, -one.points, one.name))
    return ClassGaps(worst, added, whole - added, balanced, _named(worst, added))


def _named(found: list[ClassGap], gap: float) -> ClassGap | None:
    """The class that adds most, if it stands out; see the top of the file."""
    if gap < MIN_GAP or len(found) < 2:
        return None
    bound = float(stats.norm.isf(LEVEL / len(found)))
    sure = [one for one in found if one.z > bound and one.validation.images >= MIN_SUPPORT]
    return max(sure, key=lambda one: one.points, default=None)


def _gap(train: tuple[int, int], validation: tuple[int, int], effect: float) -> tuple[float, float]:
    """A gap in recall and its variance, from the right answers and the images of each part."""
    gap, variance = 0.0, 0.0
    for sign, (right, images), times in ((1, train, 1.0), (-1, validation, effect)):
        share = (right + 2) / (images + 4)
        gap += sign * share
        variance += times * share * (1 - share) / (images + 4)
    return gap, variance
