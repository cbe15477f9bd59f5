"""The metrics that can decide a study, and what is known of each without looking at an image.

A metric ``x`` is measured on the validation part (``val_x``) and, in eval mode, on a part of the training images
(``clean_train_x``). Shares lie in 0..1, the loss is in nats. The formulas over predictions are in
`regstudy.training.scores`; names and definitions are those of scikit-learn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Values = TypeVar("Values", float, "NDArray[np.float64]")
MetricName = Literal[
    "val_accuracy",
    "val_balanced_accuracy",
    "val_macro_f1",
    "val_worst_class_recall",
    "val_auroc",
    "val_average_precision",
    "val_loss",
]
VALIDATION, CLEAN_TRAIN, TRAIN, GAP = "val_", "clean_train_", "train_", "gap_"  # prefixes of recorded series


@dataclass(frozen=True)
class Metric:
    """``name`` is that of a space file, ``label`` that of texts.

    ``constant`` gives the score of the best answer that ignores the images, from the share of each class and the
    number of the positive class. ``from_scores``: computed from probabilities instead of predicted classes, and
    undefined where a class has no image. ``binary``: only for two classes.
    """

    name: str
    label: str
    constant: Callable[[Sequence[float], int], float]
    maximize: bool = True
    from_scores: bool = False
    binary: bool = False

    @property
    def val(self) -> str:
        """Its series on the validation part."""
        return VALIDATION + self.name

    @property
    def clean_train(self) -> str:
        """Its series on training images in eval mode."""
        return CLEAN_TRAIN + self.name

    @property
    def train(self) -> str:
        """Its series in train mode; only accuracy and loss are measured there."""
        return TRAIN + self.name

    @property
    def percent(self) -> bool:
        """Whether values are shares, which texts show in percent and their differences in points."""
        return self.maximize

    def gap(self, clean_train: Values, val: Values) -> Values:
        """Train (eval mode) against validation, positive if the model overfits."""
        return clean_train - val if self.maximize else val - clean_train

    def better(self, one: float, other: float) -> bool:
        """Whether one value is better than another; NaN is not."""
        return one > other if self.maximize else one < other


def metric(series: str) -> Metric:
    """The metric of a name or of a recorded series, such as `auroc` or `val_auroc`. Raises KeyError."""
    for prefix in (VALIDATION, CLEAN_TRAIN, GAP):
        series = series.removeprefix(prefix)
    return METRICS[series]


def metric_or_accuracy(series: str | None) -> Metric:
    """The metric of a study's objective; accuracy if that is none of ours, or unknown."""
    return metric(series) if series is not None and is_metric(series) else METRICS["accuracy"]


def is_metric(series: str) -> bool:
    """Whether this is the name of a metric or of a recorded series."""
    return any(series.removeprefix(prefix) in METRICS for prefix in (VALIDATION, CLEAN_TRAIN, GAP))


def stored_name(name: object) -> object:
    """A metric as it is stored: `auroc` → `val_auroc`. Anything else is returned unchanged."""
    return f"{VALIDATION}{name}" if isinstance(name, str) and name in METRICS else name


def _largest(shares: Sequence[float], _positive: int) -> float:
    return max(shares)


def _one_of_present(shares: Sequence[float], _positive: int) -> float:
    return 1 / _present(shares)


def _f1_of_largest(shares: Sequence[float], _positive: int) -> float:
    """Recall 1 and precision p in the largest class, whose share is p; 0 in all others."""
    return 2 * max(shares) / (1 + max(shares)) / _present(shares)


def _recall_of_worst(shares: Sequence[float], _positive: int) -> float:
    return 0.0 if _present(shares) > 1 else 1.0


def _half(_shares: Sequence[float], _positive: int) -> float:
    return 0.5


def _prevalence(shares: Sequence[float], positive: int) -> float:
    return shares[positive]


def _entropy(shares: Sequence[float], _positive: int) -> float:
    return -sum(share * math.log(share) for share in shares if share > 0)


def _present(shares: Sequence[float]) -> int:
    return sum(share > 0 for share in shares)


METRICS: dict[str, Metric] = {
    found.name: found
    for found in (
        Metric("accuracy", "accuracy", _largest),
        Metric("balanced_accuracy", "balanced accuracy", _one_of_present),
        Metric("macro_f1", "macro F1", _f1_of_largest),
        Metric("worst_class_recall", "recall of the worst class", _recall_of_worst),
        Metric("auroc", "AUROC", _half, from_scores=True),
        Metric("average_precision", "average precision", _prevalence, from_scores=True, binary=True),
        Metric("loss", "loss", _entropy, maximize=False),
    )
}
