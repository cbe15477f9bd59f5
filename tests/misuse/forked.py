"""Runs commands in forks of a process that has everything imported, so that hundreds of them take seconds each ten.

A fork costs some milliseconds, importing torch costs seconds. The fork server has run no command before, so nothing
leaks from one command into the next.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import sqlite3
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 60  # seconds, after which a command counts as hanging
PRELOADED = [
    "regstudy.cli.ablate_command",
    "regstudy.cli.app",
    "regstudy.cli.compare_command",
    "regstudy.cli.confirm_command",
    "regstudy.cli.convert_command",
    "regstudy.cli.dashboard_command",
    "regstudy.cli.doctor_command",
    "regstudy.cli.init_command",
    "regstudy.cli.predict_command",
    "regstudy.cli.preview_command",
    "regstudy.cli.report_command",
    "regstudy.cli.study_command",
    "regstudy.cli.train_command",
    "regstudy.cli.worker_command",
    "regstudy.doctor.examine",
    "regstudy.search.worker",
    "torchvision",
]
BESIDE_DATABASES = ("-shm", "-wal", ".lock")
CACHES = {"data", "__pycache__"}  # folders that may be written by a command that fails

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(PRELOADED)


@dataclass(frozen=True)
class Ended:
    """How a command ended; ``code`` is None if it had to be killed."""

    code: int | None
    out: str
    err: str


def run(arguments: tuple[str, ...], folder: Path, logs: Path, seconds: float = TIMEOUT) -> Ended:
    """Run `regstudy` with these arguments in a folder. ``logs`` is an existing folder outside of it."""
    process = _context.Process(target=_command, args=(arguments, str(folder), str(logs)))
    process.start()
    process.join(seconds)
    code = process.exitcode
    if code is None:
        process.kill()
        process.join()
    texts = [(logs / name).read_text(encoding="utf-8", errors="replace") for name in ("out", "err")]
    return Ended(code, *texts)


def contents(folder: Path) -> dict[str, str]:
    """Everything below a folder but caches, with a digest of each file: two are equal if nothing was written.

    What counts of a database is its content: reading one, too, leaves files of SQLite's next to it.
    """
    found = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in CACHES]
        for name in [*folders, *names]:
            path = Path(place) / name
            kind = stat.S_IFMT(path.lstat().st_mode)
            if name.endswith(BESIDE_DATABASES) and kind == stat.S_IFREG:
                continue
            digest = hashlib.sha256(_content(path)).hexdigest() if kind == stat.S_IFREG else ""
            found[str(path.relative_to(folder))] = f"{kind:o} {digest}"
    return found


def _content(path: Path) -> bytes:
    """The bytes of a file, of a database the statements that would make it."""
    if path.suffix != ".db":
        return path.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        for ending in ("", "-wal"):
            beside = path.with_name(path.name + ending)
            if beside.is_file():
                shutil.copy(beside, Path(folder) / beside.name)
        connection = sqlite3.connect(Path(folder) / path.name)
        try:
            return "\n".join(connection.iterdump()).encode()
        except sqlite3.Error:
            return path.read_bytes()
        finally:
            connection.close()


def _command(arguments: tuple[str, ...], folder: str, logs: str) -> None:
    os.chdir(folder)
    sys.path.insert(0, "")  # `python -m regstudy` looks into the working folder, too
    sys.argv = ["regstudy", *arguments]
    for name, number in (("out", 1), ("err", 2)):
        opened = os.open(Path(logs) / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, number)
        os.close(opened)
    from regstudy.cli.app import main

    main(list(arguments))
