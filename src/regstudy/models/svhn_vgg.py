"""A shortened VGG for house numbers: five convolutions and three large dense layers.

Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from regstudy.models.sizes import check_size
from regstudy.models.stages import staged

MIN_SIZE = 4  # pixels; two poolings leave one
FEATURE_MAP_SIDE = 7  # pixels, of the input of the dense layers


def svhn_vgg(channels: int, size: int, classes: int, *, dropout: float = 0.0) -> nn.Module:
    """42,924,234 parameters for 3 channels and 10 classes; ``dropout`` acts after both dense layers of 4096.

    Its authors had dropout 0.5 there. Convolutions start as torchvision's VGG does (normal, by their fan-out), dense
    layers as torch does.
    """
    check_size("svhn_vgg", size, MIN_SIZE)
    network = nn.Sequential(
        OrderedDict(
            block1=nn.Sequential(
                _convolution(channels, 64), nn.ReLU(inplace=True), _convolution(64, 64), nn.ReLU(inplace=True)
            ),
            pool1=nn.MaxPool2d(2),  # N×64×S/2×S/2
            block2=nn.Sequential(
                _convolution(64, 128), nn.ReLU(inplace=True), _convolution(128, 128), nn.ReLU(inplace=True)
            ),
            block3=nn.Sequential(_convolution(128, 128), nn.ReLU(inplace=True)),
            pool2=nn.MaxPool2d(2),  # N×128×S/4×S/4
            pool3=_pooling(size // 4),
            flatten=nn.Flatten(),  # N×6272
            dense=nn.Sequential(
                nn.Linear(128 * FEATURE_MAP_SIDE * FEATURE_MAP_SIDE, 4096),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Linear(4096, 4096),
                nn.ReLU(inplace=True),
            ),
            dropout=nn.Dropout(dropout),
            fc=nn.Linear(4096, classes),
        )
    )
    return staged(network, "block1", "block2", "block3", "dense", ("dropout", "fc"))


def _pooling(side: int) -> nn.Module:
    """Adaptive pooling, by windows of one size where that is the same to the bit: only their gradient is deterministic
    on a GPU. With 32 pixels per image, as in SVHN, ``side`` is 8.
    """
    if side == FEATURE_MAP_SIDE + 1:
        return nn.AvgPool2d(2, stride=1)
    if side in (FEATURE_MAP_SIDE, 2 * FEATURE_MAP_SIDE, 4 * FEATURE_MAP_SIDE):
        return nn.AvgPool2d(side // FEATURE_MAP_SIDE)
    return nn.AdaptiveAvgPool2d(FEATURE_MAP_SIDE)


def _convolution(channels: int, width: int) -> nn.Conv2d:
    layer = nn.Conv2d(channels, width, 3, padding=1)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
