"""Studies of plain Optuna, broken databases and files that are none, for every command that opens a study."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import optuna
from misuse.misuse_case import PLAIN, Misuse
from optuna.storages import RDBStorage
from optuna.trial import create_trial

STUDIES = Path(__file__).parents[1] / "fixtures" / "studies"
COMMANDS: dict[str, tuple[str, ...]] = {
    "report": ("report", "x"),
    "export": ("export", "x", "-o", "best.yaml"),
    "doctor": ("doctor", "x", "--preflight"),
}
RESUMING: dict[str, tuple[str, ...]] = {
    "study": ("study", "--space", "s.yaml", "--results", ".", "--study", "x", "--trials", "1", "--no-doctor"),
    "compare": ("compare", "c.yaml", "--results", ".", "--study", "x", "--repeats", "1"),
}


def database(folder: Path) -> Path:
    (folder / "x").mkdir()
    return folder / "x" / "study.db"


def written(content: bytes) -> Callable[[Path], None]:
    return lambda folder: database(folder).write_bytes(content) and None


def sql(statements: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        connection = sqlite3.connect(database(folder))
        connection.executescript(statements)
        connection.close()

    return make


def plain(fill: Callable[[optuna.Study], object], *names: str, directions: int = 1) -> Callable[[Path], None]:
    """A database of Optuna with studies of these names, filled by a function."""

    def make(folder: Path) -> None:
        storage = RDBStorage(f"sqlite:///{database(folder)}")
        for name in names or ("x",):
            fill(optuna.create_study(storage=storage, study_name=name, directions=["maximize"] * directions))
        storage.engine.dispose()

    return make


def of_choices(*choices: object) -> Callable[[optuna.Study], None]:
    def fill(study: optuna.Study) -> None:
        distribution = optuna.distributions.CategoricalDistribution(choices)  # type: ignore[arg-type]
        for choice in choices:
            study.add_trial(create_trial(value=0.5, params={"p": choice}, distributions={"p": distribution}))

    return fill


def some_trials(study: optuna.Study) -> None:
    for value in (0.1, 0.5, 0.3):
        files = dict.fromkeys(("s.yaml", "c.yaml"), PLAIN)
    for name, make in KINDS.items():
        for command, arguments in (COMMANDS | RESUMING).items():
            yield Misuse(f"{command} of {name}", arguments, make, frozenset({0, 2}), files=files)
    for name in SERVED_NEVER:
        yield Misuse(f"dashboard of {name}", ("dashboard", "x", "--port", "8979"), KINDS[name], files=files)
