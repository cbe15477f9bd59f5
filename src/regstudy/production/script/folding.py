"""Partial evaluation of Python source: an ``if`` whose condition is known already is replaced by what it leads to.

The text is edited in place, so that comments, line breaks and names stay as they were written. A condition is known if
it has the same truth value for every given set of values; what it needs besides these values leaves it open.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SAFE: dict[str, Any] = {"__builtins__": {"len": len, "isinstance": isinstance, "any": any, "all": all, "set": set}}
ENDS = (ast.Return, ast.Raise, ast.Continue, ast.Break)
Values = Mapping[str, Any]


def fold(source: str, cases: Sequence[Values]) -> str:
    """The source without the branches that no case takes; ``cases``: the values of names, one mapping per case."""
    while True:
        tree = ast.parse(source)
        edited = next(_edits(tree, source, cases), None)
        if edited is None:
            return source
        source = edited


def truth(test: ast.expr, cases: Sequence[Values]) -> bool | None:
    """Whether a condition holds in all cases (True) or none (False); None if that differs or cannot be known."""
    code = compile(ast.Expression(test), "condition", "eval")
    found = set()
    for values in cases:
        try:
            found.add(bool(eval(code, SAFE, values)))  # of our own source
        except Exception:  # a name that is known only when the code runs
            return None
    return found.pop() if len(found) == 1 else None


def _edits(tree: ast.Module, source: str, cases: Sequence[Values]) -> Iterator[str]:
    """The source after one more change, for each change that is possible."""
    for node in ast.walk(tree):
        if isinstance(node, ast.IfExp) and (holds := truth(node.test, cases)) is not None:
            yield _with_branch(source, node, node.body if holds else node.orelse)
        if isinstance(node, ast.If) and (holds := truth(node.test, cases)) is not None:
            yield _taken(source, node) if holds else _left_out(source, node)
        if isinstance(node, ast.BoolOp) and (rest := _undecided(node, cases)) is not None:
            yield _with_branch(source, node, rest)
        for block in _blocks(node):
            for statement in block[:-1]:
                if isinstance(statement, ENDS):  # what follows is never reached
                    yield _without_lines(source, statement.end_lineno or 0, block[-1].end_lineno or 0)


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list):
            yield block


def _without_lines(source: str, first: int, last: int) -> str:
    """Without the lines after line ``first`` up to line ``last``, counted from 1."""
    lines = source.splitlines(keepends=True)
    return "".join([*lines[:first], *lines[last:]])


def _undecided(node: ast.BoolOp, cases: Sequence[Values]) -> ast.expr | None:
    """What is left of ``a and b`` where a is true, or of ``a or b`` where it is false; None if nothing is known."""
    neutral = isinstance(node.op, ast.And)
    if truth(node.values[0], cases) is not neutral:
        return None
    if len(node.values) == 2:
        return node.values[1]
    first, last = node.values[1], node.values[-1]
    place = {"lineno": first.lineno, "col_offset": first.col_offset}
    return ast.BoolOp(node.op, node.values[1:], **place, end_lineno=last.end_lineno, end_col_offset=last.end_col_offset)


def _with_branch(source: str, node: ast.expr, branch: ast.expr) -> str:
    """With only a part of an expression, and without parentheses around it that are no longer needed."""
    offsets = [0]
    for line in source.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line.encode()))
    text = source.encode()

    def span(part: ast.expr) -> tuple[int, int]:
        assert part.end_lineno is not None and part.end_col_offset is not None
        return offsets[part.lineno - 1] + part.col_offset, offsets[part.end_lineno - 1] + part.end_col_offset

    begin, end = span(node)
    first, last = span(branch)
    while text[:first].rstrip().endswith(b"(") and text[last:].lstrip().startswith(b")") and last < end:
        first, last = len(text[:first].rstrip()) - 1, len(text) - len(text[last:].lstrip()) + 1
    kept, before, after = text[first:last], text[:begin].rstrip(), text[end:].lstrip()
    simple = isinstance(branch, ast.Name | ast.Constant | ast.Attribute | ast.Call)
    condition = isinstance(branch, ast.Compare) and before.endswith((b"if", b"and", b"or"))
    if condition and kept.startswith(b"("):
        kept = kept[1:-1].strip()
    grouped = before.endswith(b"(") and after.startswith(b")")
    if grouped and (simple or isinstance(branch, ast.Compare)) and before[:-1].endswith((b" ", b"(")):
        return (before[:-1] + kept + after[1:]).decode()
    return (text[:begin] + kept + text[end:]).decode()


def _taken(source: str, node: ast.If) -> str:
    """Only the body is left of an ``if`` that always holds; an ``elif`` becomes the ``else``."""
    lines = source.splitlines(keepends=True)
    first, last = node.lineno - 1, node.end_lineno or 0
    body = lines[node.body[0].lineno - 1 - _comments_before(lines, node.body[0]) : node.body[-1].end_lineno]
    if lines[first].lstrip().startswith("elif"):
        indent = lines[first][: node.col_offset]
        return "".join([*lines[:first], f"{indent}else:\n", *body, *lines[last:]])
    return "".join([*lines[:first], *_dedented(body), *lines[last:]])


def _left_out(source: str, node: ast.If) -> str:
    """Without an ``if`` that never holds, and the comment above it; what else it leads to takes its place."""
    lines = source.splitlines(keepends=True)
    first, last, ends = node.lineno - 1, node.end_lineno or 0, node.body[-1].end_lineno or 0
    if lines[first].lstrip().startswith("elif"):
        return "".join([*lines[:first], *lines[ends:]])
    first -= _comments_before(lines, node)
    if not node.orelse:
        return "".join([*lines[:first], *lines[last:]])
    following = node.orelse[0]
    if lines[following.lineno - 1].lstrip().startswith("elif"):
        rest = lines[ends:last]
        at = following.lineno - 1 - ends
        rest[at] = rest[at].replace("elif", "if", 1)
        return "".join([*lines[:first], *rest, *lines[last:]])
    body = lines[following.lineno - 1 - _comments_before(lines, following) : last]
    return "".join([*lines[:first], *_dedented(body), *lines[last:]])


def _comments_before(lines: Sequence[str], node: ast.stmt) -> int:
    """How many lines of comment stand directly above a statement, at its indentation."""
    count = 0
    while count < node.lineno - 1 and lines[node.lineno - 2 - count].startswith(" " * node.col_offset + "#"):
        count += 1
    return count


def _dedented(lines: Sequence[str]) -> list[str]:
    return [line.removeprefix("    ") for line in lines]
