"""The stages of networks of timm and torchvision, which name their head and their blocks each in their own way."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from torch import nn

HEADS = ("fc", "classifier", "heads", "head")  # of torchvision
CONTAINERS = ("features", "layers", "blocks", "trunk_output", "encoder", "encoder.layers")  # of torchvision's blocks
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
WEIGHT_LAYERS = (nn.Linear, *CONVOLUTIONS)


def known_stages(network: nn.Module) -> tuple[tuple[str, ...], ...]:
    """Names of submodules by stage, from input to output, ending with the head; empty for other networks.

    A head has only the layers that depend on the classes, and the dropout before them, because the rest of what the
    libraries call so has weights that are worth keeping.
    """
    if callable(getattr(network, "get_classifier", None)):
        head = _classifier(network)
    elif any(kind.__module__.startswith("torchvision.models.") for kind in type(network).__mro__):
        head = _last_layer(network)
    else:
        return ()
    if not head:
        return ()
    units = list(_units(network, {*head, *_told_ends(network)}))
    first = units.index(head[0])
    ends = [name for name in _told_ends(network) if name in units[:first]]
    ends = ends or [name for name in units[:first] if _has_parts(network.get_submodule(name))]
    body = first
    while body and not _learns(network.get_submodule(units[body - 1])):
        body -= 1  # dropout and pooling before the head belong to it
    ends = ends or [name for name in units[:body] if isinstance(network.get_submodule(name), CONVOLUTIONS)]
    stages = _grouped(network, units[:body], ends)
    return (*stages, tuple(units[body:]))


def output_layer(network: nn.Module, classes: int) -> str | None:
    """The name of the last layer with weights, if it has one output per class and others come before it."""
    layers = [(name, module) for name, module in network.named_modules() if isinstance(module, WEIGHT_LAYERS)]
    name, layer = layers[-1] if layers else ("", None)
    return name if name and layer is not None and layer.weight.shape[0] == classes else None


def _classifier(network: Any) -> list[str]:
    """Names of what timm calls the classifier: a layer, or several of them."""
    found = network.get_classifier()
    wanted = {id(one) for one in (found if isinstance(found, tuple | list) else (found,))}
    return [name for name, module in network.named_modules() if id(module) in wanted and _learns(module)]


def _last_layer(network: nn.Module) -> list[str]:
    """The name of the last layer with weights in what torchvision calls the head."""
    name = next((one for one in HEADS if isinstance(getattr(network, one, None), nn.Module)), None)
    if name is None:
        return []
    inner = [one for one, m in network.get_submodule(name).named_modules() if isinstance(m, WEIGHT_LAYERS)]
    return [f"{name}.{inner[-1]}" if inner[-1] else name] if inner else []


def _told_ends(network: Any) -> list[str]:
    """The last modules of the stages that timm tells."""
    information = getattr(network, "feature_info", None) or ()
    existing = dict(network.named_modules())
    names = [str(one["module"]) for one in information if isinstance(one, dict) and "module" in one]
    return [name for name in names if name in existing]


def _units(module: nn.Module, opened: Collection[str], prefix: str = "") -> Iterator[str]:
    """Names of submodules that together are the network; those that contain a name of interest are opened."""
    for name, child in module.named_children():
        full = f"{prefix}{name}"
        if full in opened:
            yield full
        elif full in CONTAINERS or any(one.startswith(f"{full}.") for one in opened):
            yield from _units(child, opened, f"{full}.")
        else:
            yield full


def _grouped(network: nn.Module, units: list[str], ends: Collection[str]) -> list[tuple[str, ...]]:
    """Units in stages that end at the given ones and have weights; what follows the last end joins its stage.

    Only dense layers after it, as in VGG, are a stage of their own.
    """
    stages: list[tuple[str, ...]] = []
    current: list[str] = []
    for name in units:
        current.append(name)
        if name in ends and any(_learns(network.get_submodule(one)) for one in current):
            stages.append(tuple(current))
            current = []
    dense = any(isinstance(network.get_submodule(one), nn.Linear) for one in current)
    if current and (dense or not stages):
        stages.append(tuple(current))
    elif current:
        stages[-1] += tuple(current)
    return stages


def _learns(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _has_parts(module: nn.Module) -> bool:
    return _learns(module) and next(module.children(), None) is not None
