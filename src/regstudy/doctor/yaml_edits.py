"""Changes single values within the text of a YAML file; every other character stays the same.

The text is parsed into nodes with their positions. A replaced value is kept as a comment, with the comments in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import dedent
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from regstudy.doctor.yaml_lines import flow

Key = str | int  # of a mapping, or a position in a list


@dataclass(frozen=True)
class _Entry:
    """A key with its value within a mapping, or an item of a list, which has no key."""

    parent: MappingNode | SequenceNode
    key: Node | None
    value: Node


def with_value(text: str, path: Sequence[Key], value: Any, comments: Sequence[str] = ()) -> str:
    """The text with a value at a path, and comments above the line that it is part of.

    Sections that are missing are added. KeyError if the path leads through something that is no mapping.
    """
    root = _root(text)
    entries, rest = _follow(root, path)
    last = entries[-1].value if entries else root
    if not rest or _is_null(last):
        for key in reversed(rest):
            value = {key: value}
        if not entries:
            raise KeyError(path[0])
        return _replaced(text, entries, flow(value), comments)
    if not isinstance(last, MappingNode):
        raise KeyError(rest[0])
    for key in reversed(rest[1:]):
        value = {key: value}
    return _added(text, entries, last, f"{rest[0]}: {flow(value)}", comments)


def without_value(text: str, path: Sequence[Key], comments: Sequence[str] = ()) -> str:
    """The text without the key at a path; KeyError if it is not there."""
    entries, rest = _follow(_root(text), path)
    entry = entries[-1] if entries else None
    if rest or entry is None or entry.key is None or not isinstance(entry.parent, MappingNode):
        raise KeyError(path[-1])
    pairs = entry.parent.value
    if len(pairs) == 1:
        return _replaced(text, entries[:-1], "{}", comments)
    at = next(number for number, (key, _) in enumerate(pairs) if key is entry.key)
    start, end = _start(entry.key), max(_end(entry.key), _end(entry.value))
    if entry.parent.flow_style:
        start, end = (max(map(_end, pairs[at - 1])), end) if at else (start, _start(pairs[1][0]))
    else:
        start, end = text.rfind("\n", 0, start) + 1, (text.find("\n", end) + 1) or len(text)
        if not text[start : _start(entry.key)].isspace() and start != _start(entry.key):
            raise KeyError(path[-1])  # the first key of a mapping that is an item of a list
    return _commented(text, entries, text[:start] + text[end:], comments)


def value_text(text: str, path: Sequence[Key]) -> str | None:
    """The text of the value at a path; None if there is none."""
    entries, rest = _follow(_root(text), path)
    return None if rest or not entries else _written(text, entries[-1].value)


def _root(text: str) -> Node:
    root = YAML(typ="safe", pure=True).compose(text)
    if not isinstance(root, MappingNode):
        raise KeyError("the file")
    return root


def _follow(root: Node, path: Sequence[Key]) -> tuple[list[_Entry], list[Key]]:
    """The entries along a path as far as they exist, and the keys that are left."""
    entries: list[_Entry] = []
    node = root
    for number, key in enumerate(path):
        found = None
        if isinstance(node, MappingNode):
            found = next((_Entry(node, k, v) for k, v in node.value if k.value == key), None)
        elif isinstance(node, SequenceNode) and isinstance(key, int) and key < len(node.value):
            found = _Entry(node, None, node.value[key])
        if found is None:
            return entries, list(path[number:])
        entries.append(found)
        node = found.value
    return entries, []


def _replaced(text: str, entries: list[_Entry], new: str, comments: Sequence[str]) -> str:
    entry = entries[-1]
    start = _start(entry.value)
    if entry.key is not None:
        start, new = text.index(":", _end(entry.key)) + 1, f" {new}"
    end = max(start, _end(entry.value))
    old = dedent(text[start:end].rstrip()).strip()
    kept = ["before:", *(f"  {line}" for line in old.splitlines())] if "\n" in old else []
    kept = kept or ([f"before: {old}"] if old else [])
    return _commented(text, entries, text[:start] + new + text[end:], [*comments, *kept])


def _added(text: str, entries: list[_Entry], section: MappingNode, line: str, comments: Sequence[str]) -> str:
    """Adds a key at the end of a mapping; in block style, comments go right above it."""
    if section.flow_style:
        place = _start_of_end(section)
        before = text[:place].rstrip()
        comma = "" if before.endswith(("{", ",")) else ", "
        space = " " if before.endswith(",") else ""
        return _commented(text, entries, f"{before}{comma}{space}{line}{text[place:]}", comments)
    indent = " " * section.value[0][0].start_mark.column
    place = text.find("\n", max(_end(section), 0))
    before, after = (text[:place], text[place:]) if place >= 0 else (text.rstrip("\n"), "\n")
    block = "".join(f"\n{indent}{each}" for each in [*(f"# {comment}".rstrip() for comment in comments), line])
    return before + block + after


def _commented(old: str, entries: list[_Entry], new: str, comments: Sequence[str]) -> str:
    """The new text with comments above the innermost line of block style that leads to the changed place.

    The texts are the same up to that line.
    """
    line = 0
    for entry in entries:
        if entry.parent.flow_style:
            break
        line = old.rfind("\n", 0, _start(entry.key or entry.value)) + 1
    indent = old[line : len(old) - len(old[line:].lstrip(" "))]
    return new[:line] + "".join(f"{indent}{f'# {comment}'.rstrip()}\n" for comment in comments) + new[line:]


def _written(text: str, node: Node) -> str:
    """A node as it is written, the indentation of its first line included."""
    start = _start(node)
    if isinstance(node, MappingNode | SequenceNode) and not node.flow_style and node.value:
        start = text.rfind("\n", 0, start) + 1
    return text[start : max(start, _end(node))].rstrip()


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.tag is not None and str(node.tag).endswith(":null")


def _start(node: Node) -> int:
    return int(node.start_mark.index)


def _start_of_end(section: MappingNode) -> int:
    """Of the brace that closes a mapping."""
    return int(section.end_mark.index) - 1


def _end(node: Node) -> int:
    """Where a node's text ends. For the parser, a block ends at the next token, after comments and empty lines.

    0 for an empty value, whose position is also that of the next token.
    """
    if isinstance(node, ScalarNode) and node.start_mark.index == node.end_mark.index:
        return 0
    if not isinstance(node, CollectionNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    if isinstance(node, MappingNode):
        return max(_end(last[0]), _end(last[1]))
    return _end(last)
