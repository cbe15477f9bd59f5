"""What is read from a function's source: the same signature that importing gives, or nothing, and no code is run."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Literal, get_type_hints

import pytest

from regstudy.config.declared_function import declared_function
from regstudy.config.plugins import load_plugin

READ = [
    "def f(channels, size, classes): pass",
    "def f(a, b=1, *rest, c, d='x', **more): pass",
    "def f(a, /, b=(1, 2), *, c=None, d=-1.5): pass",
    "import os\nclass f_: pass\ndef g(f): f = 1\ndef f(a): pass",
]
NOT_READ = {
    "decorated": "import functools\n@functools.cache\ndef f(a): pass",
    "a class": "class f:\n    pass",
    "an alias": "def g(a): pass\nf = g",
    "bound twice": "def f(a): pass\nif True:\n    f = print",
    "defined in a branch": "if True:\n    def f(a): pass",
    "imported": "from os.path import join as f",
    "a star import after it": "def f(a): pass\nfrom os.path import *",
    "async": "async def f(a): pass",
    "another name": "def g(a): pass",
    "a syntax error": "def f(:",
    "a NUL": "f = '\0'",
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("number", range(len(READ)))
def test_the_signature_is_that_of_the_imported_function(number: int) -> None:
    Path(f"read_{number}.py").write_text(READ[number], encoding="utf-8")
    found = declared_function(f"read_{number}:f")
    assert found is not None and found.__name__ == "f"
    assert inspect.signature(found) == inspect.signature(load_plugin(f"read_{number}:f"))


@pytest.mark.parametrize("name", NOT_READ)
def test_what_only_an_import_can_tell_is_not_read(name: str) -> None:
    Path("own_odd.py").write_text(NOT_READ[name], encoding="utf-8")
    assert declared_function("own_odd:f") is None


@pytest.mark.parametrize("name", ["nowhere:f", "sys:f", "own.part:f", "own_binary:f", ":f", "a b:f"])
def test_a_module_without_source_is_not_read(name: str) -> None:
    Path("own_binary.py").write_bytes(b"# \xfc\ndef f(): pass")
    assert declared_function(name) is None


def test_nothing_is_run_and_a_package_is_not_imported() -> None:
    Path("own_package").mkdir()
    Path("own_package/__init__.py").write_text("raise RuntimeError")
    Path("own_package/nets.py").write_text("raise RuntimeError\ndef f(a, b=print(1 / 0)): pass")
    found = declared_function("own_package.nets:f")
    assert found is not None and str(inspect.signature(found)) == "(a, b=print(1 / 0))"


def test_plain_annotations_are_known_and_others_left_out() -> None:
    code = (
        "def f(a: int, b: 'float | None', c: Literal['x', 2], d: Optional[str], e: Path, g: list[int], h: bool): pass"
    )
    Path("annotated.py").write_text(code, encoding="utf-8")
    found = declared_function("annotated:f")
    assert found is not None
    assert get_type_hints(found) == {
        "a": int, "b": float | None, "c": Literal["x", 2], "d": str | None, "h": bool
    }  # fmt: skip
