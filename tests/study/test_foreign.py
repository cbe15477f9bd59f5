"""Every command that opens a study, on every kind of study and file that regstudy did not make or that is broken."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from conftest import Command
from foreign_studies import COMMANDS, FIXTURES, KINDS, NAME, OURS

from regstudy.cli import dashboard_command

pytestmark = pytest.mark.table

SPACE = (FIXTURES / "digits.yaml").read_text()


def fingerprints(folder: Path) -> dict[str, str]:
    """Databases and what belongs to them, by content."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name in ("study.db", "study.db-wal") and path.stat().st_size
    }


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_command_copes_with_every_foreign_study(
    regstudy: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, command: str
) -> None:
    monkeypatch.setattr(dashboard_command, "serve", lambda *_, **__: None)
    monkeypatch.setattr("regstudy.study.database.BUSY_TIMEOUT", 1)
    folder = tmp_path / "results" / NAME
    folder.mkdir(parents=True)
    (tmp_path / "s.yaml").write_text(SPACE)
    KINDS[kind](folder)
    before = fingerprints(folder)
    done = regstudy(*COMMANDS[command])
    printed = done.stdout + done.stderr
    assert done.returncode in (0, 2), printed
    assert "Traceback" not in printed and "Warning" not in printed
    if done.returncode == 2:
        assert done.stderr.startswith("error: ") and len(done.stderr) < 1200, done.stderr
        assert ".." not in done.stderr.replace("../", "").replace("...", ""), done.stderr
    else:
        assert done.stdout.strip()
    if command != "dashboard" and not (command.startswith("report") and kind in OURS):  # those write into the study
        assert fingerprints(folder) == before
    assert {path.name for path in (tmp_path / "results").iterdir()} <= {NAME, "index.html"}
