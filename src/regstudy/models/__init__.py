"""Networks: the table of builders, and how a configuration becomes a module.

A builder is a function ``build(channels, size, classes, **options) -> nn.Module`` for square images of ``size`` pixels;
it is passed those of the configuration's regularizers that it takes. A user-defined one is named
``package.module:function``, one of another library ``torchvision:resnet34`` or ``timm:resnet34``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import nn

from regstudy.config.declared_function import declared_function
from regstudy.config.plugins import call_problems, is_plugin, load_plugin, option_problems
from regstudy.config.run_config import RunConfig
from regstudy.config.schema import Model
from regstudy.config.user_code import guarded, returned, user_code
from regstudy.errors import ConfigError, Problem, unknown
from regstudy.models.dropout_cnn import dropout_cnn
from regstudy.models.libraries import (
    is_library_network,
    is_own_network,
    libraries_with,
    library_network,
    meant_library,
)
from regstudy.models.library_network import Images, LibraryNetwork
from regstudy.models.options import value_problems
from regstudy.models.output_check import check_output, next_size
from regstudy.models.small_cnn import small_cnn
from regstudy.models.stages import ParameterCounts, freeze, parameter_counts
from regstudy.models.svhn_resnet import svhn_resnet, svhn_resnet_deep
from regstudy.models.svhn_vgg import svhn_vgg
from regstudy.models.torchvision_resnet import resnet18_dropout, resnet18_transfer, resnet50_transfer
from regstudy.models.weights import StoredWeights, fill, find_weights, weights_problem

__all__ = [
    "BUILDERS",
    "BUILDER_REGULARIZERS",
    "Builder",
    "ParameterCounts",
    "build",
    "check_answers",
    "parameter_counts",
    "problems",
]

Builder = Callable[..., nn.Module]
BUILDERS: dict[str, Builder] = {
    "dropout_cnn": dropout_cnn,
    "resnet18_dropout": resnet18_dropout,
    "resnet18_transfer": resnet18_transfer,
    "resnet50_transfer": resnet50_transfer,
    "small_cnn": small_cnn,
    "svhn_resnet": svhn_resnet,
    "svhn_resnet_deep": svhn_resnet_deep,
    "svhn_vgg": svhn_vgg,
}
BUILDER_REGULARIZERS = ("dropout", "block_dropout", "stochastic_depth")  # fields of the section that go to builders
SIZES = ("channels", "size", "classes")
UNEXPECTED_ARGUMENT = re.compile(r"got an unexpected keyword argument '(\w+)'")
BUILDER_ARGUMENTS = (*SIZES, *BUILDER_REGULARIZERS)


def build(config: Model, channels: int, size: int, classes: int) -> nn.Module:
    """Build the configured network, initialized from torch's global generator; then load its initial weights, if any,
    and freeze the stages that are not trained.

    Raises ConfigError if the images are too small, the weights do not fit, or the stages to freeze are unknown.
    """
    builder = _builder(config.name)
    rates = {name: getattr(config, name) for name in BUILDER_REGULARIZERS if _takes(builder, name)}
    weights = find_weights(config.name, config.weights) if config.weights is not None else None
    settings = {**rates, **config.options}
    if isinstance(builder, LibraryNetwork):
        network = _of_a_library(builder, channels, size, classes, settings)
    elif is_plugin(config.name):
        network = _of_a_user(config.name, builder, channels, size, classes, settings)
    else:
        network = builder(channels=channels, size=size, classes=classes, **settings)
    if weights and isinstance(builder, LibraryNetwork):
        images = Images(channels, size, config.options)
        weights = StoredWeights(weights.path, builder.fitted(weights.tensors, network, images))
    if weights:
        fill(network, config.name, weights)
    freeze(network, config.trainable, config.name, classes)
    return network


def check_answers(config: Model, network: nn.Module, channels: int, size: int, classes: int) -> None:
    """ConfigError unless a user's own network answers two images with a number per class, or more.

    This runs the user's forward pass, so it belongs where one network is about to be trained, not where many are built.
    """
    if is_own_network(config.name):
        check_output(network, config.name, channels, size, classes)


def problems(config: RunConfig) -> Iterable[Problem]:
    """Problems of the model section that can be found without building the network."""
    model = config.model
    try:
        builder = _declared(model.name)
    except ConfigError as error:
        yield Problem("model.name", str(error), error)
        return
    wrong = call_problems(builder, SIZES, by_name=True, optional=BUILDER_REGULARIZERS)
    if wrong:
        yield from (Problem("model.name", f"'{model.name}' {sentence}") for sentence in wrong)
        return
    for sentence in option_problems(builder, model.options, BUILDER_ARGUMENTS):
        yield Problem("model.options", sentence)
    for sentence in value_problems(builder, {k: v for k, v in model.options.items() if k not in BUILDER_ARGUMENTS}):
        yield Problem("model.options", sentence)
    for name in BUILDER_REGULARIZERS:
        if getattr(model, name) > 0 and not _takes(builder, name):
            yield Problem(
                f"model.{name}",
                f"must be 0 because '{model.name}' does not support {name}. Networks that do: {_those_with(name)}.",
            )
    unfit = weights_problem(model.name, model.weights) if model.weights is not None else None
    if unfit:
        yield Problem("model.weights", unfit)
    if model.options.get("head_size") and any(c.training.balance == "weights" for c in config.in_phases()):
        yield Problem(
            "model.options",
            "head_size cannot be combined with training.balance: weights, which needs one output per class. Remove"
            " head_size, or set training.balance: oversample.",
        )


def _builder(name: str) -> Builder:
    """The builder of that name; importing a user-defined one runs the user's code."""
    if is_library_network(name):
        return library_network(name)
    if is_plugin(name):
        try:
            return guarded(name, load_plugin(name), ConfigError)
        except ConfigError as error:
            raise ConfigError(f"{error}{meant_library(name)}") from error.__cause__
    if name not in BUILDERS:
        raise ConfigError(unknown("model", name, BUILDERS) + _elsewhere(name))
    return BUILDERS[name]


