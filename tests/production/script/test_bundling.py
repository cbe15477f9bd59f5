"""What a function needs, of several modules, in one file."""

from __future__ import annotations

import pytest

from regstudy.production.script.bundling import Bundle

MODULES = {
    "regstudy.a": """\
from __future__ import annotations

import math
import os.path
from collections.abc import Sequence

from regstudy.b import helper
from regstudy.errors import OurError

# of the circle
TWO = 2
UNUSED = 3


def main(values: Sequence[float]) -> float:
    if not values:
        raise OurError("none")
    return helper(TWO) * math.pi


def unused() -> None:
    os.path.join("a")
""",
    "regstudy.b": """\
from __future__ import annotations


def helper(x):  # type: ignore[no-untyped-def]
    return inner(x)


def inner(x):  # noqa: ANN001
    return x


class Unused:
    pass
""",
}


def bundled(modules: dict[str, str] = MODULES) -> Bundle:
    bundle = Bundle(modules.__getitem__, {"OurError": "ValueError"})
    bundle.add("regstudy.a", "main")
    return bundle


def test_only_what_is_needed_is_in_the_file() -> None:
    bundle = bundled()
    assert {module: set(items) for module, items in bundle.items.items()} == {
        "regstudy.a": {"TWO", "main"},
        "regstudy.b": {"helper", "inner"},
    }
    code = bundle.code("regstudy.a")
    assert code.startswith("# of the circle\nTWO = 2\n\n\ndef main")
    assert 'raise ValueError("none")' in code
    assert bundle.code("regstudy.b") == "def helper(x):\n    return inner(x)\n\n\ndef inner(x):\n    return x\n"


def test_imports_are_sorted_and_only_those_that_are_needed() -> None:
    block = bundled().import_block(lambda module: module != "numpy")
    assert block == "from __future__ import annotations\n\nimport math\nfrom collections.abc import Sequence\n"


def test_two_things_of_one_name_are_an_error() -> None:
    clash = {**MODULES, "regstudy.b": "def helper(x):\n    return TWO\n\n\nTWO = 'two'\n"}
    with pytest.raises(ValueError, match=r"Both regstudy\.a and regstudy\.b define TWO"):
        bundled(clash)
