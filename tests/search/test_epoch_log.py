"""What is stored of the epochs of a running trial, and when."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest

import regstudy
import regstudy.training.run as training_run
from regstudy.records import EpochRecord, dump_folds, dump_records
from regstudy.search.epoch_log import EpochLog
from regstudy.study import attributes
from regstudy.study.database import sqlite_url
from regstudy.study.storage import OpenStudy, open_named, open_storage
from regstudy.training.time_share import TimeShare


def record(epoch: int) -> EpochRecord:
    return EpochRecord(epoch, 1.0, 0.5, 1.0, 0.5, 1.0, epoch / 100, 1e-3, 1.0, 0.1)


@pytest.mark.parametrize(
    ("takes", "between", "due"),
    [
        pytest.param(0.0, 0.0, [True, True, True, True], id="takes no time"),
        pytest.param(0.5, 100.0, [True, True, True, True], id="takes a two-hundredth of the time between"),
        pytest.param(1.0, 100.0, [True, False, True, False], id="a hundredth"),
        pytest.param(1.0, 50.0, [True, False, False, False], id="a fiftieth"),
    ],
)
def test_at_most_a_share_of_the_time_is_spent(takes: float, between: float, due: list[bool]) -> None:
    now = [0.0]
    share, found = TimeShare(0.005, lambda: now[0]), []
    for _ in due:
        found.append(share.due)
        if share.due:
            with share.measured():
                now[0] += takes
        now[0] += between
    assert found == due


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenStudy]:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    optuna.create_study(study_name="one", storage=open_storage(url), direction="maximize")
    with closing(open_named(url, "one")) as found:
        yield found


def stored(opened: OpenStudy) -> tuple[object, dict[int, float]]:
    trial = opened.study.get_trials()[0]
    return trial.user_attrs.get(attributes.EPOCHS), trial.intermediate_values


@pytest.mark.parametrize(("at_once", "seen"), [(False, [1, 1, 3, 3]), (True, [1, 2, 3, 4])])
def test_epochs_are_stored_when_that_is_due_and_all_in_the_end(
    opened: OpenStudy, at_once: bool, seen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0  # storing takes a second
        return now[0]

    monkeypatch.setattr("regstudy.search.epoch_log.TimeShare", partial(TimeShare, clock=clock))
    log = EpochLog(opened, opened.study.ask(), at_once=at_once)
    log.metric, found = "val_accuracy", []
    for count in range(1, 5):
        records = [record(epoch) for epoch in range(1, count + 1)]
        log.add([records], trained=1)
        rows, values = stored(opened)
        assert rows == dump_records(records[: len(values)]) and list(values) == list(range(1, len(values) + 1))
        found.append(len(values))
        now[0] += 120.0
    assert found == seen and log.total == 4
    log.flush()
    rows, values = stored(opened)
    assert rows == dump_records(records) and values == {epoch: epoch / 100 for epoch in range(1, 5)}
    assert attributes.RESUMED not in opened.study.get_trials()[0].user_attrs


def test_epochs_from_a_checkpoint_are_counted_as_resumed(opened: OpenStudy) -> None:
    log = EpochLog(opened, opened.study.ask())
    log.metric = "val_accuracy"
    log.add([[record(1), record(2), record(3)]], trained=1)
    log.flush()
    assert opened.study.get_trials()[0].user_attrs[attributes.RESUMED] == 2


def test_optuna_gets_the_values_of_the_first_fold_alone(opened: OpenStudy) -> None:
    log = EpochLog(opened, opened.study.ask())
    log.metric, log.folds = "val_accuracy", True
    runs = [[record(1), record(2)], [record(1), record(2), record(3)]]
    log.add(runs, trained=5)
    log.flush()
    rows, values = stored(opened)
    assert rows == dump_folds(runs) and list(values) == [1, 2]
    assert attributes.RESUMED not in opened.study.get_trials()[0].user_attrs


@pytest.mark.parametrize("pruner", ["signal", "median"])
def test_however_rarely_epochs_are_stored_a_trial_that_ends_or_fails_has_them_all(
    pruner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regstudy.search.epoch_log.STORING_SHARE", 1e-12)
    run_epoch, calls = training_run.run_epoch, 0

    def fails_once(*given: Any) -> EpochRecord:
        nonlocal calls
        calls += 1
        if calls == 7:  # the third epoch of the second trial
            raise ValueError("once")
        return run_epoch(*given)

    monkeypatch.setattr(training_run, "run_epoch", fails_once)
    regstudy.run_study(
        "digits_cnn", trials=2, name="s", results=tmp_path, doctor=False, confirm=0, pruner=pruner, workers=1,
        overrides=["training.epochs=4", "training.patience=null", "data.train_limit=60"],
    )  # fmt: skip
    trials = optuna.load_study(study_name="s", storage=sqlite_url(tmp_path / "s" / "study.db")).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert [len(trial.user_attrs[attributes.EPOCHS]["rows"]) for trial in trials] == [4, 2, 4]
    assert [list(trial.intermediate_values) for trial in trials] == [[1, 2, 3, 4], [1, 2], [1, 2, 3, 4]]
