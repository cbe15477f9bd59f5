"""The regularizers that are on in a configuration: their names, and the configuration without some of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regstudy.config.run_config import RunConfig, flatten, parse_config, set_path

STRENGTH, OPERATIONS = "augmentation.strength", "augmentation.ops"


@dataclass(frozen=True)
class ActiveRegularizer:
    """One that can be taken away: its short name, its path, and the single augmentation operation it is, if so."""

    name: str
    path: str
    operation: str | None = None


def active_regularizers(config: RunConfig, *, fine: bool = False) -> list[ActiveRegularizer]:
    """Those that are on, in the order of the configuration; with ``fine``, each augmentation operation is one."""
    plain = flatten(config.model_dump(mode="json"))
    on = [path for path, off in RunConfig.regularizers.items() if plain.get(path, off) != off]
    if not config.augmentation.ops and STRENGTH in on:
        on.remove(STRENGTH)
    found = []
    for name, path in zip(regularizer_words(on), on, strict=True):
        if fine and path == STRENGTH:
            found += [ActiveRegularizer(f"{name} by {op}", path, op) for op in config.augmentation.ops]
        else:
            found.append(ActiveRegularizer(name, path))
    return found


def without(config: RunConfig, off: Collection[ActiveRegularizer]) -> RunConfig:
    """A copy in which these are off, also in its phases."""
    tree = config.model_dump(mode="json")
    removed = {one.operation for one in off if one.operation}
    kept = [op for op in config.augmentation.ops if op not in removed]
    changes: dict[str, Any] = {one.path: RunConfig.regularizers[one.path] for one in off if one.operation is None}
    if removed and not kept:
        changes[STRENGTH] = RunConfig.regularizers[STRENGTH]
    elif removed:
        changes[OPERATIONS] = kept
    for path, value in changes.items():
        set_path(tree, path, value)
        for phase in tree["phases"]:
            if path in flatten(phase):
                set_path(phase, path, value)
    return parse_config(tree, "the configuration without some regularizers")


def regularizer_words(active: Mapping[str, object] | Sequence[str]) -> list[str]:
    """Short names of regularizers by their paths: ``dropout``, ``L2``, ``augmentation``; paths where these clash."""
    short = [_short(path) for path in active]
    return [name if short.count(name) == 1 else path for name, path in zip(short, active, strict=True)]


def _short(path: str) -> str:
    """The last part of a path that says what is regularized."""
    parts = [part for part in path.split(".") if part not in ("strength", "name", "rate", "p", "alpha", "on")]
    name = (parts or [path])[-1].replace("_", " ")
    return name.upper() if re.fullmatch(r"l\d", name) else name
