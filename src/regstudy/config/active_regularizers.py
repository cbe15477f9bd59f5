"""The regularizers that are on in a configuration: their names, and the configuration without some of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from regstudy.config.run_config import RunConfig, flatten, parse_config, set_path

STRENGTH, OPERATIONS = "augmentation.strength", "augmentation.ops"


@dataclass(frozen=True)
class ActiveRegularizer:
    """One that can be taken away: its short name, its path, and the single augmentation operation it is, if so."""

    name: str
    path: str
    operation: str | None = None


def active_regularizers(config: RunConfig, *, fine: bool = False) -> list[ActiveRegularizer]:
    """Those that are on in any phase, in the order of the schema; with ``fine``, each augmentation operation is one."""
    on, operations = set(), list[str]()
    for phase in config.in_phases():
        plain = flatten(phase.model_dump(mode="json"))
        active = {path for path, off in RunConfig.regularizers.items() if plain.get(path, off) != off}
        if STRENGTH in active:
            operations += phase.augmentation.ops
        on |= active if phase.augmentation.ops else active - {STRENGTH}
    paths = [path for path in RunConfig.regularizers if path in on]
    found = []
    for name, path in zip(regularizer_words(paths), paths, strict=True):
        if fine and path == STRENGTH:
            found += [ActiveRegularizer(f"{name} by {op}", path, op) for op in dict.fromkeys(operations)]
        else:
            found.append(ActiveRegularizer(name, path))
    return found


def without(config: RunConfig, off: Collection[ActiveRegularizer]) -> RunConfig:
    """A copy in which these are off, in every phase; with none left, it is that of `without_regularizers`."""
    if {one.name for one in off}.issuperset(one.name for one in active_regularizers(config, fine=_by_operation(off))):
        return config.without_regularizers()
    tree = config.model_dump(mode="json")
    removed = {one.operation for one in off if one.operation}
    values = {one.path: RunConfig.regularizers[one.path] for one in off if one.operation is None}
    for part in (tree, *tree["phases"]):
        plain = flatten(part)
        for path, value in values.items():
            if part is tree or path in plain:
                set_path(part, path, value)
        if removed and OPERATIONS in plain:
            kept = [op for op in plain[OPERATIONS] if op not in removed]
            set_path(part, OPERATIONS, kept)
            if not kept:
                set_path(part, STRENGTH, RunConfig.regularizers[STRENGTH])
    return parse_config(tree, "the configuration without some regularizers")


def _by_operation(off: Collection[ActiveRegularizer]) -> bool:
    return any(one.operation for one in off)


def regularizer_words(active: Mapping[str, object] | Sequence[str]) -> list[str]:
    """Short names of regularizers by their paths: ``dropout``, ``L2``, ``augmentation``; paths where these clash."""
    short = [_short(path) for path in active]
    return [name if short.count(name) == 1 else path for name, path in zip(short, active, strict=True)]


def _short(path: str) -> str:
    """The last part of a path that says what is regularized."""
    parts = [part for part in path.split(".") if part not in ("strength", "name", "rate", "p", "alpha", "on")]
    name = (parts or [path])[-1].replace("_", " ")
    return name.upper() if re.fullmatch(r"l\d", name) else name
