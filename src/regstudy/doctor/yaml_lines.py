"""Changes of a configuration as the YAML lines that make them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

from regstudy.config.run_config import set_path

MAX_YAML_COLUMNS = 100_000  # so that a value stays on one line


def flow(value: Any) -> str:
    """A value as YAML on one line, with mappings in braces and lists in brackets."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width, yaml.allow_unicode = True, MAX_YAML_COLUMNS, True
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = io.StringIO()
    yaml.dump({"value": _simple(value)}, stream)
    return stream.getvalue().strip().removeprefix("{value: ").removesuffix("}")


def configuration_lines(changes: Mapping[str, Any]) -> list[str]:
    """One line per section, as in `data: {group: near_duplicates}`; removals are comments."""
    tree: dict[str, Any] = {}
    removed = [path for path, value in changes.items() if is_removal(path, value)]
    for path, value in changes.items():
        if path not in removed:
            set_path(tree, path, value)
    return [f"{key}: {flow(value)}" for key, value in tree.items()] + [f"# remove {path}" for path in removed]


def is_removal(path: str, value: Any) -> bool:
    """Whether a change removes a key: null does so under `options`, which cannot be unset otherwise."""
    return value is None and "options" in path.split(".")[1:-1]


def _simple(value: Any) -> Any:
    """Nested plain values: tuples become lists, numbers of numpy Python's own."""
    if isinstance(value, Mapping):
        return {str(key): _simple(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_simple(inner) for inner in value]
    return value.item() if hasattr(value, "item") else value
