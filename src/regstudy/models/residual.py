"""The residual block of ResNet-18 with three places for regularizers.

He et al., Deep Residual Learning for Image Recognition, 2015. Dropout between the convolutions: Zagoruyko and
Komodakis, Wide Residual Networks, 2016. Stochastic depth: Huang et al., Deep Networks with Stochastic Depth, 2016.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.ops import StochasticDepth


class ResidualBlock(BasicBlock):  # type: ignore[misc]  # torchvision has no types
    """torchvision's basic block; ``between``, ``branch`` and ``after`` do nothing until `regularize` replaces them.

    They have no state, so weights fit with and without them.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.between: nn.Module = nn.Identity()  # between the two convolutions
        self.branch: nn.Module = nn.Identity()  # on the residual branch, before it joins
        self.after: nn.Module = nn.Identity()  # after the whole block

    def forward(self, x: Tensor) -> Tensor:
        """N×C×S×S → N×C′×S′×S′."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.branch(self.bn2(self.conv2(self.between(out))))
        out += identity
        result: Tensor = self.after(self.relu(out))
        return result


def resnet18_of_blocks(classes: int = 1000) -> ResNet:
    """torchvision's ResNet-18 made of `ResidualBlock`: the same draws from the global generator, the same weights."""
    return ResNet(ResidualBlock, [2, 2, 2, 2], num_classes=classes)


def regularize(network: nn.Module, between: float = 0.0, stochastic_depth: float = 0.0, after: float = 0.0) -> None:
    """Set the rates of all residual blocks of a network, in their order.

    ``between`` and ``after`` are dropout rates. Block l of L is skipped, for each image by itself, at the rate
    ``stochastic_depth`` · l / L (Huang et al. 2016, with survival 1 − rate of the last block).
    """
    blocks = [module for module in network.modules() if isinstance(module, ResidualBlock)]
    for number, block in enumerate(blocks, start=1):
        block.between = nn.Dropout(between) if between else nn.Identity()
        rate = stochastic_depth * number / len(blocks)
        block.branch = StochasticDepth(rate, "row") if rate else nn.Identity()
        block.after = nn.Dropout(after) if after else nn.Identity()
