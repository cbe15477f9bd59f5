"""torchvision's ResNets, with torchvision's tensor names and configurable head and dropout.

He et al., Deep Residual Learning for Image Recognition, 2015.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import nn
from torchvision.models import ResNet18_Weights, ResNet50_Weights, WeightsEnum, resnet18, resnet50
from torchvision.models.resnet import ResNet

from regstudy.errors import ConfigError
from regstudy.models.residual import regularize, resnet18_of_blocks
from regstudy.models.stages import staged

# networks that know weights by name
PRETRAINED: dict[str, type[WeightsEnum]] = {
    "resnet18_dropout": ResNet18_Weights,
    "resnet18_transfer": ResNet18_Weights,
    "resnet50_transfer": ResNet50_Weights,
}


def resnet18_transfer(
    channels: int, size: int, classes: int, *, dropout: float = 0.0, head_batch_norm: bool = False
) -> nn.Module:
    """ResNet-18, 11,177,538 parameters for 3 channels and 2 classes.

    ``dropout`` acts before the last layer; with ``head_batch_norm`` its input is batch-normalized before that.
    """
    return _chain(resnet18(num_classes=classes), channels, dropout, head_batch_norm)


def resnet50_transfer(
    channels: int, size: int, classes: int, *, dropout: float = 0.0, head_batch_norm: bool = False
) -> nn.Module:
    """ResNet-50, 23,512,130 parameters for 3 channels and 2 classes; options as of `resnet18_transfer`."""
    return _chain(resnet50(num_classes=classes), channels, dropout, head_batch_norm)


def resnet18_dropout(
    channels: int,
    size: int,
    classes: int,
    *,
    dropout: float = 0.0,
    block_dropout: float = 0.0,
    stochastic_depth: float = 0.0,
    position: Literal["blocks", "head", "none"] = "blocks",
    head_size: int | None = None,
) -> nn.Module:
    """ResNet-18 with ``dropout`` after each of its eight blocks, or before the last layer, or nowhere.

    ``block_dropout`` acts between the two convolutions of a block. ``head_size`` is the number of outputs if it is not
    the number of classes: further outputs are never correct. Raises ConfigError if it is less than the classes.
    """
    if position not in ("blocks", "head", "none"):
        raise ConfigError(f"resnet18_dropout: position must be blocks, head or none, but it is {position!r}.")
    if head_size is not None and head_size < classes:
        raise ConfigError(
            f"resnet18_dropout: head_size is {head_size}, but the images have {classes} classes. Remove head_size to"
            " get"
            " one output per class, or increase it."
        )
    network = resnet18_of_blocks(head_size or classes)
    regularize(network, block_dropout, stochastic_depth, dropout if position == "blocks" else 0.0)
    return _chain(network, channels, dropout if position == "head" else 0.0, head_batch_norm=False)


def _chain(resnet: ResNet, channels: int, dropout: float, head_batch_norm: bool) -> nn.Module:
    """The layers of a ResNet in sequence, for images of S×S pixels, with regularizers before the last layer."""
    if channels != 3:
        resnet.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(resnet.conv1.weight, mode="fan_out", nonlinearity="relu")
    network = nn.Sequential(
        OrderedDict(
            conv1=resnet.conv1,  # N×64×S/2×S/2
            bn1=resnet.bn1,
            relu=resnet.relu,
            maxpool=resnet.maxpool,  # N×64×S/4×S/4
            layer1=resnet.layer1,
            layer2=resnet.layer2,
            layer3=resnet.layer3,
            layer4=resnet.layer4,  # N×features×S/32×S/32
            avgpool=resnet.avgpool,
            flatten=nn.Flatten(),
            head_norm=nn.BatchNorm1d(resnet.fc.in_features) if head_batch_norm else nn.Identity(),
            dropout=nn.Dropout(dropout),
            fc=resnet.fc,
        )
    )
    return staged(network, ("conv1", "bn1"), "layer1", "layer2", "layer3", "layer4", ("head_norm", "dropout", "fc"))
