"""Which modules are the user's own, so that they can travel to other machines."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from regstudy.config.plugins import load_plugin, own_modules


def test_a_module_and_what_it_imports_from_its_folder_are_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = {module.__name__ for module in own_modules()}
    Path("own_helper.py").write_text("", encoding="utf-8")
    Path("own_package").mkdir()
    Path("own_package/__init__.py").write_text("", encoding="utf-8")
    Path("own_package/net.py").write_text("import json, torch, own_helper\ndef build(): pass\n", encoding="utf-8")
    load_plugin("own_package.net:build")
    assert {module.__name__ for module in own_modules()} - before == {"own_package", "own_helper"}
    for name in ("own_package", "own_package.net", "own_helper"):
        monkeypatch.delitem(sys.modules, name)
