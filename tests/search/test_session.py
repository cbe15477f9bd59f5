"""A study whose database or which itself goes away while it runs, and a study of a million trials with a budget."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from conftest import Command

import regstudy as library
from regstudy.search.events import Event, StudyEnded, TrialEnded
from regstudy.study import attributes
from regstudy.study.storage import open_storage, sqlite_url

pytestmark = pytest.mark.table

SMALL = ["training.epochs=2", "data.train_limit=60", "data.validation=60"]
SETS = [part for change in SMALL for part in ("--set", change)]


def delete(database: Path) -> None:
    database.unlink()


def delete_all(database: Path) -> None:
    for _ in range(100):  # a worker may write its checkpoint or the lock at this very moment
        shutil.rmtree(database.parent, ignore_errors=True)
        if not database.parent.exists():
            return


def replace(database: Path) -> None:
    shutil.copy(database, database.with_name("copy.db"))
    database.with_name("copy.db").rename(database)


def overwrite(database: Path) -> None:
    optuna.delete_study(study_name="s", storage=open_storage(sqlite_url(database)))


CHANGES: list[tuple[Callable[[Path], None], str]] = [
    (delete, "was deleted while the study ran"),
    (delete_all, "was deleted while the study ran"),
    (replace, "was replaced by another file while the study ran"),
    (overwrite, "The study 's' was deleted from the database"),
]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_a_study_never_ends_well_without_its_trials(
    tmp_path: Path, change: Callable[[Path], None], words: str, last: bool, workers: int
) -> None:
    ended: list[Event] = []

    def listen(event: Event) -> None:
        if isinstance(event, TrialEnded | StudyEnded):
            ended.append(event)
        if isinstance(event, TrialEnded) and len(ended) == (3 if last else 1):
            change(tmp_path / "s" / "study.db")

    starting = "|unable to open database file" if workers > 1 else ""  # a worker may only now open the database
    with pytest.raises(library.RegstudyError, match=words + starting):
        library.run_study(
            "digits_cnn", trials=3, overrides=SMALL, name="s", results=tmp_path, doctor=False, progress=listen,
            workers=workers,
        )  # fmt: skip
    assert not any(isinstance(event, StudyEnded) for event in ended)


def test_the_command_says_so_and_exits_with_2(
    regstudy: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from regstudy.search import worker

    keep = worker._tidy

    def tidy(job: worker.Job, *rest: object) -> None:
        keep(job, *rest)  # type: ignore[arg-type]
        (job.folder / "study.db").unlink(missing_ok=True)

    monkeypatch.setattr(worker, "_tidy", tidy)
    done = regstudy("study", "--space", "digits_cnn", "--no-doctor", *SETS, "--trials", "2")
    assert done.returncode == 2
    assert done.stderr.startswith("error: The study's database") and "was deleted while" in done.stderr
    assert "trials finished" not in done.stdout and not (tmp_path / "results/digits_cnn/study.db").exists()


def test_a_million_trials_with_a_budget_start_at_once_and_end_on_time(tmp_path: Path) -> None:
    ended: list[TrialEnded | StudyEnded] = []

    def listen(event: Event) -> None:
        if isinstance(event, TrialEnded | StudyEnded):
            ended.append(event)

    began = time.process_time()
    library.run_study(
        "digits_cnn", trials=1_000_000, overrides=SMALL, name="s", results=tmp_path, doctor=False, progress=listen,
        budget=1,
    )  # fmt: skip
    assert time.process_time() - began < 60
    *_, last = ended
    assert isinstance(last, StudyEnded) and last.why == "budget" and last.left == 1_000_000 - len(ended) + 1
    study = optuna.load_study(study_name="s", storage=sqlite_url(tmp_path / "s" / "study.db"))
    assert len(study.trials) == len(ended) - 1  # nothing was queued ahead
    assert study.user_attrs[attributes.TRIALS] + study.user_attrs[attributes.CONFIRM]["runs"] == 1_000_000
