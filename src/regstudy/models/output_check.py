"""Tries a network that is not one of regstudy's on two images, so that what does not fit shows before any work."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from regstudy.config.user_code import user_code
from regstudy.errors import ConfigError

IMAGES = 2
LIKELY_SIZES = (32, 48, 64, 96, 112, 128, 160, 192, 224, 256, 299, 384)  # of the images that networks are made for


def check_output(network: nn.Module, name: str, channels: int, size: int, classes: int) -> None:
    """Raise ConfigError unless a network maps a batch N×channels×size×size to N×classes numbers, or more.

    Further outputs, such as the 1,000 of a published head, are never correct; the doctor reports them.
    The pass draws nothing from torch's generators, so the run that follows is the same as without it.
    """
    batch = f"a batch of {IMAGES} images of {channels}×{size}×{size} pixels"
    with user_code(f"'{name}' on {batch}"):
        outputs = _outputs(network, channels, size)
    if isinstance(outputs, Tensor) and outputs.ndim == 2 and len(outputs) == IMAGES and outputs.shape[1] >= classes:
        return
    raise ConfigError(
        f"'{name}' must return one logit per class, so {IMAGES}×{classes} numbers for {batch}, but it returned"
        f" {_described(outputs)}. {_advice(outputs, classes)}"
    )


def next_size(build: Callable[[int], nn.Module], channels: int, size: int) -> int | None:
    """The smallest of the usual image sizes above this one that a network can take; None if unknown.

    Nothing is computed: on the meta device, tensors have only shapes.
    """
    for larger in (one for one in LIKELY_SIZES if one > size):
        try:
            with torch.random.fork_rng(devices=[]), torch.device("meta"):
                _outputs(build(larger), channels, larger)
        except Exception:  # too small, or not made for this device
            continue
        return larger
    return None


def _outputs(network: nn.Module, channels: int, size: int) -> object:
    """What a network returns for black images in eval mode."""
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    training = network.training
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        outputs: object = network.eval()(torch.zeros(IMAGES, channels, size, size, device=device))
    network.train(training)
    return outputs


def _described(outputs: object) -> str:
    if isinstance(outputs, Tensor):
        return f"a tensor of the shape {'×'.join(map(str, outputs.shape))}" if outputs.ndim else "a single number"
    if isinstance(outputs, tuple | list):
        shapes = ["×".join(map(str, one.shape)) if isinstance(one, Tensor) else type(one).__name__ for one in outputs]
        return f"a {type(outputs).__name__} of {', '.join(shapes) or 'nothing'}"
    keys = f" with the keys {', '.join(map(str, outputs))}" if isinstance(outputs, dict) else ""
    return f"an object of the type {type(outputs).__name__}{keys}"


def _advice(outputs: object, classes: int) -> str:
    """What to change in the network, by what it returned."""
    if not isinstance(outputs, Tensor):
        return "Return only the tensor of logits from `forward`, as in `return outputs.logits` or `return outputs[0]`."
    if outputs.ndim == 2 and len(outputs) == IMAGES:
        return f"Give its last layer {classes} outputs: the argument `classes` of the function is this number."
    return "End it with pooling or `nn.Flatten()`, and `nn.Linear(…, classes)`."
