"""YAML to plain values and back. YAML 1.2 in safe mode: `1e-4` is a number, `off` and `yes` are text, and a duplicate
key is an error.

Only text, numbers, true, false, null, lists and mappings are read. What aliases stand for is copied, so that an
override changes one place only; a file whose copies would be huge, or that contains itself, is refused before it is
built.
"""

from __future__ import annotations

import io
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode
from ruamel.yaml.reader import ReaderError

from regstudy.errors import ConfigError, describe

MOST_COPIED = 20_000  # values of a file that uses aliases, every alias replaced by what it stands for
MOST_LEVELS = 100
PREFIX = "tag:yaml.org,2002:"
PLAIN_TAGS = {f"{PREFIX}{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map")}
KINDS = {"int": "whole number", "float": "number", "bool": "true or false"}


class ShallowComposer(Composer):
    """Gives up early on what is nested very deeply, which would take seconds to find out otherwise."""

    levels = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.levels += 1
        if self.levels > MOST_LEVELS:
            raise RecursionError
        try:
            return super().compose_node(parent, index)
        finally:
            self.levels -= 1


class PlainConstructor(SafeConstructor):
    """Builds plain values only; a date is the text that stands there."""

    def get_single_data(self) -> Any:
        node = self.composer.get_single_node()
        if node is None:
            return None
        _check_size(node)
        return _unshared(self.construct_document(node))

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, OverflowError):
            given = str(node.value)[:40]
            kind = KINDS.get(str(node.tag).removeprefix(PREFIX), "value")
            raise ConstructorError(None, None, f"'{given}' is not a {kind}", node.start_mark) from None

    def construct_undefined(self, node: Any) -> Any:
        words = f"the tag '{str(node.tag).replace(PREFIX, '!!')}' is not allowed; write plain values"
        raise ConstructorError(None, None, words, node.start_mark)


PlainConstructor.yaml_constructors = {
    **{tag: make for tag, make in SafeConstructor.yaml_constructors.items() if tag in PLAIN_TAGS},
    f"{PREFIX}timestamp": SafeConstructor.construct_yaml_str,
    None: PlainConstructor.construct_undefined,
}


def read_yaml_text(text: str, source: str) -> Any:
    """Plain values from YAML; ConfigError with `source` and the line if it is invalid."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer, yaml.Constructor = ShallowComposer, PlainConstructor
    try:
        return yaml.load(text)
    except RecursionError:
        raise ConfigError(f"{source} is nested too deeply to be a space or a configuration.") from None
    except YAMLError as error:
        line, what = _where_and_what(error, text)
        raise ConfigError(f"{source}{line} is not valid YAML: {what}.") from None
    except Exception as error:  # broken texts meet bugs of the parser, too
        raise ConfigError(f"{source} is not valid YAML: {describe(error)}.") from error


def yaml_text(tree: Any) -> str:
    """Plain values as YAML in block style, keys in the order given."""
    yaml = YAML()
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(tree, stream)
    return stream.getvalue()


def _where_and_what(error: YAMLError, text: str) -> tuple[str, str]:
    """The line of an error, as words to put after the name of a file, and what is wrong in it."""
    if isinstance(error, ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f", line {line}", f"the control character {chr(error.character)!r} is not allowed"
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    what = (error.problem if isinstance(error, MarkedYAMLError) else None) or str(error)
    if "another document" in what:
        what = "it holds several documents, separated by `---`, but must be one"
    return f", line {mark.line + 1}" if mark else "", " ".join(what.split()).rstrip(".")[:300]


def _check_size(root: Node) -> None:
    """ConstructorError if aliases make a file contain itself or far more values than are written in it."""
    sizes: dict[int, int] = {}
    begun: set[int] = set()

    def size(node: Node) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in begun:
            raise ConstructorError(None, None, "an alias (*) stands for a value that contains it", node.start_mark)
        begun.add(id(node))
        inner: list[Node] = []
        if isinstance(node, MappingNode):
            inner = [part for pair in node.value for part in pair]
        elif isinstance(node, SequenceNode):
            inner = node.value
        sizes[id(node)] = total = 1 + sum(map(size, inner))
        return total

    total = size(root)
    if total > max(len(sizes), MOST_COPIED):
        words = f"its aliases (*) stand for {total:,} values; at most {MOST_COPIED:,} are allowed"
        raise ConstructorError(None, None, words)


def _unshared(value: Any) -> Any:
    """A copy without shared values."""
    if isinstance(value, dict):
        return {key: _unshared(inner) for key, inner in value.items()}
    return [_unshared(inner) for inner in value] if isinstance(value, list) else value
