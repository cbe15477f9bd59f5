"""Source in, source without the branches that are never taken out."""

from __future__ import annotations

from textwrap import dedent

import pytest

from regstudy.production.script.folding import fold

CASES = {
    "an if that holds": ("if on:\n    a()\nb()\n", "a()\nb()\n"),
    "one that does not": ("# why\nif off:\n    a()\nb()\n", "b()\n"),
    "else": ("if off:\n    a()\nelse:\n    # why\n    b()\n", "# why\nb()\n"),
    "elif that holds": (
        "if x:\n    a()\nelif on:\n    b()\nelse:\n    c()\n",
        "if x:\n    a()\nelse:\n    b()\n",
    ),
    "elif that does not": ("if x:\n    a()\nelif off:\n    b()\nelse:\n    c()\n", "if x:\n    a()\nelse:\n    c()\n"),
    "elif becomes if": ("if off:\n    a()\nelif x:\n    b()\n", "if x:\n    b()\n"),
    "nested": ("if on:\n    if off:\n        a()\n    b()\n", "b()\n"),
    "an expression": ("x = (1 if off else 2) * y\n", "x = 2 * y\n"),
    "an expression of a call": ("f(a if on else b)\n", "f(a)\n"),
    "a sum keeps its parentheses": ("x = (a + b if on else c) * y\n", "x = (a + b) * y\n"),
    "and": ("if on and x > 1:\n    a()\n", "if x > 1:\n    a()\n"),
    "and of three": ("y = on and x and z\n", "y = x and z\n"),
    "or": ("if y and (off or x > 1):\n    a()\n", "if y and x > 1:\n    a()\n"),
    "a short cut": ("if off and x > 1:\n    a()\nb()\n", "b()\n"),
    "what is not known stays": ("if x:\n    a()\n", "if x:\n    a()\n"),
    "after a return": (
        "def f():\n    if on:\n        return 1\n    g()\n    return 2\n",
        "def f():\n    return 1\n",
    ),
    "letters beyond ASCII": ("x = 'N×C' + (a if off else 'ä')  # ×\n", "x = 'N×C' + 'ä'  # ×\n"),
    "different in two cases": ("if level > 1:\n    a()\n", "if level > 1:\n    a()\n"),
    "equal in two cases": ("if level:\n    a()\n", "a()\n"),
}


@pytest.mark.parametrize("name", CASES)
def test_folding(name: str) -> None:
    source, expected = CASES[name]
    cases = [{"on": True, "off": 0, "level": 1}, {"on": "yes", "off": None, "level": 2}]
    assert fold(dedent(source), cases) == expected
