"""Studies and databases that regstudy did not make, or that are half broken: each is made in an empty folder."""

from __future__ import annotations

import math
import shutil
import sqlite3
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from regstudy.study import attributes

NAME = "x"
ODD = '{"name": "Odd", "attributes": {}}'
LETTERS = '{"name": "CategoricalDistribution", "attributes": {"choices": ["a", "b"]}}'
FIXTURES = Path(__file__).parent / "fixtures" / "studies"


def plain(folder: Path, *, trials: int = 12, name: str = NAME, file: str = "study.db", **options: Any) -> optuna.Study:
    """A study as a user of plain Optuna would make it."""
    study = optuna.create_study(study_name=name, storage=f"sqlite:///{folder / file}", **options)
    for i in range(trials):
        trial = study.ask()
        value = trial.suggest_float("rate", 1e-4, 1e-1, log=True) + trial.suggest_int("width", 1, 8)
        for step in range(3):
            if len(study.directions) == 1:
                trial.report(value - step, step)
        study.tell(trial, value if len(study.directions) == 1 else [value, float(i)])
    return study


def choices(folder: Path, options: list[Any]) -> None:
    """Optuna warns of such choices, but takes them."""
    study = plain(folder, trials=0, direction="maximize")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind = CategoricalDistribution(options)
        for i in range(1 if isinstance(options[0], tuple) else 12):  # stored, they are lists, and no longer the same
            params = {"sizes": options[i % len(options)], "rate": i / 12}
            distributions = {"sizes": kind, "rate": FloatDistribution(0, 1)}
            study.add_trial(create_trial(params=params, distributions=distributions, value=float(i)))


def execute(folder: Path, *statements: str) -> None:
    """Change a database by hand."""
    with closing(sqlite3.connect(folder / "study.db")) as file, file:
        for statement in statements:
            file.execute(statement)


def changed(*statements: str) -> Callable[[Path], None]:
    """A plain study changed by hand."""

    def make(folder: Path) -> None:
        plain(folder)
        execute(folder, *statements)

    return make


def values(folder: Path, numbers: list[float | None], direction: str = "maximize") -> None:
    study = plain(folder, trials=0, direction=direction)
    for i, number in enumerate(numbers):
        state = TrialState.FAIL if number is None or math.isnan(number) else TrialState.COMPLETE
        rate = {"rate": FloatDistribution(0, 1)}
        value = None if state == TrialState.FAIL else number
        steps = {0: number} if number is not None else {}
        study.add_trial(
            create_trial(
                state=state, value=value, params={"rate": i / 99}, distributions=rate, intermediate_values=steps
            )
        )


def regstudys(folder: Path, *statements: str, fixture: str = "search") -> None:
    """A study of regstudy, changed by hand."""
    shutil.copy(FIXTURES / fixture / "study.db", folder / "study.db")
    execute(folder, *statements)


def truncated(folder: Path, keep: float) -> None:
    regstudys(folder)
    content = (folder / "study.db").read_bytes()
    (folder / "study.db").write_bytes(content[: int(len(content) * keep)])


def two(folder: Path, *names: str) -> None:
    for name in names:
        plain(folder, name=name)


def odd_attributes(folder: Path) -> None:
    study = plain(folder)
    for name in vars(attributes).values():
        if isinstance(name, str) and name.startswith(attributes.PREFIX) and name != attributes.PREFIX:
            study.set_user_attr(name, [3, {"a": None}])
    trial = study.ask()
    for name in vars(attributes).values():
        if isinstance(name, str) and name.startswith(attributes.PREFIX) and name != attributes.PREFIX:
            trial.set_user_attr(name, [3, {"a": None}])
    study.tell(trial, 1.0)


def enqueued(folder: Path) -> None:
    study = plain(folder, trials=2)
    study.enqueue_trial({"rate": 0.5})
    study.ask()


