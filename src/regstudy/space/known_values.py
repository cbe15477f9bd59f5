"""Which point of a space a configuration is: the inverse of `Space.resolve`, for values that come from elsewhere.

A configuration may be complete, as `regstudy export` writes it, or name a few values. What it says about images, seeds
and metrics belongs to a study and is passed over. Everything else is a value that the space can draw, or one that it
cannot, or one that it fixes; nothing is dropped without a word.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from regstudy.config.fields import field_paths
from regstudy.config.run_config import RunConfig, config_problems, flatten, set_path
from regstudy.errors import Problem, unknown
from regstudy.space.ranges import Choice, Range, Scalar
from regstudy.space.search_space import Space, default, prefixes
from regstudy.text import shortened

OF_A_STUDY = ("data", "study", "training.seed", "training.metric", "training.also")
ABSENT = "absent"
LEFT_OPEN = "auto"  # the machine decides, and a stored configuration says how


@dataclass
class KnownValues:
    """``params``: values by Optuna name. ``outside``: values that cannot be drawn, and names that do not exist.

    ``fixed``: {path: (value of the space, value given)} where these differ. ``missing``: paths without a value.
    """

    params: dict[str, Scalar] = field(default_factory=dict)
    outside: list[Problem] = field(default_factory=list)
    fixed: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)  # paths whose value is a parameter's, or cannot be


def values_in(space: Space, tree: Mapping[str, Any]) -> KnownValues:
    """What a configuration, given as nested plain values, says about the parameters of a space."""
    found = _matched(space.tree, tree, "", "")
    open_: list[str] = []

    def choose(parameter: Any) -> Scalar:
        if parameter.name not in found.params:
            open_.append(parameter.path)
        return found.params.get(parameter.name, default(parameter))

    chosen = space.chosen(choose)
    found.missing = list(dict.fromkeys(path for path in open_ if path not in found.taken))
    wrong = config_problems(chosen)
    if wrong:
        found.outside += [] if found.outside else wrong  # values that cannot stand together
        return found
    settled = flatten(RunConfig.model_validate(chosen).model_dump(mode="json"))
    every = {*settled, *field_paths(RunConfig), *(parameter.path for parameter in space.parameters())}
    model = tree.get("model")
    other_network = isinstance(model, dict) and model.get("name", settled["model.name"]) != settled["model.name"]
    for path, value in flatten(tree).items():
        if set(prefixes(path)) & (found.taken | set(OF_A_STUDY)):
            continue
        if path not in every and not (other_network and path.startswith("model.")):
            found.outside.append(Problem(path, unknown("setting", path, every).partition(" Allowed: ")[0]))
        elif settled.get(path) != LEFT_OPEN and not _same(settled.get(path, ABSENT), value):
            found.fixed[path] = settled.get(path, ABSENT), value
    return found


def nested(tree: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """A mapping whose keys may be dotted paths as nested mappings, and problems of keys that contradict each other."""
    made: dict[str, Any] = {}
    problems, taken = [], set[str]()  # paths that have a value, and those that lead to one
    for path, value in _leaves(tree):
        try:
            if path in taken:
                raise KeyError(path)
            set_path(made, path, value)
            taken.update(prefixes(path))
        except KeyError:
            problems.append(Problem(path, "is given twice."))
    return made, problems


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """As `flatten`, but a path that is given twice comes twice."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _matched(node: Any, given: Any, name: str, path: str) -> KnownValues:
    """The values of all parameters beneath a node."""
    if isinstance(node, Range):
        return _in_range(node, given, name, path)
    if isinstance(node, Choice):
        return _among(node, given, name, path)
    found = KnownValues()
    if isinstance(node, dict) and isinstance(given, dict):
        for key in node.keys() & given.keys():
            inner = [f"{prefix}.{key}" if prefix else key for prefix in (name, path)]
            _join(found, _matched(node[key], given[key], *inner))
    return found


