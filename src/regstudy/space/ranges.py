"""Ranges of numbers and choices, which a space file may give instead of a value. Parsing collects all errors.

A tree is a space with its ranges parsed: nested dictionaries whose leaves are plain values, `Range`s and `Choice`s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from regstudy.config.fields import field_default, is_section, value_types
from regstudy.config.known_keys import RANGE_SYNONYMS, unknown_range_key
from regstudy.config.run_config import RunConfig
from regstudy.errors import Problem, unknown
from regstudy.text import shortened

Scalar = bool | int | float | str | None
RANGE_KEYS = {"low", "high", "log", "step", "powers_of", "default", "or"}
CHOICE_KEYS = {"choices", "default"}
MOST_STEPS = 1_000_000  # of a range with `step`
MOST_CHOICES = 200  # each is checked, and a search could not try more
TYPE_NAMES = {str: "text", bool: "true or false", tuple: "a list", dict: "a mapping"}


@dataclass(frozen=True)
class Off:
    """The off value that a range may take instead of a number within it."""

    value: int | float


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, inclusive; ``powers_of`` allows only the powers of that number."""

    low: float
    high: float
    default: float
    log: bool = False
    step: float | None = None
    powers_of: int | None = None
    off: Off | None = None
    starts_off: bool = False
    integer: bool = False

    @property
    def powers(self) -> list[int]:
        """The values of a `powers_of` range, ascending; empty for any other."""
        if self.powers_of is None:
            return []
        first, last = (round(math.log(end, self.powers_of)) for end in (self.low, self.high))
        return [self.powers_of**exponent for exponent in range(first, last + 1)]

    def contains(self, value: float) -> bool:
        """Whether a value can be drawn from the range, not counting its off value."""
        return value in self.powers if self.powers_of else self.low <= value <= self.high

    def plain(self) -> dict[str, Any]:
        """The range as written in a file."""
        tree: dict[str, Any] = {"or": self.off.value} if self.off else {}
        tree |= {"low": self.low, "high": self.high}
        tree |= {"log": True} if self.log else {}
        tree |= {"step": self.step} if self.step is not None else {}
        tree |= {"powers_of": self.powers_of} if self.powers_of else {}
        return tree | {"default": self.off.value if self.off and self.starts_off else self.default}


@dataclass(frozen=True)
class Choice:
    """One of several values; a mapping among them may contain ranges, active only while it is chosen."""

    options: Mapping[Scalar, Any]  # label → subtree
    default: Scalar

    def plain(self) -> dict[str, Any]:
        """The choice as written in a file."""
        values = []
        for label, option in self.options.items():
            value = plain(option)
            named = isinstance(value, dict) and value.get("name") != label
            values.append({"label": label} | value if named else value)
        return {"choices": values, "default": self.default}


def plain(tree: Any) -> Any:
    """A tree as plain values for a file; `parse` is its inverse."""
    if isinstance(tree, Range | Choice):
        return tree.plain()
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    return list(tree) if isinstance(tree, tuple) else tree


def parse(value: Any, path: str, whole: Any, problems: list[Problem]) -> Any:
    """The tree of a plain value at a configuration path; `whole` is its file. Appends errors to `problems`."""
    if not isinstance(value, dict):
        return value
    if "choices" in value:
        return _parse_choice(value, path, whole, problems)
    if {"low", "high"} & value.keys() or ("or" in value and value.keys() <= RANGE_KEYS):
        return _parse_range(value, path, whole, problems)
    types = value_types(RunConfig, path) if path else None
    if types and not any(kind is dict or is_section(kind) for kind in types):
        problems.append(Problem(path, _not_a_mapping(value)))
        return value
    return {key: parse(inner, f"{path}.{key}" if path else str(key), whole, problems) for key, inner in value.items()}


