"""Metrics from the logits of one pass over a set of images, computed where the logits are.

Nothing here waits for the device; whoever reads a result does. Recall and F1 are averaged over the classes that have
images. Definitions are scikit-learn's: `balanced_accuracy_score`, `f1_score(average="macro")`,
`roc_auc_score(multi_class="ovr")`, `average_precision_score`.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from regstudy.metrics import METRICS


def confusion(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Number of images of each class (rows) that were taken for each class (columns): int64 C×C."""
    places = labels * classes + predicted
    counts = torch.zeros(classes**2, dtype=torch.int64, device=places.device)  # bincount would wait for the device
    return counts.index_add_(0, places, torch.ones_like(places)).view(classes, classes)


def extra_scores(names: Iterable[str], counts: Tensor, logits: Tensor | None, labels: Tensor, positive: int) -> Tensor:
    """The named metrics other than accuracy and loss, in order, as float64 (float32 on Apple's GPUs).

    ``counts`` is `confusion`, ``logits`` N×C; they may be None if no metric needs scores. ``positive`` is the class
    whose average precision is measured. A metric is NaN where it is undefined.
    """
    exact = torch.float32 if counts.device.type == "mps" else torch.float64
    found = from_counts(counts.to(exact))
    if logits is not None:
        probabilities = logits.to(exact).softmax(1)
        found["auroc"] = auroc(probabilities, labels)
        if logits.shape[1] == 2:
            found["average_precision"] = average_precision(probabilities[:, positive], labels == positive)
    return torch.stack([found[name] for name in names])


def needs_logits(names: Iterable[str]) -> bool:
    """Whether a metric among these is computed from probabilities."""
    return any(METRICS[name].from_scores for name in names)


def from_counts(counts: Tensor) -> dict[str, Tensor]:
    """Balanced accuracy, macro F1 and the recall of the worst class, from a confusion matrix C×C of floats."""
    right, support = counts.diagonal(), counts.sum(1)
    present = support > 0
    recall = torch.where(present, right / support.clamp(min=1), 0.0)
    f1 = torch.where(present, 2 * right / (support + counts.sum(0)).clamp(min=1), 0.0)
    classes = present.sum()
    return {
        "balanced_accuracy": recall.sum() / classes,
        "macro_f1": f1.sum() / classes,
        "worst_class_recall": torch.where(present, recall, 2.0).min(),
    }


def auroc(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Area under the ROC curve: of class 1 if there are two classes, else the mean over classes against the rest.

    By ranks (Mann and Whitney), where ties get their mean rank. Only classes with images on both sides count; NaN if
    there are none.
    """
    scores = probabilities[:, 1:] if probabilities.shape[1] == 2 else probabilities
    first = probabilities.shape[1] - scores.shape[1]
    by_class = scores.T.contiguous()
    ordered = by_class.sort(1).values
    below = torch.searchsorted(ordered, by_class)
    ranks = (below + torch.searchsorted(ordered, by_class, right=True) + 1).to(scores.dtype) / 2
    classes = torch.arange(first, probabilities.shape[1], device=labels.device)
    own = (labels == classes[:, None]).to(scores.dtype)
    positives = own.sum(1)
    negatives = len(labels) - positives
    wins = (ranks * own).sum(1) - positives * (positives + 1) / 2
    defined = (positives > 0) & (negatives > 0)
    areas = torch.where(defined, wins / (positives * negatives).clamp(min=1), 0.0)
    return areas.sum() / defined.sum()


def average_precision(scores: Tensor, positive: Tensor) -> Tensor:
    """The mean precision over the thresholds, weighted by the gain of recall at each; NaN without a positive image.

    ``scores`` N, ``positive`` N of bool. Images with equal scores are one threshold.
    """
    order = scores.argsort(descending=True)
    # summed as whole numbers, since sums of floats have no deterministic version in some versions of torch
    ordered, hits = scores[order], positive[order].cumsum(0).to(scores.dtype)
    last = torch.ones_like(positive)
    last[:-1] = ordered[1:] != ordered[:-1]
    precision = hits / torch.arange(1, len(scores) + 1, device=scores.device, dtype=scores.dtype)
    # where a threshold does not end, the recall is that of the last one that does
    reached = torch.where(last, hits, 0.0).cummax(0).values
    before = torch.cat([reached.new_zeros(1), reached[:-1]])
    return (torch.where(last, (hits - before) * precision, 0.0)).sum() / hits[-1]
