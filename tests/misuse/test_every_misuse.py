"""Hundreds of wrong inputs: each gets one paragraph and the right exit code, and nothing is written."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from foreign_studies import COMMANDS as FOREIGN_COMMANDS
from foreign_studies import KINDS as FOREIGN_KINDS
from misuse import bad_code, bad_databases, bad_folders, bad_options, bad_own_data, bad_spaces, bad_starts, bad_trained
from misuse.forked import Ended, contents, run
from misuse.misuse_case import Misuse

KINDS = {
    "spaces": list(bad_spaces.cases()),
    "options and paths": [*bad_options.cases(), *bad_starts.cases()],
    "folders": list(bad_folders.cases()),
    "code": list(bad_code.cases()),
    "own data": list(bad_own_data.cases()),
    "databases": list(bad_databases.cases()),
    "trained networks": list(bad_trained.cases()),
}
CASES = [case for cases in KINDS.values() for case in cases]
REAL = CASES[:: len(CASES) // 20][:20]  # through the real command line
LONGEST = 4000  # characters of a message
LEFTOVERS = (
    "Traceback",
    "NoneType",
    "object at 0x",
    "<class '",
    "<function",
    "errors.pydantic.dev",
    "KeyError",
    "AttributeError",
)


def test_there_are_at_least_400_of_different_names() -> None:
    assert len(CASES) >= 400
    assert [name for name, count in Counter(case.name for case in CASES).items() if count > 1] == []


def test_the_documentation_states_these_totals() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    stated = re.findall(r"(?m)^\| .* \| (\d+) \|$", page.partition("## What we tried to break")[2])
    foreign = len(FOREIGN_COMMANDS) * len(FOREIGN_KINDS)
    assert [int(total) for total in stated][:-1] == [*(len(cases) for cases in KINDS.values()), foreign]


@pytest.mark.table
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_misuse_ends_in_one_paragraph(case: Misuse, tmp_path: Path) -> None:
    folder, logs = tmp_path / "here", tmp_path / "logs"
    folder.mkdir()
    logs.mkdir()
    case.lay_out(folder)
    before = contents(folder)
    check(case, run(case.arguments, folder, logs), before, contents(folder))


@pytest.mark.table
@pytest.mark.parametrize("case", REAL, ids=lambda case: case.name)
def test_the_real_command_ends_alike(case: Misuse, tmp_path: Path) -> None:
    case.lay_out(tmp_path)
    before = contents(tmp_path)
    command = [sys.executable, "-m", "regstudy", *case.arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    check(case, Ended(done.returncode, done.stdout, done.stderr), before, contents(tmp_path))


def check(case: Misuse, ended: Ended, before: dict[str, str], after: dict[str, str]) -> None:
    """The exit code, the message, and that nothing was written by a command that failed."""
    shown = f"{' '.join(case.arguments)[:200]}\n{ended.out[-1500:]}\n{ended.err[-3000:]}"
    assert ended.code is not None, f"hangs: {shown}"
    assert ended.code in case.codes, f"exit code {ended.code}: {shown}"
    for leftover in LEFTOVERS:
        assert leftover not in ended.err + ended.out, shown
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", ended.err + ended.out), f"control characters: {shown!r}"
    if ended.code != 2:
        return
    message = ended.err.strip()
    assert message and len(message) <= LONGEST, shown
    assert message.startswith(("error: ", "Usage:", "Error: ")) and "\nerror: " not in message, shown
    assert message.startswith("Usage:") or "\n\n" not in message, f"more than one paragraph: {shown}"
    assert not re.search(r"[\w)]\.\.(?![./\w])|[\w)]\.[;:]", message), f"double periods: {shown}"
    for words in case.says:
        assert words in message, f"{words!r} is not said: {shown}"
    assert after == before, f"written: {sorted(set(after.items()) ^ set(before.items()))[:10]} {shown}"
