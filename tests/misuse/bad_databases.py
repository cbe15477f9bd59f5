"""Studies of plain Optuna, broken databases and files that are none, for every command that opens a study."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
from misuse.misuse_case import PLAIN, Misuse
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

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
        space = {"lr": optuna.distributions.FloatDistribution(0, 1)}
        study.add_trial(create_trial(value=value, params={"lr": value}, distributions=space))


def unfinished(study: optuna.Study) -> None:
    study.ask()
    study.add_trial(create_trial(state=TrialState.FAIL))
    study.enqueue_trial({"a": 1})


def of_two_objectives(study: optuna.Study) -> None:
    study.add_trial(create_trial(values=[0.1, 0.2]))


def infinite(study: optuna.Study) -> None:
    study.add_trial(create_trial(value=float("inf")))
    study.add_trial(create_trial(value=0.5, intermediate_values={1: float("nan")}))


def changed(statement: str, name: str = "search") -> Callable[[Path], None]:
    """A study of regstudy's own after a change of its database."""

    def make(folder: Path) -> None:
        shutil.copytree(STUDIES / name, folder / "x")
        connection = sqlite3.connect(folder / "x" / "study.db")
        connection.executescript(statement)
        connection.close()

    return make


def truncated(folder: Path) -> None:
    shutil.copytree(STUDIES / "search", folder / "x")
    path = folder / "x" / "study.db"
    path.write_bytes(path.read_bytes()[:9000])


KINDS: dict[str, Callable[[Path], None]] = {
    "an empty folder": lambda folder: (folder / "x").mkdir(),
    "a file": lambda folder: (folder / "x").write_text("hello") and None,
    "a database that is a folder": lambda folder: (folder / "x" / "study.db").mkdir(parents=True),
    "an empty file": written(b""),
    "text": written(b"hello, this is no database\n" * 100),
    "zeros": written(bytes(10_000)),
    "another program's database": sql("CREATE TABLE photos (name TEXT); INSERT INTO photos VALUES ('a');"),
    "a database without tables": sql("VACUUM;"),
    "a truncated database": truncated,
    "Optuna's without studies": plain(lambda study: optuna.delete_study(study_name="x", storage=study._storage)),
    "a plain study": plain(some_trials),
    "a plain study without trials": plain(lambda _study: None),
    "a plain study of another name": plain(some_trials, "other"),
    "two plain studies": plain(some_trials, "a", "b"),
    "two objectives": plain(of_two_objectives, directions=2),
    "unfinished trials": plain(unfinished),
    "infinite values": plain(infinite),
    "choices that are None and numbers": plain(of_choices(None, 1, "1")),
    "a newer schema": changed("UPDATE version_info SET schema_version = 99;"),
    "an unknown revision": changed("UPDATE alembic_version SET version_num = 'v99';"),
    "attributes that are no JSON": changed("UPDATE study_user_attributes SET value_json = '{broken';"),
    "attributes of another type": changed("UPDATE study_user_attributes SET value_json = '[1, 2]';"),
    "trials' attributes of another type": changed("UPDATE trial_user_attributes SET value_json = '7';"),
    "no attributes": changed("DELETE FROM study_user_attributes; DELETE FROM trial_user_attributes;"),
    "no values": changed("DELETE FROM trial_values;"),
    "no reports": changed("DELETE FROM trial_intermediate_values;"),
    "no dates": changed("UPDATE trials SET datetime_start = NULL, datetime_complete = NULL;"),
    "no trials table": changed("DROP TABLE trials;"),
}
SERVED_NEVER = (
    "an empty folder",
    "a file",
    "a database that is a folder",
    "an empty file",
    "text",
    "another program's database",
    "a database without tables",
    "a truncated database",
    "Optuna's without studies",
    "no trials table",
)


def cases() -> Iterator[Misuse]:
    files: dict[str, str | bytes] = {"s.yaml": PLAIN, "c.yaml": PLAIN}
    for name, make in KINDS.items():
        for command, arguments in (COMMANDS | RESUMING).items():
            yield Misuse(f"{command} of {name}", arguments, make, frozenset({0, 2}), files=files)
    for name in SERVED_NEVER:
        yield Misuse(f"dashboard of {name}", ("dashboard", "x", "--port", "8979"), KINDS[name], files=files)
