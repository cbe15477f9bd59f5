"""Stages: the parts of a network from input to output, and which of them are trained.

A network declares them in an attribute ``stages``, a tuple from input to output. Each entry is the name of a submodule,
or a tuple of names that belong together; the last entry is the head. Parameters outside all stages are trained only if
the whole network is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from torch import nn

from regstudy.errors import ConfigError, unknown
from regstudy.models.known_stages import known_stages, output_layer
from regstudy.text import counted

Stage = str | tuple[str, ...]
TRAINED_STAGES = {"head": 1, "last_stage": 2}  # number of stages, counted from the output
GUARD_NAME = "frozen_modules"  # of the child that keeps frozen modules in eval mode


class ParameterCounts(NamedTuple):
    """The number of parameters of a network, and how many of them are trainable."""

    total: int
    trainable: int


def parameter_counts(network: nn.Module) -> ParameterCounts:
    """The parameters of a network; shared ones count once, running statistics do not count."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in network.parameters()]
    return ParameterCounts(sum(size for size, _ in sizes), sum(size for size, learns in sizes if learns))


def staged(network: nn.Module, *stages: Stage) -> nn.Module:
    """Declare the stages of a network, from input to output, and return it."""
    network.stages = stages  # type: ignore[assignment]
    return network


def stages_of(network: nn.Module) -> tuple[tuple[str, ...], ...]:
    """The stages that a network declares, or that timm and torchvision tell, each as a tuple of names; or none.

    Raises ConfigError if the attribute has another form or names an unknown submodule. A child module that happens to
    be called ``stages`` is not a declaration.
    """
    declared = getattr(network, "stages", None)
    if declared is None or isinstance(declared, nn.Module):
        return known_stages(network)
    kind = type(network).__name__
    if not isinstance(declared, tuple | list):
        raise ConfigError(f"{kind}.stages must be a tuple of names of submodules, but it is {declared!r}.")
    stages = tuple(tuple(stage) if isinstance(stage, tuple | list) else (stage,) for stage in declared)
    existing = {label for label, _ in network.named_modules() if label}
    for name in (name for stage in stages for name in stage):
        if name not in existing:
            children = existing if "." in str(name) else {label for label in existing if "." not in label}
            raise ConfigError(f"{kind}.stages is wrong: {unknown('submodule', str(name), children)}")
    return stages


def freeze(
    network: nn.Module, trainable: Literal["head", "last_stage", "all"], name: str, classes: int | None = None
) -> None:
    """Freeze everything but the head, or but the head and the stage before it; ``all`` changes nothing.

    Frozen modules get no gradient and stay in eval mode even after ``train()``: batch normalization keeps its running
    statistics, and dropout is off. Names and values in the state dict do not change. ``name`` is the name of the
    network in messages. The head of a network without stages is its last layer, if this has one output for each of
    the ``classes``. Raises ConfigError if the stages are unknown or nothing would be trained.
    """
    if trainable == "all":
        return
    stages, wanted = stages_of(network), TRAINED_STAGES[trainable]
    if not stages and trainable == "head" and classes is not None:
        last = output_layer(network, classes)
        stages = ((last,),) if last else ()
    if len(stages) < wanted:
        has = f"declares only {counted(len(stages), 'stage')}" if stages else "declares no stages"
        raise ConfigError(
            f"model.trainable is '{trainable}', but '{name}' {has}, so it is unknown what to freeze. Give the module an"
            " attribute `stages` with the names of its submodules from input to output, such as ('stem', 'body',"
            " 'head'), or set model.trainable to all."
        )
    names = tuple(name for stage in stages[-wanted:] for name in stage)
    learning = {id(p) for name in names for p in network.get_submodule(name).parameters()}
    for parameter in network.parameters():
        if id(parameter) not in learning:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ConfigError(
            f"model.trainable is '{trainable}', but {', '.join(names)} of '{name}' has no trainable parameters."
            " Set model.trainable to all, or let `stages` end with the output layers."
        )
    trained = {id(module) for module in modules_around(network, names)}
    frozen = [module for module in network.modules() if id(module) not in trained]
    network.add_module(GUARD_NAME, FrozenModules(frozen))
    network.train(network.training)


class FrozenModules(nn.Identity):
    """The last child of a partly frozen network; it keeps the frozen modules in eval mode.

    ``train()`` of a network calls ``train()`` of its children in order, so this one comes after the frozen ones. It has
    no parameters and passes its input on, so names and values of weights and the output of a `Sequential` are
    unchanged. The modules are in a plain list, so that they are not registered twice; a copy of the network has its
    own.
    """

    def __init__(self, frozen: list[nn.Module]) -> None:
        super().__init__()
        self.frozen = frozen
        self.training = False

    def train(self, mode: bool = True) -> FrozenModules:  # noqa: ARG002
        """Put the frozen modules, and this one, into eval mode, whatever the mode of the network."""
        for module in (*self.frozen, self):
            module.training = False
        return self


def modules_around(network: nn.Module, names: Iterable[str]) -> Iterable[nn.Module]:
    """The network, all modules within the named ones, and those that contain them."""
    yield network
    for name in names:
        parts = name.split(".")
        yield from (network.get_submodule(".".join(parts[:depth])) for depth in range(1, len(parts)))
        yield from network.get_submodule(name).modules()
