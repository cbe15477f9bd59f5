"""Two convolutions, one pooling, and one dense layer with nearly all parameters: a typical beginner's network."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from regstudy.models.sizes import check_size
from regstudy.models.stages import staged

MIN_SIZE = 6  # pixels; two unpadded convolutions and the pooling leave one


def small_cnn(channels: int, size: int, classes: int, *, dropout: float = 0.0, block_dropout: float = 0.0) -> nn.Module:
    """Unpadded 3×3 convolutions to 32 and 64 channels, 2×2 max-pooling, dense layers of 128 and of the classes.

    ``block_dropout`` acts after the pooling (0.25 in the reference), ``dropout`` before the last layer (0.5 there).
    78,695,746 parameters for 3 channels, 200 pixels and 2 classes. The outputs are logits.
    """
    check_size("small_cnn", size, MIN_SIZE)
    side = (size - 4) // 2
    network = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 32, 3),
            relu1=nn.ReLU(inplace=True),
            conv2=nn.Conv2d(32, 64, 3),
            relu2=nn.ReLU(inplace=True),
            pool=nn.MaxPool2d(2),
            block_dropout=nn.Dropout(block_dropout),
            flatten=nn.Flatten(),  # N×(64·side²)
            dense=nn.Linear(64 * side * side, 128),
            relu3=nn.ReLU(inplace=True),
            dropout=nn.Dropout(dropout),
            fc=nn.Linear(128, classes),
        )
    )
    return staged(network, "conv1", "conv2", ("block_dropout", "dense"), ("dropout", "fc"))
