"""Validates the arguments of `examine`; invalid ones are errors, not findings."""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType

import torch
from torch import nn

from regstudy.config.user_code import user_code
from regstudy.doctor.parts import Part
from regstudy.errors import ArgumentError, DataError, require


def check_arguments(
    model: object,
    optimizer: object,
    loss: object,
    batch_size: object,
    classes: object,
    steps: object,
    on_progress: object,
) -> None:
    """ArgumentError for an argument of the wrong kind."""
    require("model", model, (nn.Module, NoneType), "a torch module")
    require("optimizer", optimizer, (torch.optim.Optimizer, NoneType), "a torch optimizer")
    if optimizer is not None and model is None:
        raise ArgumentError("optimizer: pass the model too; an optimizer alone cannot be examined.")
    for name, function in (("loss", loss), ("on_progress", on_progress)):
        if not callable(function) and not (name == "on_progress" and function is None):
            raise ArgumentError(f"{name} must be a function, but got {function!r}.")
    for name, value in (("batch_size", batch_size), ("steps", steps)):
        whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
        if not whole and not (name == "steps" and value is None):
            raise ArgumentError(f"{name} must be an integer of at least 1, but got {value!r}.")
    require("classes", classes, (Sequence, NoneType), "the names of the classes")


def check_parts(train: Part, validation: Part, classes: int) -> None:
    """DataError for labels out of range, and for parts of different shapes."""
    lowest = int(min(train.labels.min(), validation.labels.min()))
    highest = int(max(train.labels.max(), validation.labels.max()))
    if lowest < 0:
        raise DataError(f"Labels must start at 0, but there is a label {lowest}.")
    if classes and highest >= classes:
        raise DataError(f"Label {highest} is out of range: labels of {classes} classes are 0 to {classes - 1}.")
    shapes = tuple(train.images.shape[1:]), tuple(validation.images.shape[1:])
    if shapes[0] != shapes[1]:
        raise DataError(
            f"Training images have shape {shapes[0]} (C×H×W), but validation images have shape {shapes[1]}."
        )


def check_forward(model: nn.Module, part: Part) -> None:
    """DataError if the model fails on the images; the model is not changed."""
    was_training = model.training
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    shape = tuple(part.images.shape[1:])
    try:
        what = f"The model on images of shape {shape} (C×H×W)"
        with user_code(what, DataError), torch.random.fork_rng(devices=[]), torch.no_grad():
            model.eval()(part.inputs(part.sample(2)).to(device))
    finally:
        model.train(was_training)
