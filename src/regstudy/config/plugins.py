"""User-defined models and data sets, named ``package.module:function``, and checks of options against a signature."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from regstudy.errors import ConfigError, unknown


def is_plugin(name: str) -> bool:
    """Whether a name refers to a user-defined function."""
    return ":" in name


@cache
def load_plugin(name: str) -> Callable[..., Any]:
    """The function that ``package.module:function`` names; modules in the current directory are found, too."""
    module_name, _, function_name = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        module = import_module(module_name)
    except (ImportError, TypeError, ValueError) as error:
        raise ConfigError(f"'{name}' cannot be imported: {str(error).rstrip('.')}.") from None
    function = getattr(module, function_name, None)
    if function is None:
        raise ConfigError(f"'{name}': module {module_name} has no '{function_name}'.")
    if not callable(function):
        raise ConfigError(f"'{name}' is not a function.")
    return function  # type: ignore[no-any-return]


def option_problems(function: Callable[..., Any], options: Mapping[str, Any], reserved: set[str]) -> list[str]:
    """Sentences about unknown options and about required ones that are missing."""
    parameters = inspect.signature(function).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    named = {
        name: parameter
        for name, parameter in parameters.items()
        if name not in reserved and parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    }
    wrong = [] if takes_any else [unknown("option", name, named) for name in options if name not in named]
    missing = [name for name, p in named.items() if p.default is p.empty and name not in options]
    return wrong + [f"the option '{name}' is required but missing." for name in missing]
