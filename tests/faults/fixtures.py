"""A working folder for commands, and the certainty that none outlives its test.

A plugin of the tests that use it, not a conftest.py: a second module of that name would hide the first.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.commands import Command, Start, prepare_folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the network and the space, this process's own too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    prepare_folder(tmp_path)
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Start commands in the working folder or another one; whatever still runs after the test is killed."""
    started: list[Command] = []

    def begin(*arguments: str, step: float = 0.03, at: Path | None = None) -> Command:
        started.append(Command(at or folder, *arguments, step=step))
        return started[-1]

    yield begin
    for command in started:
        command.kill_everything()
