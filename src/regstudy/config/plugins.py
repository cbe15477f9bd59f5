"""User-defined models, data sets and schedules, named ``package.module:function``, and how they can be called."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from regstudy.config.user_code import is_library, user_code
from regstudy.errors import ConfigError, unknown

_own_modules: set[str] = set()


def is_plugin(name: str) -> bool:
    """Whether a name refers to a user-defined function."""
    return ":" in name


def own_modules() -> list[ModuleType]:
    """The user's own modules: those of `load_plugin`, and what they import from the folder in which they lie.

    Whole packages where a function lies in one; installed libraries are left out.
    """
    found = {name: folder for name in _own_modules if (folder := _folder_of(sys.modules.get(name))) is not None}
    others = {name: _folder_of(module) for name, module in list(sys.modules.items()) if "." not in name}
    names = {name for name, folder in others.items() if folder in found.values() and name != "__main__"}
    return [sys.modules[name] for name in sorted(names)]


def _folder_of(module: ModuleType | None) -> Path | None:
    """The folder in which a module or package lies; None if it is none of the user's own."""
    places = list(getattr(module, "__path__", [])) or [getattr(module, "__file__", None)]
    if len(places) != 1 or not isinstance(places[0], str) or is_library(places[0]):
        return None
    return Path(places[0]).resolve().parent


@cache
def load_plugin(name: str) -> Callable[..., Any]:
    """The function that ``package.module:function`` names; modules in the current directory are found, too.

    Importing it runs the user's code. ConfigError if it cannot be had. Call it within `user_code`, or `guarded`.
    """
    module_name, _, function_name = name.partition(":")
    if module_name.endswith(".py") or not all(part.isidentifier() for part in [*module_name.split("."), function_name]):
        raise ConfigError(f"'{name}' must be package.module:function{_as_a_module(module_name, function_name)}.")
    module = _imported(name, module_name)
    _own_modules.add(module_name.partition(".")[0])
    function = getattr(module, function_name, None)
    if function is None:
        functions = [label for label, value in vars(module).items() if inspect.isfunction(value)]
        close = get_close_matches(function_name, functions, n=1, cutoff=0.5)
        hint = f" Did you mean '{module_name}:{close[0]}'?" if close else ""
        where = getattr(module, "__file__", None) or "built into Python"
        raise ConfigError(f"'{name}': module {module_name} ({where}) has no '{function_name}'.{hint}")
    if not callable(function):
        raise ConfigError(f"'{name}' is not a function.")
    return function  # type: ignore[no-any-return]


def call_problems(
    function: Callable[..., Any], arguments: Sequence[str], *, by_name: bool, optional: Sequence[str] = ()
) -> list[str]:
    """Sentences about a function that cannot be called with these arguments, in this order or by these names.

    ``optional`` arguments are passed by name if the function takes them. A function whose signature Python cannot read
    passes, since it may be right.
    """
    parameters = _parameters(function)
    if parameters is None:
        return []
    taken: set[str] = set()
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if by_name:
        anything = any(p.kind is p.VAR_KEYWORD for p in parameters)
        taken = {p.name for p in parameters if p.kind in named}
        sound = anything or taken.issuperset(arguments)
        unfilled = [p for p in parameters if p.kind is p.POSITIONAL_ONLY and p.default is p.empty]
        call = ", ".join(f"{name}=…" for name in [*arguments, *(name for name in optional if name in taken)])
    else:
        anything = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        sound = anything or len(positional) >= len(arguments)
        unfilled = [p for p in positional[len(arguments) :] if p.kind is p.POSITIONAL_ONLY and p.default is p.empty]
        call = ", ".join(arguments)
    if sound and not unfilled:
        return []
    name = getattr(function, "__name__", "function")
    given = ", ".join(str(p.replace(annotation=p.empty)) for p in parameters)
    lacking = [f"'{one}'" for one in arguments if by_name and one not in taken]
    lacks = f" It lacks the parameter{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}." if lacking else ""
    return [f"is called as {name}({call}), but it is defined as {name}({given}).{lacks}"]


def option_problems(
    function: Callable[..., Any], options: Mapping[str, Any], reserved: Sequence[str], *, by_name: bool = True
) -> list[str]:
    """Sentences about unknown options and about required ones that are missing.

    ``reserved`` are the arguments that the function gets anyway: by these names, or before all others.
    """
    parameters = _parameters(function)
    if parameters is None:
        return ["Python cannot read the signature of this built-in. Write a function of your own that calls it."]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if by_name:
        others = [p for p in parameters if p.name not in reserved]
    else:
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        reserved = [p.name for p in positional[: len(reserved)] if p.kind is p.POSITIONAL_OR_KEYWORD]
        others = [p for p in parameters if p not in positional[: len(reserved)]]
    named = {p.name: p for p in others if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    wrong = [
        unknown("option", name, named) for name in options if name in reserved or (name not in named and not takes_any)
    ]
    missing = [name for name, p in named.items() if p.default is p.empty and name not in options]
    return wrong + [f"the option '{name}' is required but missing." for name in missing]


def _imported(name: str, module_name: str) -> ModuleType:
    """The module, imported from the current directory if it is there."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    importlib.invalidate_caches()  # the file may be younger than the last look into the folder
    try:
        with user_code(f"'{name}' cannot be imported: its module"):
            return importlib.import_module(module_name)
    except ConfigError as error:
        missing = getattr(error.__cause__, "name", None) if isinstance(error.__cause__, ModuleNotFoundError) else None
        if missing is None or not f"{module_name}.".startswith(f"{missing}."):
            raise
    there = [path.stem for path in Path.cwd().glob("*.py")]
    close = get_close_matches(module_name, there, n=1, cutoff=0.5)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise ConfigError(
        f"'{name}' cannot be imported: there is no module '{missing}' in {here} or among the installed packages.{hint}"
    )


def _as_a_module(module_name: str, function_name: str) -> str:
    """What a path to a file would be as a module's name."""
    parts = Path(module_name.removesuffix(".py")).parts
    if not (function_name.isidentifier() and parts and all(part.isidentifier() for part in parts)):
        return ", as in mine:network for the function `network` in mine.py"
    return f", a module and not a file. Did you mean '{'.'.join(parts)}:{function_name}'? It is found from this folder"


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """The parameters of a function; None if Python cannot tell them."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        return None
