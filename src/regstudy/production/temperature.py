"""Temperature scaling: logits divided by one number that makes the probabilities of held-out images most likely.

Guo et al., "On calibration of modern neural networks", 2017. It never changes the answers of a single network. Of an
ensemble, the logits of all members are divided by the same number before their probabilities are averaged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

LEAST, MOST = 0.05, 20.0  # beyond these the images do not say how sure the network may be
CLOSE_TO_BOUND = 1.02


def fit_temperature(logits: Sequence[Tensor], labels: Tensor) -> float:
    """The temperature with the smallest mean negative log-likelihood.

    ``logits``: N×C of each member; ``labels``: N.
    """
    members = torch.stack([one.detach().cpu().double() for one in logits])
    rows = labels.cpu()[None, :, None].expand(len(members), -1, 1)

    def loss(log_temperature: float) -> float:
        chosen = (members / math.exp(log_temperature)).log_softmax(2).gather(2, rows)[:, :, 0]
        return -float((torch.logsumexp(chosen, 0) - math.log(len(members))).mean())

    found = minimize_scalar(loss, bounds=(math.log(LEAST), math.log(MOST)), method="bounded", options={"xatol": 1e-6})
    return math.exp(float(found.x)) if found.fun < loss(0.0) else 1.0


def at_a_bound(temperature: float) -> bool:
    """Whether the images would have allowed any smaller, or any larger, temperature, too."""
    return temperature < LEAST * CLOSE_TO_BOUND or temperature > MOST / CLOSE_TO_BOUND
