"""torchvision's classification networks, for any number of channels and classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlparse

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import WeightsEnum, get_model_builder, get_model_weights, list_models
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings
from torchvision.ops import StochasticDepth

from regstudy.models.library_network import Images, LibraryNetwork, Published, parameters_of

COLORS = 3  # channels of the images that published weights are for
DROPOUT_ARGUMENTS = ("dropout", "drop_rate")
FIXED = {"aux_logits": False, "init_weights": True}
SET_HERE = {  # arguments that follow from the images, or from the section's own fields
    *DROPOUT_ARGUMENTS,
    "stochastic_depth_prob",
    "num_classes",
    "image_size",
    "input_size",
    "dropout_aux",
    *FIXED,
}
AUXILIARY = re.compile(r"(aux1|aux2|AuxLogits)\.")  # outputs that only the training on ImageNet used
OLD_DENSENET = re.compile(r"(\.denselayer\d+\.(?:norm|conv))\.(\d\.)")


def network_names() -> list[str]:
    """The names of all classification networks."""
    return list(list_models(module=torchvision.models))


def builder(name: str, network: str) -> LibraryNetwork:
    """The builder of a network of these names; ``name`` is the one with the library."""
    return TorchvisionNetwork(name, network)


class TorchvisionNetwork(LibraryNetwork):
    """``dropout`` is the constructor's argument; ``stochastic_depth`` scales the rates of all blocks to the last one's.

    Another first convolution is drawn with the variance that keeps that of its output.
    """

    def __init__(self, name: str, network: str) -> None:
        self._build = get_model_builder(network)
        self._network = network
        taken = parameters_of(get_type_hints(self._build)["return"])
        self._dropout = next((one for one in DROPOUT_ARGUMENTS if one in taken), None)
        self._sized = next((one for one in ("image_size", "input_size") if one in taken), None)
        self._fixed = {one: value for one, value in FIXED.items() if one in taken}
        regularizers = {"dropout": self._dropout, "stochastic_depth": "stochastic_depth_prob" in taken}
        super().__init__(name, [one for one, has in regularizers.items() if has], taken, SET_HERE)

    def __call__(self, channels: int, size: int, classes: int, **settings: Any) -> nn.Module:
        rate, depth = settings.pop("dropout", 0.0), settings.pop("stochastic_depth", 0.0)
        given = self._fixed | settings | ({self._dropout: rate} if self._dropout else {})
        if self._sized:
            given[self._sized] = size if self._sized == "image_size" else (size, size)
        network: nn.Module = self._build(num_classes=classes, **given)
        if channels != COLORS:
            _refit_first_convolution(network, channels)
        blocks = [module for module in network.modules() if isinstance(module, StochasticDepth)]
        top = max((block.p for block in blocks), default=0.0)
        for block in blocks:
            block.p = block.p / top * depth if top else depth
        return network

    def published(self) -> dict[str, Published]:
        return published_weights(get_model_weights(self._network))

    def fitted(self, tensors: Mapping[str, Tensor], network: nn.Module, images: Images) -> dict[str, Tensor]:
        named = {OLD_DENSENET.sub(r"\1\2", key): tensor for key, tensor in tensors.items()}
        named = {key: tensor for key, tensor in named.items() if not AUXILIARY.match(key)}
        name, first = first_convolution(network)
        weight = named.get(f"{name}.weight")
        if weight is not None and weight.ndim == 4 and weight.shape[1] == COLORS != first.in_channels:
            averaged = weight.mean(1, keepdim=True) * (COLORS / first.in_channels)
            named[f"{name}.weight"] = averaged.repeat(1, first.in_channels, 1, 1)
        positions = named.get("encoder.pos_embedding")
        if not isinstance(network, VisionTransformer) or positions is None:
            return named
        if positions.shape == network.encoder.pos_embedding.shape:
            return named
        return dict(interpolate_embeddings(images.size, network.patch_size, named))


def published_weights(kind: type[WeightsEnum]) -> dict[str, Published]:
    """torchvision's weights of a network by name; the names of the files end in the starts of their checksums."""
    members = {"imagenet": kind.DEFAULT, **{one.name: one for one in kind}}
    files = {name: Path(urlparse(member.url).path).name for name, member in members.items()}
    return {
        name: Published(member.url, files[name], Path(files[name]).stem.rpartition("-")[2])
        for name, member in members.items()
    }


def first_convolution(network: nn.Module) -> tuple[str, nn.Conv2d]:
    """The convolution that sees the images, and its name."""
    return next((name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d))


def _refit_first_convolution(network: nn.Module, channels: int) -> None:
    """Replace the convolution that sees the images by one for so many channels."""
    name, old = first_convolution(network)
    same = {"stride": old.stride, "padding": old.padding, "dilation": old.dilation, "bias": old.bias is not None}
    new = nn.Conv2d(channels, old.out_channels, old.kernel_size, **same)  # type: ignore[arg-type]
    with torch.no_grad():
        new.weight.normal_().mul_(old.weight.std() * (old.in_channels / channels) ** 0.5)
        if new.bias is not None and old.bias is not None:
            new.bias.copy_(old.bias)
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, new)
