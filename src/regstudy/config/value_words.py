"""What pydantic found wrong with a value, in the words of someone who writes a YAML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from regstudy.text import counted, shortened

KINDS = {  # pydantic's kinds of errors → what is allowed
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of keys to values",
    "mapping_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "none_required": "null",
}
LIMITS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def value_words(details: Sequence[Mapping[str, Any]]) -> str:
    """A sentence about one value from all errors that pydantic found for it, one for each kind that it may have."""
    first = details[0]
    limits = [detail for detail in details if detail["type"] in LIMITS]
    if limits:  # it is of a kind that may stand there
        first = limits[0]
        key, word = LIMITS[first["type"]]
        allowed = f"must be {word} {first['ctx'][key]:g}"
    elif first["type"] == "too_short":
        allowed = f"must hold at least {counted(first['ctx']['min_length'], 'value')}"
    else:
        found = {KINDS[d["type"]] for d in details if d["type"] in KINDS}
        kinds = [kind for kind in dict.fromkeys(KINDS.values()) if kind in found]
        if "a number" in kinds and "a whole number" in kinds:
            kinds.remove("a whole number")
        allowed = f"must be {' or '.join(kinds)}" if kinds else f"{first['msg'][0].lower()}{first['msg'][1:]}"
    given = first.get("input")
    hint = " To search several values, write {choices: [a, b]}." if isinstance(given, list) and len(given) > 1 else ""
    return f"{allowed}, but it is {_as_written(given)}.{hint}"


def _as_written(value: Any) -> str:
    """A value as one writes it in a YAML file, if it is a single one."""
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return shortened(value)