KINDS: dict[str, Callable[[Path], object]] = {
    "plain, to minimize": plain,
    "plain, to maximize": lambda folder: plain(folder, direction="maximize"),
    "without trials": lambda folder: plain(folder, trials=0),
    "one trial": lambda folder: plain(folder, trials=1),
    "two objectives": lambda folder: plain(folder, directions=["minimize", "maximize"]),
    "choices that are lists": lambda folder: choices(folder, [[1, 2], [3]]),
    "choices that are tuples": lambda folder: choices(folder, [(1, 2), (3,)]),
    "choices that are mappings": lambda folder: choices(folder, [{"a": 1}, {"b": [2]}]),
    "choices of all kinds": lambda folder: choices(folder, [None, True, 1, 1.5, "a", [1], {"a": 1}]),
    "infinite values": lambda folder: values(folder, [math.inf, -math.inf, 1.0, 2.0] * 5),
    "values that are not numbers": lambda folder: values(folder, [math.nan, 1.0, 2.0, None] * 5),
    "only infinite values": lambda folder: values(folder, [math.inf] * 12, "minimize"),
    "only failures": lambda folder: values(folder, [None] * 12),
    "huge values": lambda folder: values(folder, [1e308, -1e308, 5e-324] * 5),
    "equal values": lambda folder: values(folder, [0.5] * 20),
    "waiting and running": enqueued,
    "odd attributes": odd_attributes,
    "no values": changed("DELETE FROM trial_values"),
    "no parameters": changed("DELETE FROM trial_params"),
    "no steps": changed("DELETE FROM trial_intermediate_values"),
    "no dates": changed("UPDATE trials SET datetime_start = NULL, datetime_complete = NULL"),
    "dates that are none": changed("UPDATE trials SET datetime_start = 'yesterday'"),
    "an unknown state": changed("UPDATE trials SET state = 'LOST' WHERE number = 3"),
    "numbers that repeat": changed("UPDATE trials SET number = 0"),
    "no direction": changed("DELETE FROM study_directions"),
    "parameters outside their range": changed("UPDATE trial_params SET param_value = 1e9"),
    "invalid distributions": changed("UPDATE trial_params SET distribution_json = '{' WHERE trial_id = 2"),
    "an unknown distribution": changed(f"UPDATE trial_params SET distribution_json = '{ODD}'"),
    "a range that changed": changed(
        f"UPDATE trial_params SET distribution_json = '{LETTERS}', param_value = 1 WHERE param_name = 'width'"
        " AND trial_id > 5"
    ),
    "invalid JSON in an attribute": lambda folder: regstudys(
        folder, "UPDATE trial_user_attributes SET value_json = '{\"a\":' WHERE trial_id = 3"
    ),
    "invalid JSON in the study": lambda folder: regstudys(folder, "UPDATE study_user_attributes SET value_json = '{'"),
    "NULL attributes": lambda folder: regstudys(folder, "UPDATE study_user_attributes SET value_json = NULL"),
    "no attributes of the study": lambda folder: regstudys(folder, "DELETE FROM study_user_attributes"),
    "no attributes of trials": lambda folder: regstudys(folder, "DELETE FROM trial_user_attributes"),
    "a comparison without trials": lambda folder: regstudys(folder, "DELETE FROM trials", fixture="comparison"),
    "a comparison without attributes": lambda folder: regstudys(
        folder, "DELETE FROM trial_user_attributes", fixture="comparison"
    ),
    "an empty file": lambda folder: (folder / "study.db").touch(),
    "a text file": lambda folder: (folder / "study.db").write_text("trial,value\n1,0.5\n" * 100),
    "a short text file": lambda folder: (folder / "study.db").write_text("hello"),
    "a folder": lambda folder: (folder / "study.db").mkdir(),
    "another program's database": lambda folder: execute(folder, "CREATE TABLE cats (name TEXT)"),
    "another program's studies": lambda folder: execute(folder, "CREATE TABLE studies (patient TEXT)"),
    "an empty database": lambda folder: execute(folder, "CREATE TABLE t (a)", "DROP TABLE t"),
    "half created": lambda folder: execute(folder, "CREATE TABLE studies (study_id INTEGER, study_name TEXT)"),
    "half of a file": lambda folder: truncated(folder, 0.5),
    "most of a file": lambda folder: truncated(folder, 0.97),
    "a header only": lambda folder: truncated(folder, 0.001),
    "an older version": changed("UPDATE alembic_version SET version_num = 'v2.6.0.a'"),
    "a newer version": changed("UPDATE alembic_version SET version_num = 'v9.9.0.a'"),
    "a very old version": changed("DROP TABLE alembic_version"),
    "a missing table": changed("DROP TABLE trial_params"),
    "two studies": lambda folder: two(folder, "one", "other"),
    "two studies, one of them meant": lambda folder: two(folder, NAME, "other"),
    "a strange name": lambda folder: plain(folder, name="../a b/ü\n[red]<b>"),
}  # fmt: skip
OURS = {
    "odd attributes", "invalid JSON in an attribute", "no attributes of trials", "a comparison without trials",
    "a comparison without attributes",
}  # fmt: skip

COMMANDS: dict[str, list[str]] = {
    "report": ["report", "results/x"],
    "report of a file": ["report", "results/x/study.db"],
    "export": ["export", "results/x", "-o", "best.yaml"],
    "export of a trial": ["export", "results/x", "--trial", "3", "-o", "best.yaml"],
    "doctor": ["doctor", "results/x", "--preflight"],
    "dashboard": ["dashboard", "results/x", "--port", "18431"],
    "confirm": ["confirm", "results/x", "--dry-run"],
    "ablate": ["ablate", "results/x", "--dry-run"],
    "study": ["study", "--space", "s.yaml", "--study", NAME, "--trials", "1", "--no-doctor", "--dry-run"],
    "compare": ["compare", "s.yaml", "--study", NAME, "--repeats", "1", "--dry-run"],
    "worker": ["worker", "--study", NAME, "--storage", "sqlite:///results/x/study.db"],
    "train on it": ["train", "results/x/study.db", "-o", "out"],
    "train into it": ["train", "best.yaml", "-o", "results/x"],
}
