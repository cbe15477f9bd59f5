"""What the source of a user's function says about its parameters, read without running any of it."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path
from typing import Any, Literal, Optional, Union

_INNER_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_PLAIN = {"bool": bool, "int": int, "float": float, "str": str, "None": None}
_GENERIC = {"Literal": Literal, "Optional": Optional, "Union": Union}


class SourceText(str):
    """A default value that only running the code would give; it is shown as it was written."""

    def __repr__(self) -> str:
        return str(self)


def declared_function(name: str) -> Callable[..., Any] | None:
    """A stand-in with name, signature and plain annotations of the function that ``package.module:function`` names.

    None where only an import can tell: no source, a decorator, a class, an import, or a name that is bound twice.
    """
    module_name, _, function_name = name.partition(":")
    source = _source(module_name)
    if source is None:
        return None
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    bindings = [node for node in _module_scope(tree) if _binds(node, function_name)]
    found = bindings[0] if len(bindings) == 1 else None
    if not isinstance(found, ast.FunctionDef) or found not in tree.body or found.decorator_list:
        return None

    def stand_in(*_arguments: object, **_options: object) -> None:
        raise NotImplementedError(f"{name} was only read")

    stand_in.__name__ = function_name
    stand_in.__signature__ = inspect.Signature(_parameters(found.args))  # type: ignore[attr-defined]
    arguments = (*found.args.posonlyargs, *found.args.args, *found.args.kwonlyargs)
    kinds = {argument.arg: _kind(argument.annotation) for argument in arguments}
    stand_in.__annotations__ = {label: kind[0] for label, kind in kinds.items() if kind}
    return stand_in


def _source(module_name: str) -> str | None:
    """The source of a module, found as Python would, but without importing the packages around it."""
    first, *rest = module_name.split(".")
    if first in sys.builtin_module_names:
        return None
    try:
        spec = PathFinder.find_spec(first, [*sys.path, str(Path.cwd())])
        names = [first]
        for part in rest:
            if spec is None or spec.submodule_search_locations is None:
                return None
            names.append(part)
            spec = PathFinder.find_spec(".".join(names), list(spec.submodule_search_locations))
        loader = spec.loader if spec else None
        return loader.get_source(module_name) if isinstance(loader, SourceFileLoader) else None
    except (ImportError, OSError, SyntaxError, ValueError):
        return None


def _module_scope(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes that run when the module is imported, without the bodies of functions and classes."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, _INNER_SCOPES):
            yield from _module_scope(child)


def _binds(node: ast.AST, name: str) -> bool:
    """Whether a node gives the name a value; a star import may."""
    if isinstance(node, ast.alias):
        return node.name == "*" or (node.asname or node.name.partition(".")[0]) == name
    if isinstance(node, ast.Name):
        return node.id == name and not isinstance(node.ctx, ast.Load)
    return getattr(node, "name", None) == name


def _parameters(arguments: ast.arguments) -> list[inspect.Parameter]:
    """The parameters that a definition lists."""
    positional: list[tuple[ast.arg, Any]]
    positional = [(one, inspect.Parameter.POSITIONAL_ONLY) for one in arguments.posonlyargs]
    positional += [(one, inspect.Parameter.POSITIONAL_OR_KEYWORD) for one in arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    found = [_parameter(one, kind, given) for (one, kind), given in zip(positional, defaults, strict=True)]
    if arguments.vararg:
        found.append(_parameter(arguments.vararg, inspect.Parameter.VAR_POSITIONAL, None))
    for one, given in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found.append(_parameter(one, inspect.Parameter.KEYWORD_ONLY, given))
    if arguments.kwarg:
        found.append(_parameter(arguments.kwarg, inspect.Parameter.VAR_KEYWORD, None))
    return found


def _parameter(argument: ast.arg, kind: Any, default: ast.expr | None) -> inspect.Parameter:
    return inspect.Parameter(argument.arg, kind, default=_value(default) if default else inspect.Parameter.empty)


def _value(node: ast.expr) -> object:
    """The value of a literal, or the source of anything else."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return SourceText(ast.unparse(node))


def _kind(node: ast.expr | None) -> tuple[Any] | None:
    """The kind that an annotation names, if it is built of plain kinds, `Literal`, `Optional`, `Union` and ``|``."""
    try:
        return None if node is None else (_evaluated(node),)
    except (KeyError, TypeError, ValueError, SyntaxError):
        return None


def _evaluated(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=None):
            return None
        case ast.Constant(value=str(text)):
            return _evaluated(ast.parse(text, mode="eval").body)
        case ast.Name(id=label):
            return _PLAIN[label]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return Union[_evaluated(left), _evaluated(right)]  # noqa: UP007  # the kinds are values here
        case ast.Subscript(value=ast.Name(id=label) | ast.Attribute(attr=label), slice=inner):
            items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            given = [ast.literal_eval(item) if label == "Literal" else _evaluated(item) for item in items]
            return _GENERIC[label][given[0] if label == "Optional" else tuple(given)]
    raise KeyError(ast.unparse(node))
