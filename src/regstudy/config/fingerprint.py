"""Fingerprints of what decides a run. Later versions of regstudy must not change existing fingerprints.

A study stores the fingerprint of what it was created for, and can only be resumed with the same one. Therefore a field
added by a later version is marked `Since`, and is left out of the fingerprint while it has its default. A renamed value
or field is still hashed under its old name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from regstudy.config.fields import field_default, is_section, leaf_types

STORED_NAMES = {"ops": {"color": "colour"}}  # values by key: the new name and the one that is hashed


@dataclass(frozen=True)
class Since:
    """Marks a field that version 0.1.0 did not have, and names the version that added it."""

    version: str


def fingerprint(tree: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits of nested plain values."""
    text = json.dumps(tree, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hashed(tree: Mapping[str, Any], root: type[BaseModel]) -> dict[str, Any]:
    """A copy of a tree of plain values without the later fields that have their default.

    ``root`` is the model of the tree. Ranges and choices are never defaults, so they stay. So do the values of a phase,
    where a default may undo what the run started with.
    """
    copy = _under_stored_names(json.loads(json.dumps(tree)))
    for path in later_fields(root):
        _drop_default(copy, path.split("."), field_default(root, path, tree))
    return dict(copy)


def later_fields(root: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted paths of all fields beneath a model that are marked `Since`."""
    for name, field in root.model_fields.items():
        if any(isinstance(mark, Since) for mark in field.metadata):
            yield f"{prefix}{name}"
            continue
        for kind in leaf_types(field.annotation):
            if is_section(kind):
                yield from later_fields(kind, f"{prefix}{name}.")


def _under_stored_names(node: Any, names: Mapping[str, str] = MappingProxyType({})) -> Any:
    """A tree in which renamed values have the names under which they are hashed."""
    if isinstance(node, dict):
        return {key: _under_stored_names(inner, STORED_NAMES.get(key, names)) for key, inner in node.items()}
    if isinstance(node, list):
        return [_under_stored_names(inner, names) for inner in node]
    return names.get(node, node) if isinstance(node, str) else node


def _drop_default(tree: dict[str, Any], path: list[str], default: Any) -> None:
    """Remove the value at a path if it is the default."""
    *parents, last = path
    for key in parents:
        inner = tree.get(key)
        if not isinstance(inner, dict):
            return
        tree = inner
    plain = default.model_dump(mode="json") if isinstance(default, BaseModel) else json.loads(json.dumps(default))
    if last in tree and tree[last] == plain:
        del tree[last]
