"""Narrow residual networks for house numbers: a stride-1 stem, then the later stages of ResNet-18.

He et al., Deep Residual Learning for Image Recognition, 2015.
"""

from __future__ import annotations

from torch import nn

from regstudy.models.residual import regularize, resnet18_of_blocks
from regstudy.models.stages import staged


def svhn_resnet(
    channels: int,
    size: int,
    classes: int,
    *,
    dropout: float = 0.0,
    block_dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> nn.Module:
    """2,629,706 parameters for 3 channels and 10 classes, images of any size.

    ``dropout`` acts before the last layer, ``block_dropout`` between the two convolutions of each of the four blocks.
    """
    network = _chain(channels, classes, ["layer2", "layer3"], 256, dropout)
    regularize(network, block_dropout, stochastic_depth)
    return staged(network, ("0", "1"), "3", "4", ("7", "8"))


def svhn_resnet_deep(
    channels: int,
    size: int,
    classes: int,
    *,
    dropout: float = 0.0,
    block_dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> nn.Module:
    """`svhn_resnet` with the fourth stage and six blocks: 11,025,994 parameters for 3 channels and 10 classes."""
    network = _chain(channels, classes, ["layer2", "layer3", "layer4"], 512, dropout)
    regularize(network, block_dropout, stochastic_depth)
    return staged(network, ("0", "1"), "3", "4", "5", ("8", "9"))


def _chain(channels: int, classes: int, layers: list[str], width: int, dropout: float) -> nn.Sequential:
    resnet = resnet18_of_blocks()  # built completely and first: the initial weights of a seed depend on it
    return nn.Sequential(
        nn.Conv2d(channels, 64, 3, padding=1, bias=False),  # N×64×S×S
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        *(resnet.get_submodule(layer) for layer in layers),  # each halves S: N×128×S/2×S/2, N×256×S/4×S/4, …
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(width, classes),
    )