def _not_a_mapping(value: Mapping[str, Any]) -> str:
    """Sentence about a mapping where only a value, a range or a choice can stand."""
    meant = [f"'{RANGE_SYNONYMS[key]}' instead of '{key}'" for key in value if key in RANGE_SYNONYMS]
    hint = f" Write {' and '.join(meant)}." if meant else ""
    return (
        "must be a single value, a range {low: …, high: …} or a choice {choices: […]}, but it is a mapping of"
        f" {shortened(', '.join(value)) if value else 'nothing'}.{hint}"
    )


def _parse_range(value: dict[str, Any], path: str, whole: Any, problems: list[Problem]) -> Any:
    others = sorted(value.keys() - RANGE_KEYS)
    found = [Problem(path, unknown_range_key("key of a range", key, RANGE_KEYS)) for key in others]
    found += [Problem(path, f"a range also needs '{end}'.") for end in ("low", "high") if end not in value]
    found += [
        Problem(f"{path}.{key}", f"must be a finite number, but it is {shortened(value[key])}.")
        for key in ("low", "high", "step", "powers_of", "or", "default")
        if key in value and not _is_number(value[key])
    ]
    if not isinstance(value.get("log", False), bool):
        found.append(Problem(f"{path}.log", f"must be true or false, but it is {shortened(value['log'])}."))
    types = value_types(RunConfig, path)
    if types is not None and not types & {int, float}:
        kinds = " or ".join(sorted(TYPE_NAMES.get(kind, "a mapping") for kind in types))
        found.append(Problem(path, f"takes {kinds}, so it cannot be a range. List its values under 'choices'."))
    if not found:
        found = _range_problems(value, path, integer=types == {int})
    if found:
        problems += found
        return value["low"] if _is_number(value.get("low")) else None
    if types == {int}:  # 64.0 and 1e2 are whole numbers too
        value = {key: int(given) if isinstance(given, float) else given for key, given in value.items()}
    numbers = [value["low"], value["high"], value.get("step", 1)]
    # the field's type decides; free options and fields that take both follow how the numbers are written
    integer = types == {int} or ((types is None or int in types) and all(isinstance(n, int) for n in numbers))
    off = Off(value["or"]) if "or" in value else None
    declared = value.get("default")
    starts_off = off is not None and declared in (None, off.value)
    return Range(
        low=value["low"],
        high=value["high"],
        default=_default(
            value, field_default(RunConfig, path, whole) if declared is None or starts_off else declared, integer
        ),
        log=value.get("log", False),
        step=value.get("step"),
        powers_of=value.get("powers_of"),
        off=off,
        starts_off=starts_off,
        integer=integer,
    )


def _range_problems(value: dict[str, Any], path: str, integer: bool) -> list[Problem]:
    """Rules about the numbers of a range whose keys are complete and of the right types."""
    low, high, step, base = value["low"], value["high"], value.get("step"), value.get("powers_of")
    found = []
    if not math.isfinite(high - low):
        return [Problem(path, f"low ({low}) and high ({high}) are too far apart for a search.")]
    if low >= high:
        found.append(Problem(path, f"low ({low}) must be smaller than high ({high})."))
    if integer and not all(float(n).is_integer() for n in (low, high, step or 1)):
        found.append(Problem(path, "takes whole numbers, so low, high and step must be whole numbers."))
    if value.get("log") and low <= 0:
        found.append(Problem(path, f"a log range needs low above 0, but it is {low}. Add 'or: 0' to include zero."))
    if value.get("log") and step is not None:
        found.append(Problem(path, "a range cannot have both log and step."))
    if step is not None and step <= 0:
        found.append(Problem(f"{path}.step", f"must be above 0, but it is {step}."))
    elif step is not None and (high - low) / step > MOST_STEPS:
        found.append(
            Problem(f"{path}.step", f"divides the range into more than {MOST_STEPS:,} values; {step} is too small.")
        )
    elif step is not None and not math.isclose((high - low) / step, round((high - low) / step), abs_tol=1e-9):
        found.append(Problem(f"{path}.step", f"must divide high - low ({high - low}) evenly, but it is {step}."))
    if base is not None and (value.get("log") or step is not None):
        found.append(Problem(path, "powers_of cannot be combined with log or step."))
    elif base is not None and not (isinstance(base, int) and base >= 2):
        found.append(Problem(f"{path}.powers_of", f"must be a whole number of at least 2, but it is {base}."))
    elif base is not None and not all(_is_power(end, base) for end in (low, high)):
        found.append(Problem(path, f"low ({low}) and high ({high}) must be powers of {base}."))
    default = value.get("default")
    if not found and default is not None and default != value.get("or") and not low <= default <= high:
        found.append(Problem(f"{path}.default", f"must lie between {low} and {high}, but it is {default}."))
    return found


