"""What a dotted path of a pydantic model can hold: its sections, value types and defaults.

Fields of a section may be a union of sections that differ by ``name``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel


def sections_at(root: type[BaseModel], path: Sequence[str], tree: Any = None) -> list[type[BaseModel]]:
    """Section classes that can stand at a path; if there are several, a name in the tree narrows them down."""
    found: list[type[BaseModel]] = [root]
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
        fields = [section.model_fields[key] for section in found if key in section.model_fields]
        found = [kind for field in fields for kind in leaf_types(field.annotation) if is_section(kind)]
        name = tree.get("name") if isinstance(tree, dict) else None
        named = [
            kind
            for kind in found
            if "name" in kind.model_fields and name in get_args(kind.model_fields["name"].annotation)
        ]
        found = named or found
    return found


def field_paths(root: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted paths of all sections and values beneath a model, those of every member of a union included."""
    for name, field in root.model_fields.items():
        yield f"{prefix}{name}"
        for kind in leaf_types(field.annotation):
            if is_section(kind):
                yield from field_paths(kind, f"{prefix}{name}.")


def value_types(root: type[BaseModel], path: str) -> set[type] | None:
    """Plain types that a value at this dotted path may have; None if the path does not exist or is a free option."""
    *parents, last = path.split(".")
    fields = [s.model_fields[last] for s in sections_at(root, parents) if last in s.model_fields]
    return {kind for field in fields for kind in leaf_types(field.annotation)} if fields else None


def field_default(root: type[BaseModel], path: str, tree: Any) -> Any:
    """The declared default at a dotted path, given the names chosen in the tree; None if there is none."""
    *parents, last = path.split(".")
    for section in sections_at(root, parents, tree):
        if last in section.model_fields and not section.model_fields[last].is_required():
            return section.model_fields[last].get_default()
    return None


def is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def leaf_types(annotation: Any) -> Iterator[Any]:
    """The plain types within an annotation: unions opened, Annotated removed, literals as the type of their values."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from leaf_types(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for part in get_args(annotation):
            yield from leaf_types(part)
    elif origin is Literal:
        yield from {type(value) for value in get_args(annotation)}
    elif annotation is not NoneType:
        yield origin or annotation
