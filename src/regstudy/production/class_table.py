"""The table of classes: how often each one is recognized, and what it is taken for instead."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pandas as pd
from torch import Tensor

from regstudy.analysis.share_error import ShareError

ErrorOf = Callable[[int], ShareError]  # of a class by its number


def class_table(counts: Tensor, classes: Sequence[str], recall: ErrorOf, precision: ErrorOf) -> pd.DataFrame:
    """A row per class: images, answers, recall and precision with 95 % limits, F1, and the most frequent mistake.

    ``counts``: images by true class (rows) and answer (columns). A share of no images is NaN.
    """
    rows = []
    for number, name in enumerate(classes):
        right, images, predicted = int(counts[number, number]), int(counts[number].sum()), int(counts[:, number].sum())
        found, exact = recall(number), precision(number)
        wrong = counts[number].clone()
        wrong[number] = 0
        rows.append(
            {
                "class": name,
                "images": images,
                "predicted": predicted,
                "right": right,
                "recall": found.value,
                "recall_low": found.low,
                "recall_high": found.high,
                "precision": exact.value,
                "precision_low": exact.low,
                "precision_high": exact.high,
                "f1": 2 * right / (images + predicted) if images + predicted else math.nan,
                "most_often_taken_for": classes[int(wrong.argmax())] if wrong.sum() else "",
            }
        )
    return pd.DataFrame(rows)