def _default(value: dict[str, Any], wanted: Any, integer: bool) -> float:
    """Where a search starts: the wanted value if it is in the range, else the middle of the range on its scale."""
    low, high, base = value["low"], value["high"], value.get("powers_of")
    middle = math.sqrt(low * high) if value.get("log") or base else (low + high) / 2
    if not low <= middle <= high:  # the product was too large or too small for a float
        middle = math.sqrt(low) * math.sqrt(high) if value.get("log") or base else low / 2 + high / 2
    start = wanted if _is_number(wanted) and low <= wanted <= high else middle
    if base:
        return float(base ** round(math.log(start, base))) if not integer else base ** round(math.log(start, base))
    if step := value.get("step"):
        start = low + step * math.floor((start - low) / step + 1e-9)
    return round(start) if integer else start


def _parse_choice(value: dict[str, Any], path: str, whole: Any, problems: list[Problem]) -> Any:
    others = sorted(value.keys() - CHOICE_KEYS)
    found = [Problem(path, unknown_range_key("key of a choice", key, CHOICE_KEYS)) for key in others]
    listed = value["choices"]
    if not isinstance(listed, list) or len(listed) < 2:
        problems += [*found, Problem(f"{path}.choices", "must be a list of at least two values.")]
        return None
    if len(listed) > MOST_CHOICES:
        words = f"must be a list of at most {MOST_CHOICES} values, but it has {len(listed):,}."
        problems += [*found, Problem(f"{path}.choices", words)]
        return None
    options: dict[Scalar, Any] = {}
    for option in listed:
        label = _label(option)
        if label in options:
            found.append(Problem(path, f"two choices are called '{label}'. Give them different labels (label: …)."))
        if isinstance(option, dict) and "name" not in option and "label" not in option:
            found.append(Problem(path, f"a choice that is a mapping needs a name or a label: {shortened(option)}."))
        if isinstance(option, dict):
            option = {key: inner for key, inner in option.items() if key != "label"}
        options[label] = parse(option, path, _replaced(whole, path, option), found)
    default = value.get("default", _choice_default(field_default(RunConfig, path, whole), options))
    if not isinstance(default, Scalar) or default not in options:
        found.append(Problem(f"{path}.default", unknown("choice", shortened(default).strip("'"), map(str, options))))
        default = next(iter(options))
    problems += found
    return Choice(options, default)


def _replaced(whole: Any, path: str, option: Any) -> Any:
    """The file as it would be with one option chosen at a path: its name decides which defaults hold beneath it."""
    if not path:
        return option
    key, _, rest = path.partition(".")
    inner = whole.get(key) if isinstance(whole, dict) else None
    return {**(whole if isinstance(whole, dict) else {}), key: _replaced(inner, rest, option)}


def _choice_default(declared: Any, options: dict[Scalar, Any]) -> Scalar:
    label = getattr(declared, "name", declared)
    return label if isinstance(label, Scalar) and label in options else next(iter(options))


def _label(option: Any) -> Scalar:
    if isinstance(option, dict):
        return str(option.get("label", option.get("name")))
    return "+".join(map(str, option)) or "none" if isinstance(option, list) else option


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_power(value: float, base: int) -> bool:
    return value >= 1 and base ** round(math.log(value, base)) == value
