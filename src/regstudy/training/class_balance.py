"""Class balancing, in training only: by class weights in the loss, or by oversampling."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """Weights N / (C · nᶜ) for the loss (float32, one per class): equal total weight per class, mean 1."""
    counts = torch.bincount(labels, minlength=classes)
    return len(labels) / (classes * counts.clamp(min=1)).to(torch.float32)


def balanced_order(labels: Tensor, classes: int, generator: Generator) -> Tensor:
    """As many positions as there are labels, in random order, with every class equally often (to within one).

    Within a class, all images are used before any is repeated. Draws from the (CPU) generator only.
    """
    per_class, rest = divmod(len(labels), classes)
    chosen = []
    for label in range(classes):
        members = (labels == label).nonzero().flatten()
        wanted = per_class + (label < rest)
        rounds = -(-wanted // len(members))
        order = [members[torch.randperm(len(members), generator=generator)] for _ in range(rounds)]
        chosen.append(torch.cat(order)[:wanted])
    positions = torch.cat(chosen)
    return positions[torch.randperm(len(positions), generator=generator)]
