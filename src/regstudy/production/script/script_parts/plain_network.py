"""The network of a script: built, filled with weights, and partly frozen."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import get_weight

from regstudy.models.stages import GUARD_NAME, FrozenModules, modules_around
from regstudy.production.script.script_parts.plain_settings import TRAINABLE, WEIGHTS

KINDS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}


def make_network(channels: int, side: int, classes: int) -> nn.Module:
    """The network with its first weights, for square images of ``side`` pixels."""
    network = build_network(channels, side, classes)
    if WEIGHTS:
        load_weights(network)
    if TRAINABLE != "all":
        freeze(network)
    return network


def build_network(channels: int, side: int, classes: int) -> nn.Module:
    """The network with random weights."""
    raise NotImplementedError


def load_weights(network: nn.Module) -> None:
    """Start from stored weights; a head with other classes keeps its random ones."""
    given, own = read_weights(), network.state_dict()
    head = tuple(f"{name}." for name in network.stages[-1])  # type: ignore[index]
    in_head = {name for name in own if name.startswith(head)}
    fits = all(name in given and given[name].shape == own[name].shape for name in in_head)
    kept = {name: tensor for name, tensor in given.items() if name in own and (fits or name not in in_head)}
    network.load_state_dict(own | kept)


def read_weights() -> dict[str, Tensor]:
    """The tensors of the file, or of torchvision's weights of that name."""
    if "_Weights." in WEIGHTS:
        return dict(get_weight(WEIGHTS).get_state_dict(check_hash=True))
    if WEIGHTS.endswith(".safetensors"):
        content = Path(WEIGHTS).read_bytes()
        begin = 8 + int.from_bytes(content[:8], "little")
        head = json.loads(content[8:begin])
        head.pop("__metadata__", None)
        found = {}
        for name, facts in head.items():
            first, last = (begin + offset for offset in facts["data_offsets"])
            numbers = torch.frombuffer(bytearray(content[first:last]), dtype=KINDS[facts["dtype"]])
            found[name] = numbers.view(facts["shape"])
        return found
    return dict(torch.load(WEIGHTS, map_location="cpu", weights_only=True))


def freeze(network: nn.Module) -> None:
    """Train the head only, or also the stage before it; all else keeps its weights and stays in eval mode."""
    trained = network.stages[-1:] if TRAINABLE == "head" else network.stages[-2:]  # type: ignore[index]
    names = [name for stage in trained for name in ((stage,) if isinstance(stage, str) else stage)]
    network.requires_grad_(False)
    for name in names:
        network.get_submodule(name).requires_grad_(True)
    around = {id(module) for module in modules_around(network, names)}
    network.add_module(GUARD_NAME, FrozenModules([one for one in network.modules() if id(one) not in around]))
    network.train(network.training)
