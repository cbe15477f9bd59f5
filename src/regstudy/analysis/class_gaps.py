"""Which classes the gap is in: recall of each class in train (eval mode) and validation, from confusion matrices.

The gap in accuracy is a sum over classes: each class adds its own gap, weighted by its share of the validation images;
in balanced accuracy all classes have equal weights. What is left over comes from other shares of the classes in the
two parts (``mix``). Recalls, gaps and shares are fractions in 0..1.

A class stands out if its gap is larger than that of all other images together, at the 5 % level after correction for
the number of classes (Bonferroni, since the worst of several is looked at). Of such classes, the one that adds most is
named, and the gap is *mostly* in it if it adds more than half. Variances are binomial with two right and two wrong
answers added (Agresti and Coull, 1998), since small classes often have none of one kind, times the design effect of
the class's groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy  # scipy.stats is loaded where it is first used: it takes a third of a second
from numpy.typing import NDArray

from regstudy.analysis.share_error import ShareError, part_error, share_error
from regstudy.study.tables import Tables

Counts = NDArray[np.int64]
PARTS = ("train", "validation")
LEVEL = 0.05
MIN_GAP = 0.02  # a smaller gap has no place worth naming
MIN_SUPPORT = 5  # validation images, or their groups, of a class that is named


@dataclass(frozen=True)
class ClassGap:
    """One class of one trial at its best epoch.

    ``points`` is what it adds to the gap, ``others`` the gap of all other images together, and ``z`` the difference
    from it in standard errors. ``change`` is its recall on validation minus that of the baseline. NaN where there is
    nothing to compare.
    """

    name: str
    train_images: int
    recall_train: float
    validation: ShareError
    points: float
    others: float
    z: float
    change: float = math.nan

    @property
    def gap(self) -> float:
        """Recall in train (eval mode) minus recall on validation."""
        return self.recall_train - self.validation.value

    @property
    def independent(self) -> int:
        """How many validation images, or groups of them, are independent."""
        return self.validation.images if self.validation.groups is None else self.validation.groups


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
    before = tables.confusion(baseline).get("validation") if baseline is not None and baseline != number else None
    own, counts = tables.confusion(number), tables.group_counts(number).get("validation")
    return _class_gaps(tables, own, before, lambda label: part_error(own.get("validation"), counts, label))


def pooled_class_gaps(tables: Tables, numbers: Sequence[int], baseline: Sequence[int] = ()) -> ClassGaps | None:
    """The classes over several runs; None unless all have confusion matrices of both parts and the same classes.

    Runs share their images, or most of them, so together they count for as many images as one. The change is that from
    the runs ``baseline``, if they have the same validation images.
    """
    runs = [tables.confusion(number) for number in numbers]
    if not runs or len({tuple((part, len(run.get(part, ()))) for part in PARTS) for run in runs}) > 1:
        return None
    if not runs[0].keys() >= set(PARTS):
        return None
    whole = {part: sum_of([run[part] for run in runs]) for part in PARTS}
    matrix = whole["validation"]
    known = [
        (run["validation"], tables.group_counts(number).get("validation"))
        for run, number in zip(runs, numbers, strict=True)
    ]

    def error(label: int | None) -> ShareError:
        each = [found for own, counts in known if (found := part_error(own, counts, label)) and found.images]
        effect = len(runs) * float(np.mean([found.design_effect for found in each] or [1.0]))
        right, images = (matrix.trace(), matrix.sum()) if label is None else (matrix[label, label], matrix[label].sum())
        groups = [found.groups for found in each if found.groups is not None]
        return replace(share_error(float(right), int(images), effect), groups=min(groups, default=None))

    others = [one for number in baseline if (one := tables.confusion(number).get("validation")) is not None]
    same = len(others) == len(runs) and len({len(one) for one in [*others, matrix]}) == 1
    return _class_gaps(tables, whole, sum_of(others) if same else None, error)


def sum_of(matrices: Sequence[Counts]) -> Counts:
    """The sum of equally large matrices."""
    whole: Counts = np.sum(matrices, axis=0)
    return whole


def balanced_accuracy(matrix: Counts) -> float:
    """The mean recall of the classes with images; NaN without images."""
    support = matrix.sum(1)
    present = support > 0
    return float((matrix.diagonal()[present] / support[present]).mean()) if present.any() else math.nan


def accuracy(matrix: Counts) -> float:
    """The share of right answers; NaN without images."""
    return float(matrix.trace() / matrix.sum()) if matrix.sum() else math.nan


def _class_gaps(
    tables: Tables, own: Mapping[str, Counts], before: Counts | None, error: Callable[[int | None], ShareError | None]
) -> ClassGaps | None:
    """From the confusion matrices of both parts, perhaps the baseline's, and the error of a class or of all (None)."""
    if not set(PARTS) <= own.keys() or own["train"].shape != own["validation"].shape:
        return None
    train, validation = own["train"], own["validation"]
    seen, support, hits, right = train.sum(1), validation.sum(1), train.diagonal(), validation.diagonal()
    if not seen.sum() or not support.sum():
        return None
    comparable = before is not None and np.array_equal(before.sum(1), support)
    balanced = tables.metric == "val_balanced_accuracy"
    overall = error(None)
    effect = overall.design_effect if overall else 1.0
    both = (seen > 0) & (support > 0)
    weight = both / both.sum() if balanced else support * both / support[both].sum()
    found = []
    for label in map(int, np.flatnonzero(support)):
        recall = float(hits[label] / seen[label]) if seen[label] else math.nan
        measured = error(label) or share_error(float(right[label]), int(support[label]))
        mine = _gap(tuple(int(whole[label]) for whole in (hits, seen, right, support)), measured.design_effect)
        rest = tuple(int(whole.sum() - whole[label]) for whole in (hits, seen, right, support))
        others = _gap(rest, effect)
        found.append(
            ClassGap(
                name=_name(tables, label, len(support)),
                train_images=int(seen[label]),
                recall_train=recall,
                validation=measured,
                points=float(weight[label] * (recall - measured.value)) if seen[label] else 0.0,
                others=float(rest[0] / rest[1] - rest[2] / rest[3]) if rest[1] and rest[3] else math.nan,
                z=(mine[0] - others[0]) / math.sqrt(mine[1] + others[1]),
                change=float((right[label] - before[label, label]) / support[label])
                if before is not None and comparable
                else math.nan,
            )
        )
    score = balanced_accuracy if balanced else accuracy
    added = sum(one.points for one in found)
    worst = sorted(found, key=lambda one: (one.validation.value, -one.points, one.name))
    return ClassGaps(worst, added, score(train) - score(validation) - added, balanced, _named(worst, added))


def _name(tables: Tables, label: int, classes: int) -> str:
    names = tables.data.get("classes") or []
    return str(names[label]) if len(names) == classes else str(label)


def _named(found: list[ClassGap], gap: float) -> ClassGap | None:
    """The class that adds most, if it stands out; see the top of the file."""
    if gap < MIN_GAP or len(found) < 2:
        return None
    sure = [one for one in found if one.independent >= MIN_SUPPORT and one.z > _bound(one, len(found))]
    return max(sure, key=lambda one: one.points, default=None)


def _bound(one: ClassGap, classes: int) -> float:
    """The z from which a class is known to differ: of Student's t where it rests on groups."""
    level = LEVEL / classes
    return float(
        scipy.stats.norm.isf(level) if one.validation.groups is None else scipy.stats.t.isf(level, one.independent - 1)
    )


def _gap(counts: tuple[int, ...], effect: float) -> tuple[float, float]:
    """A gap in recall and its variance, from the right answers and the images of train, then of validation."""
    hits, seen, right, support = counts
    shares = [((hits + 2) / (seen + 4), seen), ((right + 2) / (support + 4), support)]
    variance = effect * sum(share * (1 - share) / (images + 4) for share, images in shares)
    return shares[0][0] - shares[1][0], variance
