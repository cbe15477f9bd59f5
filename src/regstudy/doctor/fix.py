"""Fixes a configuration: writes the changes of findings into its file, with a comment for each.

A range stays a range if it contains the new value: an integer above its lower end becomes the lower end (as for batch
sizes that are too small), any other number becomes the `default`, and so does a value of a choice. Anything else is
replaced. A change that would make the file invalid is left out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml.error import YAMLError

from regstudy.config.run_config import RunConfig, flatten
from regstudy.doctor.findings import Finding
from regstudy.doctor.render.diagnosis_phrasing import on_one_line
from regstudy.doctor.yaml_edits import Key, value_text, with_value, without_value
from regstudy.doctor.yaml_lines import configuration_lines, flow, is_removal
from regstudy.errors import ConfigError
from regstudy.space.loader import MEASURED, space_from_text
from regstudy.space.ranges import Choice, Range
from regstudy.space.search_space import Space
from regstudy.space.yaml_values import read_yaml_text
from regstudy.training.validation import CHECKS

FIXED_FILE = "the fixed file"
NOTHING_TO_FIX = "# doctor: nothing to fix in the configuration; the file is unchanged.\n"
MAX_COMMENT_COLUMNS = 110


@dataclass(frozen=True)
class FixResult:
    """A fixed file; ``made`` are the ids of fixed findings, ``refused`` sentences about those that failed."""

    text: str
    made: tuple[str, ...]
    refused: tuple[str, ...]


def fixed_text(text: str, findings: Iterable[Finding], overrides: Sequence[str] = (), *, fallback: bool = False) -> str:
    """The text of a space or configuration with the changes of findings; see `fix`."""
    return fix(text, findings, overrides, fallback=fallback).text


def fix(text: str, findings: Iterable[Finding], overrides: Sequence[str] = (), *, fallback: bool = False) -> FixResult:
    """Write overrides (`a.b=c`) and then the changes of each finding, in order, into a YAML text.

    With ``fallback``, fallback images were examined, so changes of the data apply to `data.fallback`. If several
    findings change a path, the first one wins. Raises ConfigError if the text or an override is invalid.
    """
    text = _overridden(text.removeprefix("\ufeff"), overrides)
    made, refused = list[str](), list[str]()
    decided: set[str] = set()
    for finding in findings:
        changes = {_old_place(text, path): value for path, value in finding.changes.items()}
        changes = {path: value for path, value in changes.items() if path not in decided}
        if not changes:
            continue
        try:
            changed = _changed(text, finding, changes, fallback)
            _space(changed)
            _check_place(text, changed, changes)
        except (ConfigError, KeyError, ValueError, YAMLError) as error:
            lines, why = "; ".join(configuration_lines(changes)), " ".join(str(error).split())
            refused.append(f"{finding.id}: `{lines}` could not be applied: {why}")
            continue
        decided |= changes.keys()
        made += [finding.id] if changed != text else []
        text = changed
    return FixResult(text if made else NOTHING_TO_FIX + text, tuple(made), tuple(refused))


def _overridden(text: str, overrides: Sequence[str]) -> str:
    """The text with the values of --set, which were part of the examination."""
    _space(text, overrides)
    for override in overrides:
        path, _, given = override.partition("=")
        value, keys = read_yaml_text(given, override), list[Key](path.split("."))
        text = with_value(text, keys, value, [f"set on the command line: {on_one_line(override)}"])
        substitute: list[Key] = ["data", "fallback", *keys[1:]]
        if keys[0] == "data" and value_text(text, substitute) is not None:  # an override applies to both
            text = with_value(text, substitute, value)
    return text


def _changed(text: str, finding: Finding, changes: dict[str, Any], fallback: bool) -> str:
    """The text with the changes of one finding; KeyError if a path cannot be reached."""
    words = on_one_line(f"doctor, {finding.id}: {finding.sentence}")
    comments = textwrap.wrap(words, MAX_COMMENT_COLUMNS, subsequent_indent="  ", break_long_words=False)
    for path, value in changes.items():
        space = _space(text)
        space = (space.fallback or space) if fallback else space
        keys, node = _place(space.tree, path.split("."))
        if fallback and keys[0] == "data":
            keys = ["data", "fallback", *keys[1:]]
        section = RunConfig.model_fields.get(str(keys[0]))  # None for `study`
        before, named = text, getattr(section.default, "name", None) if section else None
        if keys[0] not in space.tree and len(keys) == 2 and named is not None:
            keys, value = keys[:1], {"name": named, keys[1]: value}  # a new section needs its name
        if is_removal(path, value):
            if value_text(text, keys) is not None:
                text = without_value(text, keys, [*comments, f"removed: {path}: {value_text(text, keys)}"])
        elif isinstance(node, Range | Choice):
            for inner, new in _within(node, value):
                text = with_value(text, [*keys, *inner], new, comments if text == before else ())
        elif (written := value_text(text, keys)) is None or not _same(written, flow(value)):
            text = with_value(text, keys, value, comments)
    return text


def _old_place(text: str, path: str) -> str:
    """Where a file states the value of a path: metrics may stand in `training`, as in version 0.1."""
    old = path.replace("study.", "training.", 1)
    moved = path.removeprefix("study.") in MEASURED and path != old
    return old if moved and value_text(text, old.split(".")) is not None else path


def _same(written: str, value: str) -> bool:
    old, new = (read_yaml_text(text, FIXED_FILE) for text in (written, value))
    return bool(old == new)


def _place(tree: Any, path: Sequence[str]) -> tuple[list[Key], Any]:
    """YAML keys that lead to a configuration path, and its value; of a choice, the default option is used."""
    keys, node = list[Key](), tree
    for key in path:
        if isinstance(node, Choice):
            position = list(node.options).index(node.default)
            keys += ["choices", position]
            node = node.options[node.default]
        if isinstance(node, Range) or (keys and node is not None and not isinstance(node, dict)):
            raise KeyError(key)
        keys.append(key)
        node = node.get(key) if isinstance(node, dict) else None
    return keys, node


def _within(node: Range | Choice, value: Any) -> list[tuple[list[str], Any]]:
    """Keys below a range or choice with their new values; an empty list of keys replaces the whole."""
    whole: list[tuple[list[str], Any]] = [([], value)]
    if isinstance(node, Choice):
        found = isinstance(value, str | int | float | bool) and value in node.options
        return [(["default"], value)] if found else whole
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or (node.off and value == node.off.value) or not node.low <= value <= node.high:
        return whole
    if not node.integer or value <= node.low:
        return [(["default"], value)] if value > node.low or not node.integer else whole
    low = next((power for power in node.powers if power >= value), value)
    step = int(node.step or 1)
    if not node.powers:
        low = int(node.low + step * -(-(value - node.low) // step))
    if low >= node.high:
        return [([], low if low == node.high else value)]
    raised: list[tuple[list[str], Any]] = [(["low"], low)]
    return [*raised, (["default"], low)] if node.default < low else raised


def _space(text: str, overrides: Sequence[str] = ()) -> Space:
    """The space in a text; ConfigError if it is invalid, alone or with its fallback."""
    return space_from_text(text, "fixed", FIXED_FILE, overrides, checks=CHECKS)


def _check_place(before: str, after: str, changes: Iterable[str]) -> None:
    """ConfigError if other paths changed too, as when two places of a file share an anchor."""
    old, new = (flatten(read_yaml_text(text, FIXED_FILE)) for text in (before, after))
    for path in {path for path in {**old, **new} if old.get(path) != new.get(path)}:
        own = path.removeprefix("data.fallback.") if path.startswith("data.fallback.") else path
        own = f"data.{own}" if own != path else path
        section, _, key = own.partition(".")
        named = key == "name" and not any(known.startswith(f"{section}.") for known in old)
        if not named and not any(f"{own}.".startswith(f"{to}.") or _leads(own, to) for to in changes):
            raise ConfigError(f"{path} would change as well.")


def _leads(path: str, to: str) -> bool:
    """Whether a differing path is on the way to another one: a section that was empty, or a choice."""
    return to.startswith(f"{path.split('.choices')[0]}.")
