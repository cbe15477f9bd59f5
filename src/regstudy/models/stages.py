"""Stages: which children of a network are its parts from input to output, and which of them learn.

A network says so with an attribute ``stages``, a tuple from input to output. Each entry is the name of a submodule, or
a tuple of names that belong together; the last entry is the head. What no entry names never learns unless all does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from torch import nn

from regstudy.errors import ConfigError, unknown

Stage = str | tuple[str, ...]
LEARNING = {"head": 1, "last_stage": 2}  # how many stages, counted from the output


class ParameterCounts(NamedTuple):
    """Numbers of a network has, and how many of them learn."""

    total: int
    trainable: int


def parameter_counts(network: nn.Module) -> ParameterCounts:
    """How many parameters a network has; shared ones count once, running statistics are none."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in network.parameters()]
    return ParameterCounts(sum(size for size, _ in sizes), sum(size for size, learns in sizes if learns))


def staged(network: nn.Module, *stages: Stage) -> nn.Module:
    """The same network with its stages declared, from input to output."""
    network.stages = stages  # type: ignore[assignment]
    return network


def stages_of(network: nn.Module) -> tuple[tuple[str, ...], ...]:
    """The declared stages, each as a tuple of names; empty if there are none.

    Raises ConfigError if the attribute is not of that form or names what does not exist. A child module that happens
    to be called ``stages`` is no declaration.
    """
    declared = getattr(network, "stages", None)
    if declared is None or isinstance(declared, nn.Module):
        return ()
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


def freeze(network: nn.Module, trainable: Literal["head", "last_stage", "all"], name: str) -> None:
    """Let only the head, or the head and the stage before it, learn; ``all`` changes nothing.

    The rest gets no gradient and stays in evaluation mode even under ``train()``: its batch normalisation keeps its
    running statistics and its dropout is silent. Names and values of the state do not change. ``name`` is what the
    network is called in messages. Raises ConfigError if the stages are not known or nothing would learn.
    """
    if trainable == "all":
        return
    stages, wanted = stages_of(network), LEARNING[trainable]
    if len(stages) < wanted:
        has = f"declares only {len(stages)}" if stages else "declares none"
        raise ConfigError(
            f"model.trainable is '{trainable}', but '{name}' {has} of the stages that would say what to freeze. Give"
            " the module an attribute `stages` with the names of its submodules from input to output, such as"
            " ('stem', 'body', 'head'), or set model.trainable to all."
        )
    names = tuple(name for stage in stages[-wanted:] for name in stage)
    learning = {id(p) for name in names for p in network.get_submodule(name).parameters()}
    for parameter in network.parameters():
        if id(parameter) not in learning:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ConfigError(
            f"model.trainable is '{trainable}', but {', '.join(names)} of '{name}' has no parameter that can learn."
            " Set model.trainable to all, or let `stages` end with the layers that give the answer."
        )
    kind = type(network)
    network._learning = names  # type: ignore[assignment]
    network.__class__ = type(f"Frozen{kind.__name__}", (_KeepsEvaluating, kind), {})
    network.train(network.training)


class _KeepsEvaluating(nn.Module):
    """Put before a network's own class: ``train()`` reaches the learning submodules and those around them only.

    A class and not a hook or a function on the instance, so that copies freeze their own parts and flags are right
    from the call of ``train()`` on.
    """

    _learning: tuple[str, ...]

    def train(self, mode: bool = True) -> _KeepsEvaluating:
        super().train(mode)
        spared = {id(module) for module in _with_surroundings(self, self._learning)}
        for module in self.modules():
            if id(module) not in spared:
                module.training = False
        return self


def _with_surroundings(network: nn.Module, names: Iterable[str]) -> Iterable[nn.Module]:
    """All modules within the named ones, and those that contain them."""
    yield network
    for name in names:
        parts = name.split(".")
        yield from (network.get_submodule(".".join(parts[:depth])) for depth in range(1, len(parts)))
        yield from network.get_submodule(name).modules()
