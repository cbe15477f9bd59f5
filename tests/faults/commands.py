"""Commands as real processes in a working folder of their own, and ways to find and end them."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import psutil

FAULTY = Path(__file__).with_name("faulty.py")
SPACE = """\
# A study of a few seconds whose network can misbehave.
data: {name: digits, size: 8, train_limit: 60, validation: 60}
preprocessing: {normalize: half}
model: {name: "faulty:network", dropout: {low: 0.0, high: 0.5}BEHAVIOUR}
optimizer: {name: adamw, lr: {low: 1e-3, high: 1e-1, log: true}}
augmentation: {strength: {low: 0.0, high: 1.0}, ops: [crop]}
training: {batch_size: 20, epochs: 8, patience: null}
study: {nuisance: [optimizer.lr]}
"""
PATIENCE = 120.0  # seconds until something that must happen counts as missing: the machine may be busy


def prepare_folder(folder: Path, behaviours: tuple[str, ...] = ()) -> None:
    """Put the network and the space `faulty.yaml` into a working folder; several behaviours become a choice."""
    folder.mkdir(exist_ok=True)
    shutil.copy(FAULTY, folder)
    choice = f", options: {{behaviour: {{choices: [{', '.join(behaviours)}]}}}}" if behaviours else ""
    (folder / "faulty.yaml").write_text(SPACE.replace("BEHAVIOUR", choice), encoding="utf-8")


def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Wait until a condition holds; AssertionError that says what was waited for if it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"in {seconds:g} s this did not happen: {what}"
        time.sleep(0.05)


def is_worker(process: psutil.Process) -> bool:
    """Whether a process is a worker: a fresh interpreter, or forked by the server of its command."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = process.parent()
        forked = "forkserver" in _title(process) and parent is not None and "forkserver" in _title(parent)
        return _alive(process) and (forked or "spawn_main" in _title(process))
    return False


class Command:
    """A running `regstudy` command, leader of a process group of its own as in a terminal."""

    def __init__(self, folder: Path, *arguments: str, step: float = 0.03) -> None:
        self.folder = folder
        number = len(list(folder.glob("*.stdout")))
        self.files = folder / f"{number}.stdout", folder / f"{number}.stderr"
        with self.files[0].open("wb") as out, self.files[1].open("wb") as err, _heeding_interrupts():
            self.process = subprocess.Popen(
                [sys.executable, "-m", "regstudy", *arguments],
                cwd=folder,
                stdout=out,
                stderr=err,
                start_new_session=True,
                env=os.environ | {"FAULTY_STEP": str(step)},
            )

    @property
    def stdout(self) -> str:
        """What it has printed so far."""
        return self.files[0].read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        """What it has complained about so far."""
        return self.files[1].read_text(encoding="utf-8")

    @property
    def said(self) -> str:
        """All of its output, for messages of assertions."""
        return f"{self.stdout}\n--- stderr ---\n{self.stderr}"

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def wait(self, seconds: float = PATIENCE) -> int:
        """Its exit code, once it has ended by itself; a worker left behind is an error."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the command did not end in {seconds:g} s:\n{self.said}") from None
        until(lambda: not self.left_behind(), "all processes of an ended command are gone", 30)
        return code

    def children(self) -> list[psutil.Process]:
        """All processes that descend from it and live."""
        try:
            return [p for p in psutil.Process(self.process.pid).children(recursive=True) if _alive(p)]
        except psutil.NoSuchProcess:
            return []

    def workers(self) -> list[psutil.Process]:
        """Its worker processes."""
        return [child for child in self.children() if is_worker(child)]

    def left_behind(self) -> list[psutil.Process]:
        """Living processes of its group, whoever their parent is by now."""
        return [p for p in psutil.process_iter() if p.pid != self.process.pid and _group(p) == self.process.pid]

    def interrupt(self) -> None:
        """Ctrl-C: the terminal sends SIGINT to the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """kill -9 of the parent alone."""
        self.process.kill()
        self.process.wait()

    def kill_everything(self) -> None:
        """kill -9 of the parent and all that descends from it, at one moment."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        until(lambda: not self.left_behind(), "a killed group is gone", 30)

    def kill_worker(self, chance: random.Random) -> bool:
        """kill -9 of one of its workers; whether there was one."""
        workers = self.workers()
        if not workers:
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            chance.choice(workers).kill()
        return True


class Start(Protocol):
    """Starts a command in a working folder, with so many seconds more per training step."""

    def __call__(self, *arguments: str, step: float = 0.03, at: Path | None = None) -> Command: ...


@contextlib.contextmanager
def _heeding_interrupts() -> Iterator[None]:
    """What starts in here obeys Ctrl-C, even if this process was started to ignore it, as scripts start theirs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def states(database: Path) -> list[str]:
    """States of all trials in a SQLite file, read without any of our code; none while there is no such table."""
    if not database.exists():
        return []
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as connection:
        try:
            return [row[0] for row in connection.execute("SELECT state FROM trials ORDER BY trial_id")]
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return []


def running(database: Path) -> int:
    """How many trials are RUNNING."""
    return states(database).count("RUNNING")


def finished(database: Path) -> int:
    """How many trials are COMPLETE or PRUNED."""
    return sum(state in ("COMPLETE", "PRUNED") for state in states(database))


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def _group(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid) if _alive(process) else None
    except ProcessLookupError:
        return None
