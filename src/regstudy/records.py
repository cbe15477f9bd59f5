"""The measurements of an epoch and the result of a run, with their writers and parsers.

Accuracies are fractions in 0..1, losses are means over examples in nats, times are seconds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from regstudy.metrics import CLEAN_TRAIN, GAP, METRICS, VALIDATION, Metric, metric, metric_or_accuracy

Outcome = Literal["finished", "stopped", "pruned", "diverged"]


@dataclass(frozen=True)
class EpochRecord:
    """The training, clean-training and validation measurements of one epoch.

    ``train_*`` is measured in train mode, while training, with dropout and augmentation on; ``clean_train_*`` in eval
    mode on a fixed subset of the training set. Only the latter is comparable with ``val_*``. It is NaN in epochs in
    which it was not measured (`training.clean_train_every`).
    """

    epoch: int  # counts from 1
    train_loss: float
    train_accuracy: float
    clean_train_loss: float
    clean_train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    gradient_norm: float  # mean over the epoch's steps of the global L2 norm, before any clipping
    seconds: float
    more: Mapping[str, float] = field(default_factory=dict)  # further metrics: clean_train_auroc, val_auroc, …

    def value(self, series: str) -> float:
        """A measurement by name, such as `val_loss` or `val_auroc`; NaN if it was not recorded."""
        found: float = getattr(self, series) if series in COLUMNS else self.more.get(series, math.nan)
        return found

    def gap(self, of: Metric) -> float:
        """Train (eval mode) against validation, positive if the model overfits; NaN if it was not recorded."""
        return of.gap(self.value(of.clean_train), self.value(of.val))

    @property
    def gap_accuracy(self) -> float:
        """The gap in accuracy."""
        return self.gap(METRICS["accuracy"])

    @property
    def gap_loss(self) -> float:
        """The gap in the loss."""
        return self.gap(METRICS["loss"])

    @property
    def series(self) -> dict[str, float]:
        """Everything that was measured, by name, with the gap of each metric."""
        found = {name: self.value(name) for name in (*COLUMNS, *self.more)}
        for name in list(found):
            if name.startswith(VALIDATION):
                found[GAP + name.removeprefix(VALIDATION)] = self.gap(metric(name))
        return found

    @property
    def in_words(self) -> str:
        """The three accuracies and the gap in points, in one line, as far as they were measured."""
        if math.isnan(self.val_accuracy):
            return f"train {self.train_accuracy:.1%}"
        if not self.has_clean_train:
            return f"train {self.train_accuracy:.1%}  val {self.val_accuracy:.1%}"
        return (
            f"train {self.train_accuracy:.1%}  clean {self.clean_train_accuracy:.1%}"
            f"  val {self.val_accuracy:.1%}  gap {100 * self.gap_accuracy:+.1f}"
        )

    def words(self, series: str) -> str:
        """As `in_words`, in the metric that decides; then accuracy, unless it is that."""
        of = metric_or_accuracy(series)
        if of.name == "accuracy":
            return self.in_words
        places, factor, sign = (1, 100, "%") if of.percent else (3, 1, "")
        named = ((of.train, "train"), (of.clean_train, "clean"), (of.val, "val"))
        parts = [
            f"{name} {factor * self.value(one):.{places}f}{sign}"
            for one, name in named
            if (one in COLUMNS or one in self.more) and (one != of.clean_train or self.has_clean_train)
        ]
        parts += [f"gap {factor * self.gap(of):+.{places}f}"] if self.has_clean_train else []
        return f"{of.label}: {'  '.join(parts)}  val accuracy {self.val_accuracy:.1%}"

    @property
    def finite(self) -> bool:
        """Whether every loss that was measured and the gradient norm are finite numbers."""
        clean = (self.clean_train_loss,) if self.has_clean_train else ()
        return all(map(math.isfinite, (self.train_loss, *clean, self.val_loss, self.gradient_norm)))

    @property
    def has_clean_train(self) -> bool:
        """Whether clean training was measured in this epoch."""
        return not math.isnan(self.clean_train_loss)


COLUMNS = tuple(one.name for one in fields(EpochRecord) if one.name != "more")
FOLD = "fold"  # a column before these, of the epochs of a trial with folds
MORE_PREFIXES = (CLEAN_TRAIN, VALIDATION)  # of the columns that only some runs have
_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def dump_records(records: Sequence[EpochRecord]) -> dict[str, Any]:
    """Records as a JSON value ``{"columns": [...], "rows": [[...], ...]}``; NaN and infinity become strings."""
    names = [*COLUMNS, *dict.fromkeys(name for record in records for name in record.more)]
    return {"columns": names, "rows": [[_to_json(record.value(name)) for name in names] for record in records]}


def dump_folds(folds: Sequence[Sequence[EpochRecord]]) -> dict[str, Any]:
    """As `dump_records`, for the records of each fold: a first column has the fold, counted from 1."""
    whole = dump_records([record for records in folds for record in records])
    numbers = [number for number, records in enumerate(folds, start=1) for _ in records]
    rows = [[number, *row] for number, row in zip(numbers, whole["rows"], strict=True)]
    return {"columns": [FOLD, *whole["columns"]], "rows": rows}


def mean_record(records: Sequence[EpochRecord]) -> EpochRecord:
    """The mean of every measurement; the epoch is that of the first record."""
    first, count = records[0], len(records)
    means = {name: math.fsum(one.value(name) for one in records) / count for name in COLUMNS}
    more = {name: math.fsum(one.value(name) for one in records) / count for name in first.more}
    return EpochRecord(**{**means, "epoch": first.epoch}, more=more)  # type: ignore[arg-type]


def parse_records(value: dict[str, Any]) -> list[EpochRecord]:
    """Inverse of `dump_records`; unknown columns (a later version's) are ignored, missing ones are NaN."""
    found = []
    for row in value["rows"]:
        cells = dict(zip(value["columns"], row, strict=True))
        known = {name: _from_json(cells.get(name, math.nan)) for name in COLUMNS}
        more = {name: _from_json(cells[name]) for name in more_columns(cells)}
        found.append(EpochRecord(**known, more=more))
    return found


def more_columns(names: Iterable[str]) -> list[str]:
    """Those of the columns that hold metrics which only some runs record."""
    found = []
    for name in names:
        prefix = next((prefix for prefix in MORE_PREFIXES if name.startswith(prefix)), None)
        if prefix and name.removeprefix(prefix) in METRICS and name not in COLUMNS:
            found.append(name)
    return found


def _to_json(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _from_json(value: float | str) -> Any:
    return _NON_FINITE[value] if isinstance(value, str) else value


def dump_confusions(found: Mapping[str, Sequence[Sequence[int]]]) -> dict[str, Any]:
    """Confusion matrices by part (`train` in eval mode, `validation`), rows by true class, as a JSON value.

    Only cells that are not 0 are written, as [true class, predicted class, images]: with many classes, few are.
    """
    return {
        part: {
            "classes": len(matrix),
            "cells": [[i, j, n] for i, row in enumerate(matrix) for j, n in enumerate(row) if n],
        }
        for part, matrix in found.items()
    }


def parse_confusions(value: Mapping[str, Any]) -> dict[str, list[list[int]]]:
    """Inverse of `dump_confusions`."""
    found = {}
    for part, stored in value.items():
        matrix = [[0] * stored["classes"] for _ in range(stored["classes"])]
        for i, j, n in stored["cells"]:
            matrix[i][j] = n
        found[part] = matrix
    return found


MAX_GROUPS_LISTED = 1_000  # pairs of group and class; of more, only how many groups have equal counts is stored


@dataclass(frozen=True)
class GroupCounts:
    """The images of each group and class of a part and the right answers among them.

    ``groups`` numbers the groups in an order that is the same for every run on the same split, so that runs can be
    paired.
    """

    groups: list[int]
    classes: list[int]
    images: list[int]
    right: list[int]

    def tally(self, label: int | None = None) -> Tally:
        """How many groups have how many images and right answers, of one class or of all."""
        whole: dict[int, tuple[int, int]] = {}
        for group, own, images, right in zip(self.groups, self.classes, self.images, self.right, strict=True):
            if label is None or own == label:
                before = whole.get(group, (0, 0))
                whole[group] = (before[0] + images, before[1] + right)
        return Tally(*map(list, zip(*((*pair, n) for pair, n in sorted(Counter(whole.values()).items())), strict=True)))


@dataclass(frozen=True)
class Tally:
    """An entry stands for ``times`` groups with so many images and right answers."""

    images: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)


def dump_groups(found: Mapping[str, GroupCounts]) -> dict[str, Any]:
    """Counts per group by part, as a JSON value; a `Tally` of very many groups."""
    return {
        part: dict(vars(counts if len(counts.groups) <= MAX_GROUPS_LISTED else counts.tally()))
        for part, counts in found.items()
    }


def sum_groups(found: Sequence[GroupCounts]) -> GroupCounts:
    """The counts of several parts as one: those of the same group and class are added."""
    sums: dict[tuple[int, int], list[int]] = {}
    for counts in found:
        for group, label, images, right in zip(counts.groups, counts.classes, counts.images, counts.right, strict=True):
            total = sums.setdefault((group, label), [0, 0])
            total[0] += images
            total[1] += right
    rows = [(group, label, *total) for (group, label), total in sorted(sums.items())]
    return GroupCounts(*(list(column) for column in zip(*rows, strict=True)))


def parse_groups(value: Mapping[str, Any]) -> dict[str, GroupCounts | Tally]:
    """What `dump_groups` wrote."""
    return {part: Tally(**counts) if "times" in counts else GroupCounts(**counts) for part, counts in value.items()}


@dataclass(frozen=True)
class Reliability:
    """How sure a model was of its answers on a set of images, and how often it was right.

    The entries belong to equally wide intervals of the confidence, the probability of the predicted class: the number
    of images, their summed confidence, and how many were classified correctly. ``brier`` is the mean Brier score.
    """

    images: tuple[int, ...]
    confidence: tuple[float, ...]
    right: tuple[int, ...]
    brier: float


def dump_reliability(found: Reliability) -> dict[str, Any]:
    """A reliability as a JSON value."""
    counts = {name: list(getattr(found, name)) for name in ("images", "confidence", "right")}
    return {**counts, "brier": _to_json(found.brier)}


def parse_reliability(value: Mapping[str, Any]) -> Reliability:
    """Inverse of `dump_reliability`."""
    images, confidence, right = (tuple(value[name]) for name in ("images", "confidence", "right"))
    return Reliability(images, confidence, right, _from_json(value["brier"]))


def pool_reliabilities(found: Sequence[Reliability]) -> Reliability:
    """Several sets of images as one."""
    images, confidence, right = (
        tuple(map(sum, zip(*(getattr(one, name) for one in found), strict=True)))
        for name in ("images", "confidence", "right")
    )
    weights = [sum(one.images) for one in found]
    brier = sum(weight * one.brier for weight, one in zip(weights, found, strict=True)) / sum(weights)
    return Reliability(images, confidence, right, brier)


@dataclass(frozen=True)
class PruningDecision:
    """A pruner's decision about a running trial, with the reason."""

    prune: bool
    reason: str


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    ``best_epoch`` counts from 1 and is 0 if no epoch was usable; ``best_value`` is the objective there.
    """

    outcome: Outcome
    reason: str
    best_epoch: int
    best_value: float
    records: tuple[EpochRecord, ...]
