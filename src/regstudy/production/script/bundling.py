"""Puts functions of several modules into one file: what a function needs, of whatever module of ours, and no more.

As bundlers of other languages do: starting from one function, every name that its code uses is looked up in its module.
A name that the module defines is added with all that it needs in turn; one that it imports from a module of ours is
looked up there; one that it imports from elsewhere is imported in the file, too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

OURS = "regstudy"
TOOL_COMMENTS = re.compile(r" *# (?:type: ignore|noqa)[^\n]*")  # for this project's own tools
FUTURE = "from __future__ import annotations"


@dataclass(frozen=True)
class Source:
    """The text of a module, without the branches that are not wanted."""

    name: str
    text: str

    @cached_property
    def items(self) -> dict[str, str]:
        """The text of each function, class and constant by its name, with the comment above it."""
        lines, found = self.text.splitlines(keepends=True), {}
        for node in ast.parse(self.text).body:
            first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))]) - 1
            while first and lines[first - 1].startswith("#"):
                first -= 1
            for name in _defined(node):
                found[name] = "".join(lines[first : node.end_lineno])
        return found

    @cached_property
    def imports(self) -> dict[str, tuple[str, str | None]]:
        """By the name that is bound: the module, and the name in it; None for the module itself."""
        found: dict[str, tuple[str, str | None]] = {}
        for node in ast.walk(ast.parse(self.text)):
            if isinstance(node, ast.Import):
                found |= {alias.asname or alias.name: (alias.name, None) for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found |= {alias.asname or alias.name: (node.module or "", alias.name) for alias in node.names}
        return found


@dataclass
class Bundle:
    """The items of a file by module, and the imports of other packages; ``read`` gives the text of a module of ours.

    ``instead`` has the names that replace others, such as Python's errors ours; ``homes`` the modules of such names.
    """

    read: Callable[[str], str]
    instead: Mapping[str, str] = field(default_factory=dict)
    homes: Mapping[str, str] = field(default_factory=dict)
    items: dict[str, dict[str, str]] = field(default_factory=dict)
    imports: set[tuple[str, str | None, str]] = field(default_factory=set)
    _sources: dict[str, Source] = field(default_factory=dict)
    _owners: dict[str, str] = field(default_factory=dict)

    def add(self, module: str, name: str) -> None:
        """Add what a module of ours calls by this name, and everything that it needs."""
        if name in self.instead.values() and name not in self.homes:
            return  # one of Python's own
        source = self._source(self.homes.get(name, module))
        if name in source.items:
            self._add_item(source, name)
        elif name in source.imports:
            origin, inner = source.imports[name]
            if origin.split(".")[0] == OURS and inner is not None:
                if inner != name:
                    raise ValueError(f"{module} renames {inner} to {name}, which a single file cannot do.")
                self.add(origin, inner)
            else:
                self.imports.add((origin, inner, name))

    def _add_item(self, source: Source, name: str) -> None:
        kept = self.items.setdefault(source.name, {})
        if name in kept:
            return
        text = source.items[name]
        owner = self._owners.setdefault(name, source.name)
        if owner != source.name:
            if self.items[owner][name] == text:
                return  # the same alias in two modules
            raise ValueError(f"Both {owner} and {source.name} define {name}.")
        kept[name] = text
        for needed in sorted(_names(text)):
            self.add(source.name, needed)

    def _source(self, module: str) -> Source:
        if module not in self._sources:
            text = TOOL_COMMENTS.sub("", self.read(module))
            for name, other in self.instead.items():
                text = re.sub(rf"\b{name}\b", other, text)
            self._sources[module] = Source(module, text)
        return self._sources[module]

    @property
    def text(self) -> str:
        """All items."""
        return "\n".join(text for kept in self.items.values() for text in kept.values())

    def code(self, module: str) -> str:
        """The items of a module in their order, constants in one block; empty if nothing of it is needed."""
        kept, source = self.items.get(module, {}), self._source(module)
        blocks: list[str] = []
        for name, text in source.items.items():
            if name not in kept or text in blocks:
                continue
            is_code = text.lstrip("#").startswith(("def ", "class ", "@")) or "\ndef " in text or "\nclass " in text
            if blocks and not is_code and "\n\n" not in blocks[-1] and "def " not in blocks[-1]:
                blocks[-1] += text
            else:
                blocks.append(text)
        return "\n\n".join(blocks)

    def import_block(self, standard: Callable[[str], bool]) -> str:
        """The imports, those of the standard library first."""
        groups: dict[bool, set[str]] = {True: {FUTURE}, False: set()}
        origins = sorted({origin for origin, inner, _ in self.imports if inner is not None})
        for origin, inner, name in self.imports:
            if inner is None:
                groups[standard(origin)].add(f"import {origin}" + (f" as {name}" if name != origin else ""))
        for origin in origins:
            names = sorted(inner for one, inner, _ in self.imports if one == origin and inner is not None)
            groups[standard(origin)].add(f"from {origin} import {', '.join(names)}")
        groups[True].discard(FUTURE)
        parts = [[FUTURE], _sorted(groups[True]), _sorted(groups[False])]
        return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _sorted(lines: set[str]) -> list[str]:
    """Plain imports before those of names, each by module."""
    return sorted(lines, key=lambda line: (line.startswith("from"), line.split()[1]))


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            yield from (one.id for one in ast.walk(target) if isinstance(one, ast.Name))


def _names(text: str) -> set[str]:
    """What a text uses: names, and attributes of names as ``a.b``."""
    nodes = list(ast.walk(ast.parse(text)))
    found = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return found | {dotted for node in nodes if isinstance(node, ast.Attribute) and (dotted := _dotted(node))}


def _dotted(node: ast.expr) -> str | None:
    """``a.b`` of an attribute of a name, for `import a.b`."""
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else None
    return node.id if isinstance(node, ast.Name) else None
