"""What must hold of a study after any fault: a sound database, every slot finished once, and curves that repeat."""

from __future__ import annotations

import contextlib
import csv
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.trial import FrozenTrial, TrialState

from regstudy import data
from regstudy.config.run_config import parse_config
from regstudy.data.image_set import Splits
from regstudy.records import COLUMNS, PruningDecision, dump_records, parse_records
from regstudy.study import attributes
from regstudy.training.run import OnEpoch, run

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
CURVE = [name for name in COLUMNS if name != "seconds"]
Curve = list[dict[str, float | str]]


def study_in(folder: Path) -> optuna.Study:
    """The study of a results folder as plain Optuna sees it."""
    return optuna.load_study(study_name=folder.name, storage=f"sqlite:///{folder / 'study.db'}")


def assert_intact(database: Path) -> None:
    """SQLite itself finds nothing wrong with its file."""
    with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def assert_sound(
    folder: Path, total: int, given_up: Collection[int] = (), study: optuna.Study | None = None
) -> list[FrozenTrial]:
    """Every slot below ``total`` that was not given up is finished exactly once, and nothing is under way.

    Returns the finished trials. Without ``study`` the folder's own database is read and checked.
    """
    if study is None:
        assert_intact(folder / "study.db")
        study = study_in(folder)
    trials = study.get_trials(deepcopy=False)
    under_way = [t.number for t in trials if not t.state.is_finished()]
    assert under_way == [], f"trials neither finished nor failed: {under_way}"
    ended = [t for t in trials if t.state in FINISHED]
    slots = Counter(t.user_attrs[attributes.SLOT] for t in ended)
    assert slots == Counter(slot for slot in range(total) if slot not in given_up)
    for trial in ended:
        records = parse_records(trial.user_attrs[attributes.EPOCHS])
        assert [r.epoch for r in records] == list(range(1, len(records) + 1)), f"trial {trial.number} lacks epochs"
    left = {path.name for path in (folder / "checkpoints").glob("*")}
    assert left <= {f"ticket_{slot:05d}.pt" for slot in given_up}, f"files left over: {left}"
    assert len(list((folder / "weights").glob("*"))) <= 4
    return ended


def assert_curves_repeat(folder: Path, trials: Collection[FrozenTrial], through_cli: int = 1, seed: int = 0) -> None:
    """Training each trial's configuration anew gives its recorded curve to the bit.

    All in this process; ``through_cli`` of them, drawn at random, also by `regstudy export` and `regstudy train`. The
    network's module must lie in the working folder.
    """
    assert trials
    splits: dict[str, Splits] = {}
    for trial in trials:
        config = parse_config(trial.user_attrs[attributes.CONFIG], f"trial {trial.number}")
        parts = splits.setdefault(repr(config.data), data.prepare(config.data, folder))
        with _threads(trial.user_attrs[attributes.THREADS]):
            again = run(config, parts, torch.device("cpu"), _stop_where(trial))
        assert _plain(dump_records(again.result.records)) == recorded(trial), f"trial {trial.number}"
    whole = [t for t in trials if t.user_attrs[attributes.OUTCOME] == "finished"]
    for trial in random.Random(seed).sample(whole, through_cli):
        assert _trained(folder, trial) == recorded(trial), f"trial {trial.number} by `regstudy train`"


def recorded(trial: FrozenTrial) -> Curve:
    """A trial's recorded curve without its times."""
    return _plain(trial.user_attrs[attributes.EPOCHS])


def _plain(dumped: dict[str, Any]) -> Curve:
    rows = (dict(zip(dumped["columns"], row, strict=True)) for row in dumped["rows"])
    return [{name: row[name] for name in CURVE} for row in rows]


def _stop_where(trial: FrozenTrial) -> OnEpoch | None:
    """A pruned trial's curve ends where it was cut."""
    if trial.state == TrialState.COMPLETE:
        return None
    epochs = len(recorded(trial))
    return lambda records, _signal: PruningDecision(len(records) == epochs, "as before")


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(before)


def _trained(folder: Path, trial: FrozenTrial) -> Curve:
    """The curve that the command line trains for a trial of a SQLite study."""
    file, out = Path.cwd() / f"trial_{trial.number}.yaml", Path.cwd() / f"trial_{trial.number}"
    threads = str(trial.user_attrs[attributes.THREADS])
    regstudy("export", str(folder), "--trial", str(trial.number), "-o", str(file))
    regstudy("train", str(file), "-o", str(out), "--threads", threads)
    with (out / "epochs.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return [
        {name: int(row[name]) if name == "epoch" else float(row[name]) if row[name] else "nan" for name in CURVE}
        for row in rows
    ]


def regstudy(*arguments: str) -> str:
    """What a command prints that must succeed, run as a process of its own in the working folder."""
    done = subprocess.run([sys.executable, "-m", "regstudy", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
