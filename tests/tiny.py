"""A data set and a network so small that a run of several epochs takes a fraction of a second."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from regstudy.config.run_config import RunConfig, parse_config
from regstudy.data.image_set import ImageSet, Splits

SIDE = 12
CLASSES = ("a", "b", "c")
CPU = torch.device("cpu")


def random_images(count: int, seed: int = 0, channels: int = 3, side: int = SIDE, learnable: bool = False) -> ImageSet:
    """Noise with labels in turn; a learnable set's classes differ in brightness."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % len(CLASSES)
    shape = (count, channels, side, side)
    if not learnable:
        return ImageSet(torch.randint(0, 256, shape, generator=generator).to(torch.uint8), labels, CLASSES)
    noise = torch.randint(0, 100, shape, generator=generator)
    return ImageSet((noise + 70 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels, CLASSES)


def make_splits(train: int = 24, validation: int = 12, learnable: bool = False) -> Splits:
    """Parts of random images; the clean-training part is the head of the training part."""
    trained = random_images(train, 1, learnable=learnable)
    held_out = random_images(validation, 2, learnable=learnable)
    return Splits(trained, trained.subset(torch.arange(min(validation, train))), held_out, "tiny", 0)


def cnn(channels: int, size: int, classes: int, dropout: float = 0.0, width: int = 4) -> nn.Module:  # noqa: ARG001
    """One convolution with batch normalization, pooling, dropout and a dense layer: ``model.name: tiny:cnn``."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(width * 4, classes),
    )


def make_config(changes: dict[str, Any] | None = None) -> RunConfig:
    """A configuration for the tiny network with values at dotted paths exchanged."""
    tree = {
        "data": {"name": "digits"},
        "preprocessing": {"normalize": "half"},
        "model": {"name": "tiny:cnn"},
        "optimizer": {"name": "adamw", "lr": 0.01},
        "training": {"batch_size": 8, "epochs": 3, "patience": None, "precision": "fp32"},
    }
    return parse_config(tree, "the tiny configuration").replaced(changes or {})
