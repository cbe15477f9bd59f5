"""Checks the values of a network's options against the annotations of its builder, before it is built."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from regstudy.errors import unknown

TYPE_DESCRIPTIONS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    NoneType: "null",
}


def value_problems(builder: Callable[..., Any], options: Mapping[str, Any]) -> Iterator[str]:
    """Sentences about options whose values are not of the annotated kind.

    Only plain kinds (bool, int, float, str, None, Literal and unions of them) are checked; a builder with other
    annotations must check its options itself.
    """
    try:
        hints = get_type_hints(builder)
    except Exception:  # annotations of a user-defined network may refer to names that do not exist at run time
        return
    for name, value in options.items():
        kinds = list(_members(hints[name])) if name in hints else []
        if not kinds or any(kind not in TYPE_DESCRIPTIONS and get_origin(kind) is not Literal for kind in kinds):
            continue
        if any(_is(value, kind) for kind in kinds):
            continue
        literals = [str(word) for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
        words = [TYPE_DESCRIPTIONS[kind] for kind in kinds if kind in TYPE_DESCRIPTIONS]
        if literals and not words:
            yield f"{name}: {unknown('value', str(value), literals)}"
        else:
            yield f"the option '{name}' must be {' or '.join(words + literals)}, but it is {value!r}."


def _members(hint: Any) -> Iterator[Any]:
    """The kinds in a union, or the kind itself."""
    if get_origin(hint) in (Union, UnionType):
        for member in get_args(hint):
            yield from _members(member)
    else:
        yield hint


def _is(value: Any, kind: Any) -> bool:
    """Whether a value is of a plain kind: no boolean is a number, but whole numbers are numbers."""
    if get_origin(kind) is Literal:
        return any(value == word and type(value) is type(word) for word in get_args(kind))
    return type(value) is kind or (kind is float and type(value) is int)
