"""Three convolutions and two dense layers, with dropout before each dense layer: the classic tutorial network."""

from __future__ import annotations

from torch import nn

from regstudy.models.sizes import check_size
from regstudy.models.stages import staged

MIN_SIZE = 22  # pixels; below this nothing is left after three convolutions and poolings


def dropout_cnn(channels: int, size: int, classes: int, *, dropout: float = 0.0) -> nn.Module:
    """Unpadded 3×3 convolutions to 32, 64 and 128 channels, each with ReLU and 2×2 max-pooling, then dense layers."""
    check_size("dropout_cnn", size, MIN_SIZE)
    side = size
    for _ in range(3):
        side = (side - 2) // 2
    network = nn.Sequential(  # ReLU after the pooling gives the same result as before it, with a quarter of the work
        nn.Conv2d(channels, 32, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(64, 128, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),  # N×(128·side²)
        nn.Dropout(dropout),
        nn.Linear(128 * side * side, 512),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(512, classes),
    )
    return staged(network, "0", "3", "6", ("10", "11"), ("13", "14"))