def _declared(name: str) -> Builder:
    """What has the signature of the builder of that name, from its source if that tells it, without running it."""
    return (declared_function(name) if is_own_network(name) else None) or _builder(name)


def _of_a_user(
    name: str, builder: Builder, channels: int, size: int, classes: int, settings: Mapping[str, Any]
) -> nn.Module:
    """What a user's function returns; ConfigError if it is no network for these images, or cannot be called so."""
    try:
        network = builder(channels=channels, size=size, classes=classes, **settings)
    except ConfigError as error:
        refused = UNEXPECTED_ARGUMENT.search(str(error.__cause__)) if isinstance(error.__cause__, TypeError) else None
        if refused is None or refused[1] not in {*SIZES, *settings}:
            raise
        call = ", ".join((*SIZES, *settings))
        raise ConfigError(
            f"{error} '{name}' is called with {call}, and it passes '{refused[1]}' on to something that does not take"
            f" it. Write a function `def network({call})` that calls it with its own arguments.{meant_library(name)}"
        ) from error.__cause__
    if not isinstance(network, nn.Module):
        raise ConfigError(f"'{name}' must return a torch module (nn.Module), but it returned {returned(network)}.")
    return network


def _of_a_library(
    builder: LibraryNetwork, channels: int, size: int, classes: int, settings: Mapping[str, Any]
) -> nn.Module:
    """A library's network; ConfigError if it cannot be built for these images, with a size that it could be for."""

    def built(side: int) -> nn.Module:
        return builder(channels=channels, size=side, classes=classes, **settings)

    try:
        with user_code(f"'{builder.name}' for images of {channels}×{size}×{size} pixels"):
            network = built(size)
            check_output(network, builder.name, channels, size, classes)
    except ConfigError as error:
        larger = next_size(built, channels, size)
        if larger is None:
            raise
        raise ConfigError(
            f"{error} Images of {larger} pixels per side work: use larger images (data.size, preprocessing.crop) or"
            " another network (model.name)."
        ) from error
    return network


def _elsewhere(name: str) -> str:
    """Where else there is a network that is called so."""
    found = " or ".join(f"'{one}'" for one in libraries_with(name))
    return f" There is {found}." if found else ""


def _takes(builder: Callable[..., Any], name: str) -> bool:
    parameters = inspect.signature(builder).parameters.values()
    return any(parameter.name == name or parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _those_with(name: str) -> str:
    """The networks of the table that support a regularizer."""
    return ", ".join(sorted(label for label, builder in BUILDERS.items() if _takes(builder, name)))
