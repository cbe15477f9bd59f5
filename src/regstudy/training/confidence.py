"""How sure a model is of its answers, from the logits of one pass over a set of images, computed where the logits are.

- Guo et al., "On calibration of modern neural networks", 2017: intervals of equal width, each without its lower end,
  which is also what `sklearn.calibration.calibration_curve(strategy="uniform")` uses.
- Brier, "Verification of forecasts expressed in terms of probability", 1950; halved for two classes, as in
  `sklearn.metrics.brier_score_loss`, so that it is the squared error of the positive class's probability.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from regstudy.records import Reliability

CONFIDENCE_BINS = 15  # as in most papers since Guo et al.


def confidence_table(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Images, summed confidence and correct answers of each interval of confidence: CONFIDENCE_BINS×3.

    ``probabilities`` N×C; their type is that of the result. A product of matrices, because sums by index depend on the
    order of the additions on a GPU.
    """
    confidence, predicted = probabilities.max(1)
    steps = torch.arange(1, CONFIDENCE_BINS, device=confidence.device, dtype=confidence.dtype)
    edges = steps * (1 / CONFIDENCE_BINS)  # made where they are needed, because sending them would wait for the device
    members = one_hot(torch.bucketize(confidence, edges), CONFIDENCE_BINS).to(confidence.dtype)
    facts = [torch.ones_like(confidence), confidence, (predicted == labels).to(confidence.dtype)]
    return members.T @ torch.stack(facts, 1)


def brier_sum(probabilities: Tensor, labels: Tensor) -> Tensor:
    """The Brier scores of N images, summed; ``probabilities`` N×C."""
    classes = probabilities.shape[1]
    squares = (probabilities - one_hot(labels, classes).to(probabilities.dtype)).square().sum()
    return squares / 2 if classes == 2 else squares


def reliability(table: Tensor, brier: float) -> Reliability:
    """A `confidence_table` with the mean Brier score as plain values."""
    images, confidence, right = table.T.tolist()
    return Reliability(tuple(map(round, images)), tuple(confidence), tuple(map(round, right)), brier)
