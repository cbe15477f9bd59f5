"""How well one property of images alone tells their label.

A property tells a class if a small decision tree on nothing else, cross-validated by group, nearly separates the class
from all others. A mark, such as a black bar or a file format, tells classes if it occurs in some of them only, even if
few of their images have it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy  # scipy.stats is loaded where it is first used: it takes a third of a second

from regstudy.doctor.checks.image_properties import Table

MIN_SEPARATION = 0.85  # recall of a class minus the share of the others taken for it (Youden's J); 0 is chance
MIN_SEPARATION_LIMIT = 0.7  # its lower confidence limit
MIN_MARKED_SHARE, MAX_MARKED_RATIO = 0.1, 1 / 20  # of images with a mark in some classes, and in others against them
MAX_MARK_P_VALUE = 1e-6
MIN_MARKED_GROUPS = 5
MAX_MARKS_TRIED = 20
TREE_FOLDS, LEAVES_PER_CLASS, MIN_LEAF_IMAGES = 5, 2, 5
Labels = npt.NDArray[np.int64]
Names = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Told:
    """How well one property tells the classes: ``share`` of the images of ``label`` that are recognized, ``false`` of
    the others that are taken for it, and the balanced accuracy over all classes."""

    what: str
    label: int
    share: float
    false: float
    accuracy: float
    sure: bool

    @property
    def separation(self) -> float:
        """Youden's J of the class that is recognized best."""
        return self.share - self.false


@dataclass(frozen=True)
class Mark:
    """A mark that the classes ``marked`` have and others do not: ``shares`` of the images of each judged class,
    ``share`` of those of the marked classes together, ``elsewhere`` of the others."""

    what: str
    marked: tuple[int, ...]
    shares: tuple[float, ...]
    share: float
    elsewhere: float

    @property
    def separation(self) -> float:
        """The difference of the shares."""
        return self.share - self.elsewhere


@dataclass(frozen=True)
class Judged:
    """Images whose properties are compared with their labels. ``classes`` are the numbers of the judged classes."""

    labels: Labels
    names: Sequence[str]
    classes: tuple[int, ...]
    groups: Labels

    def told(self, what: str, table: Table) -> Told:
        """What a decision tree on a table N×D alone tells, cross-validated; the groups of a fold are in no other."""
        from sklearn.tree import DecisionTreeClassifier  # takes a third of a second

        answers = np.full(len(self.labels), self.classes[0])  # of images that are all alike
        order = np.random.default_rng(0).permutation(int(self.groups.max()) + 1)
        fold = order[self.groups] % TREE_FOLDS
        leaves = LEAVES_PER_CLASS * len(self.classes) + 4
        tree = DecisionTreeClassifier(
            max_leaf_nodes=leaves, min_samples_leaf=MIN_LEAF_IMAGES, class_weight="balanced", random_state=0
        )
        for number in range(TREE_FOLDS if np.ptp(table) > 0 else 0):
            known = fold != number
            if known.any() and not known.all():
                answers[~known] = tree.fit(table[known], self.labels[known]).predict(table[~known])
        rates = [(_share(answers[self.labels == c] == c), _share(answers[self.labels != c] == c)) for c in self.classes]
        best = max(range(len(rates)), key=lambda at: rates[at][0] - rates[at][1])
        label, (share, false) = self.classes[best], rates[best]
        own = int((self.labels == label).sum())
        limit = _limits(share, own)[0] - _limits(false, len(self.labels) - own)[1]
        sure = share - false >= MIN_SEPARATION and limit >= MIN_SEPARATION_LIMIT
        return Told(what, label, share, false, float(np.mean([share for share, _ in rates])), sure)

    def all_told(self, tables: Mapping[str, Table]) -> list[Told]:
        """What each of the tables alone tells."""
        return [self.told(what, table) for what, table in tables.items()]

    def mark(self, marks: Names) -> Mark | None:
        """The mark (one name for each image, empty for none) that tells most, if one occurs in some classes only."""
        common = [what for what, _ in Counter(marks.tolist()).most_common(MAX_MARKS_TRIED + 1) if what]
        found = [mark for what in common if (mark := self._one(marks, what)) is not None]
        return max(found, key=lambda mark: mark.share * len(mark.marked), default=None)

    def _one(self, marks: Names, what: str) -> Mark | None:
        has = marks == what
        shares = [_share(has[self.labels == c]) for c in self.classes]
        marked = [c for c, share in zip(self.classes, shares, strict=True) if share >= MIN_MARKED_SHARE]
        if not marked or len(marked) == len(self.classes) or len(set(self.groups[has])) < MIN_MARKED_GROUPS:
            return None
        inside = np.isin(self.labels, marked)
        share, elsewhere = _share(has[inside]), _share(has[~inside])
        once = np.unique(np.stack([self.groups, self.labels, has]), axis=1)  # each group counts once
        counts = [[np.sum((once[1] == c) & (once[2] == there)) for there in (0, 1)] for c in self.classes]
        if elsewhere > MAX_MARKED_RATIO * share or scipy.stats.chi2_contingency(counts).pvalue > MAX_MARK_P_VALUE:
            return None
        return Mark(what, tuple(marked), tuple(shares), share, elsewhere)


def _share(flags: npt.NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else 0.0


def _limits(share: float, count: int) -> tuple[float, float]:
    interval = scipy.stats.binomtest(round(share * count), count).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