def _in_range(spec: Range, given: Any, name: str, path: str) -> KnownValues:
    if spec.off is not None and _same(spec.off.value, given):
        return KnownValues({f"{name}.on": False}, taken={path})
    number = isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
    if not number or not _can_be_drawn(spec, given):
        return KnownValues(
            outside=[Problem(path, f"is {_shown(given)}, but the space has {_words(spec)}.")], taken={path}
        )
    switch: dict[str, Scalar] = {f"{name}.on": True} if spec.off is not None else {}
    return KnownValues({**switch, name: int(given) if spec.integer or spec.powers else float(given)}, taken={path})


def _can_be_drawn(spec: Range, given: float) -> bool:
    if not spec.contains(given) or (spec.integer and given != int(given)):
        return False
    step = spec.step or (1 if spec.integer and not spec.log else None)
    return step is None or math.isclose((given - spec.low) / step, round((given - spec.low) / step), abs_tol=1e-8)


def _among(spec: Choice, given: Any, name: str, path: str) -> KnownValues:
    fitting = list(_fitting(spec, given, name, path))
    if not fitting:
        shown = given["name"] if isinstance(given, dict) and isinstance(given.get("name"), str) else _shown(given)
        names = ", ".join(map(str, spec.options))
        return KnownValues(outside=[Problem(path, f"is {shown}, but the space has {names}.")], taken={path})
    _, _, label, inner = min(fitting, key=lambda one: one[:2])
    _join(found := KnownValues({name: label}), inner)
    return found


def _fitting(spec: Choice, given: Any, name: str, path: str) -> Iterator[tuple[int, int, Scalar, KnownValues]]:
    """The options that a value can be, each with its number of wrong values, and of other ones that it fixes."""
    for label, option in spec.options.items():
        if isinstance(option, dict) and isinstance(given, dict):
            if _same(option.get("name"), given.get("name", option.get("name"))):
                inner = _matched(option, given, f"{name}.{label}", path)
                theirs, plain = flatten(given), {k: v for k, v in flatten(option).items() if not _open(v)}
                others = sum(not _same(value, theirs.get(key, value)) for key, value in plain.items())
                yield len(inner.outside), others, label, inner
        elif isinstance(option, Range | Choice):
            inner = _matched(option, given, f"{name}.{label}", path)
            if not inner.outside:
                yield 0, 0, label, inner
        elif _same(label, given) or _same(option, given):
            yield 0, 0, label, KnownValues(taken={path})


def _join(found: KnownValues, more: KnownValues) -> None:
    found.params |= more.params
    found.outside += more.outside
    found.taken |= more.taken


def _open(value: Any) -> bool:
    return isinstance(value, Range | Choice)


def _same(ours: Any, theirs: Any) -> bool:
    """Whether two plain values are equal; lists and tuples alike, and 1 is not True."""
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    if isinstance(ours, bool) != isinstance(theirs, bool):
        return False
    return bool(ours == theirs)


def _words(spec: Range) -> str:
    """``0.001 to 0.1, or 0``."""
    if spec.powers:
        words = ", ".join(map(str, spec.powers))
    else:
        words = f"{spec.low:g} to {spec.high:g}" + (f" in steps of {spec.step:g}" if spec.step else "")
    return words + (f", or {spec.off.value:g}" if spec.off is not None else "")


def _shown(given: Any) -> str:
    if isinstance(given, dict) and {"low", "high", "choices"} & given.keys():
        return "a range or a choice"
    return shortened(given)


def fixed_words(fixed: Mapping[str, tuple[Any, Any]], most: int = 6) -> str:
    """``training.epochs 40 (not 60), …``: what a space fixes otherwise."""
    shown = [f"{path} {_plain(ours)} (not {_plain(theirs)})" for path, (ours, theirs) in fixed.items()]
    return _cut(shown, most)


def _cut(items: Iterable[str], most: int) -> str:
    listed = list(items)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else shortened(value, 40)
