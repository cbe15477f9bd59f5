"""Networks: the table of builders, and how a configuration becomes a module.

A builder is a function ``build(channels, size, classes, **options) -> nn.Module`` for square images of ``size`` pixels;
it is passed those of the configuration's regularizers that it takes. A user-defined one is named
``package.module:function``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from regstudy.config.plugins import call_problems, is_plugin, load_plugin, option_problems
from regstudy.config.run_config import RunConfig
from regstudy.config.schema import Model
from regstudy.config.user_code import guarded, returned
from regstudy.errors import ConfigError, Problem, unknown
from regstudy.models.dropout_cnn import dropout_cnn
from regstudy.models.options import value_problems
from regstudy.models.small_cnn import small_cnn
from regstudy.models.stages import ParameterCounts, freeze, parameter_counts
from regstudy.models.svhn_resnet import svhn_resnet, svhn_resnet_deep
from regstudy.models.svhn_vgg import svhn_vgg
from regstudy.models.torchvision_resnet import resnet18_dropout, resnet18_transfer, resnet50_transfer
from regstudy.models.weights import fill, find_weights, weights_problem

__all__ = ["BUILDERS", "BUILDER_REGULARIZERS", "Builder", "ParameterCounts", "build", "parameter_counts", "problems"]

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
BUILDER_ARGUMENTS = (*SIZES, *BUILDER_REGULARIZERS)


def build(config: Model, channels: int, size: int, classes: int) -> nn.Module:
    """Build the configured network, initialized from torch's global generator; then load its initial weights, if any,
    and freeze the stages that are not trained.

    Raises ConfigError if the images are too small, the weights do not fit, or the stages to freeze are unknown.
    """
    builder = _builder(config.name)
    rates = {name: getattr(config, name) for name in BUILDER_REGULARIZERS if _takes(builder, name)}
    weights = find_weights(config.name, config.weights) if config.weights is not None else None
    network = builder(channels=channels, size=size, classes=classes, **rates, **config.options)
    if not isinstance(network, nn.Module):
        raise ConfigError(
            f"'{config.name}' must return a torch module (nn.Module), but it returned {returned(network)}."
        )
    if weights:
        fill(network, config.name, weights)
    freeze(network, config.trainable, config.name)
    return network


def problems(config: RunConfig) -> Iterable[Problem]:
    """Problems of the model section that can be found without building the network."""
    model = config.model
    try:
        builder = _builder(model.name)
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
    if is_plugin(name):
        return guarded(name, load_plugin(name), ConfigError)
    if name not in BUILDERS:
        raise ConfigError(unknown("model", name, BUILDERS))
    return BUILDERS[name]


def _takes(builder: Callable[..., Any], name: str) -> bool:
    parameters = inspect.signature(builder).parameters.values()
    return any(parameter.name == name or parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _those_with(name: str) -> str:
    """The networks of the table that support a regularizer."""
    return ", ".join(sorted(label for label, builder in BUILDERS.items() if _takes(builder, name)))
