"""The networks of timm, the optional library of image models, for any number of channels and classes.

Only this module imports timm, and it is only imported for a network of timm.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import hf_hub_url, try_to_load_from_cache
from timm.models import get_arch_pretrained_cfgs, get_pretrained_cfg, list_models, split_model_name_tag
from torch import Tensor, nn

from regstudy.errors import ConfigError
from regstudy.models.library_network import Images, LibraryNetwork, Published, parameters_of

HUB_FILE = "model.safetensors"
REGULARIZERS = {"dropout": "drop_rate", "stochastic_depth": "drop_path_rate"}
SET_HERE = {*REGULARIZERS.values(), "in_chans", "num_classes", "img_size", "device", "dtype"}


def network_names() -> list[str]:
    """The names of all networks, without and with the tags of their published weights."""
    plain = list(list_models())
    tagged = [pair for one in plain for pair in get_arch_pretrained_cfgs(one).items()]
    return plain + [name for name, config in tagged if "." in name and config.has_weights]


def builder(name: str, network: str) -> LibraryNetwork:
    """The builder of a network of these names; ``name`` is the one with the library."""
    return TimmNetwork(name, network)


class TimmNetwork(LibraryNetwork):
    """``dropout`` is timm's ``drop_rate``, ``stochastic_depth`` its ``drop_path_rate``; timm fits both ends."""

    def __init__(self, name: str, network: str) -> None:
        self._network = network
        self._config: Any = get_pretrained_cfg(network)
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            taken = parameters_of(type(timm.create_model(network)))
        self._regularizers = {one: theirs for one, theirs in REGULARIZERS.items() if theirs in taken}
        super().__init__(name, self._regularizers, taken, SET_HERE)

    def __call__(self, channels: int, size: int, classes: int, **settings: Any) -> nn.Module:
        given = {self._regularizers.get(name, name): value for name, value in settings.items()}
        built = self._created(channels, size, classes, **given)
        patches = getattr(built, "patch_embed", None)
        side = getattr(patches, "patch_size", None)
        if isinstance(side, tuple) and size % side[0] and not getattr(patches, "dynamic_img_pad", False):
            option = ", or set model.options.patch_size" if "patch_size" in self.__signature__.parameters else ""
            raise ConfigError(
                f"'{self.name}' cuts images into patches of {side[0]} pixels, so it would not see all of an image of"
                f" {size}×{size} pixels. Use images whose side is a multiple of {side[0]}{option}."
            )
        return built

    def published(self) -> dict[str, Published]:
        architecture, tag = split_model_name_tag(self._network)
        tagged = get_arch_pretrained_cfgs(architecture)
        found = {"imagenet": _published(architecture, self._config)}
        if not tag:
            found |= {name.partition(".")[2]: _published(architecture, config) for name, config in tagged.items()}
        return {name: weights for name, weights in found.items() if name and weights}

    def fitted(self, tensors: Mapping[str, Tensor], network: nn.Module, images: Images) -> dict[str, Tensor]:
        own, found = network.state_dict(), dict(tensors)
        ends = self._config.classifier or ()
        ends = (ends,) if isinstance(ends, str) else ends
        if all(
            key in own and own[key].shape == found[key].shape for key in found if key.rpartition(".")[0] not in ends
        ):
            return found
        heads = [found[f"{end}.weight"] for end in ends if f"{end}.weight" in found]
        outputs = heads[0].shape[0] - (self._config.label_offset or 0) if heads else self._config.num_classes
        source = {"state_dict": found, "num_classes": outputs}
        given = {"pretrained": True, "pretrained_cfg_overlay": source, **images.options}
        logger = logging.getLogger("timm")
        level = logger.level
        logger.setLevel(logging.ERROR)  # it would warn of what is meant here
        try:
            with torch.random.fork_rng(devices=[]):
                donor = self._created(images.channels, images.size, outputs, **given)
        except Exception:  # what does not fit is said by the comparison with the network's own tensors
            return found
        finally:
            logger.setLevel(level)
        return dict(donor.state_dict())

    def _created(self, channels: int, size: int, classes: int, **given: Any) -> nn.Module:
        if self._config.fixed_input_size:
            given["img_size"] = size
        network: nn.Module = timm.create_model(self._network, in_chans=channels, num_classes=classes, **given)
        return network


def _published(architecture: str, config: Any) -> Published | None:
    """Where some weights are kept; None if there are none in a format that is read without running code."""
    if not config.has_weights:
        return None
    if not config.hf_hub_id:
        name = Path(config.url).name
        return Published(config.url, name) if Path(name).suffix in (".pth", ".pt") else None
    remote = config.hf_hub_filename or HUB_FILE
    kept = try_to_load_from_cache(config.hf_hub_id, remote)
    file = ".".join(filter(None, (architecture, config.tag))) + Path(remote).suffix
    return Published(hf_hub_url(config.hf_hub_id, remote), file, kept=kept if isinstance(kept, str) else None)
