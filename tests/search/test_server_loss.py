"""What a study does when its database server goes away for longer than a single step waits."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import optuna
import pytest
from optuna.exceptions import StorageInternalError

import regstudy as library
from regstudy.errors import ServerLost
from regstudy.report import results
from regstudy.search import session, worker
from regstudy.search.events import Event, Notice
from regstudy.search.queue import claim
from regstudy.search.search_options import SearchOptions
from regstudy.space.loader import space_from_tree
from regstudy.study import attributes
from regstudy.study.place import StudyPlace, study_place
from regstudy.study.storage import open_named

if TYPE_CHECKING:
    from regstudy.data.split_source import SplitSource

TREE: dict[str, Any] = {
    "data": {"name": "digits", "train_limit": 60, "validation": 60},
    "model": {"name": "small_cnn", "dropout": {"low": 0.0, "high": 0.5}},
    "optimizer": {"name": "adamw", "lr": {"low": 1e-4, "high": 1e-2, "log": True}},
    "training": {"epochs": 1, "batch_size": 32},
}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regstudy.study.storage.PATIENCE", (0.01,) * 5)
    monkeypatch.setattr("regstudy.training.cost.MEASURE_SECONDS", 0.02)


def run(folder: Path, told: list[Event], **options: Any) -> Any:
    common = {"confirm": 0, "doctor": False, "threads": 1, "device": "cpu", "progress": told.append}
    return library.run_study(space_from_tree(TREE, "s", "s"), results=folder, **{**common, **options})


def test_a_trial_that_lost_the_server_for_long_is_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine, tell, calls, down = worker._objective, optuna.Study.tell, [0], [False]

    def losing(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == 2:
            down[0] = True
            raise ServerLost("the server went away")
        return genuine(*arguments)

    def tell_if_up(*arguments: Any, **more: Any) -> Any:
        if down[0]:
            down[0] = False  # it is back a moment later
            raise StorageInternalError("the server is away")
        return tell(*arguments, **more)

    monkeypatch.setattr(worker, "_objective", losing)
    monkeypatch.setattr(optuna.Study, "tell", tell_if_up)
    result = run(tmp_path, [], trials=4)
    assert result.finished == 4
    assert sorted(trial.state.name for trial in result.study.trials) == ["COMPLETE"] * 4 + ["FAIL"]


def test_a_loss_between_stages_is_said_and_does_not_renew_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine, budgets, told = session.search, list[float](), list[Event]()

    def search(place: Any, study: Any, plan: Any, images: Any, options: Any, listen: Any) -> None:
        budgets.append(options.budget)
        if len(budgets) == 1:
            time.sleep(0.5)
            raise ServerLost("the server went away")
        genuine(place, study, plan, images, options, listen)

    monkeypatch.setattr(session, "search", search)
    assert run(tmp_path, told, trials=2, budget="1h").finished == 2
    assert budgets[0] - budgets[1] >= 0.5
    assert sum("does not answer" in str(event) for event in told if isinstance(event, Notice)) == 1


def test_ctrl_c_does_not_wait_for_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    def away(*_: Any) -> None:
        raise ServerLost("the server is away")

    monkeypatch.setattr(session, "search", interrupted)
    monkeypatch.setattr(session.Session, "_keep_facts", away)
    monkeypatch.setattr("regstudy.study.storage.time.sleep", waits.append)
    with pytest.raises(ServerLost):
        run(tmp_path, [], trials=2)
    assert waits == []


def test_a_worker_outlasts_a_loss_between_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def losing(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ServerLost("the server went away")

    monkeypatch.setattr(worker, "_work", losing)
    options = SearchOptions(1, device="cpu", threads=1)
    place = study_place(tmp_path, "s")
    job = worker.Job(place.url, "s", place.folder, space_from_tree(TREE, "s", "s"), options)
    worker.work(job, cast("SplitSource", None), worker.Watch(lambda _: None))
    assert len(calls) == 2


def test_the_last_trial_of_a_process_that_lost_the_server_is_run_again(tmp_path: Path) -> None:
    space = space_from_tree(TREE, "s", "s")
    assert run(tmp_path, [], trials=3).finished == 3
    place = study_place(tmp_path, "s")
    with closing(open_named(place.url, "s")) as opened:
        opened.study.set_user_attr(attributes.TRIALS, 4)
        assert claim(opened, space) is not None  # this process has it, and nothing is left to claim
    assert run(tmp_path, [], trials=4).finished == 4


def test_results_after_a_run_wait_for_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine, calls = results._opened, list[int]()

    def losing(place: StudyPlace) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise ServerLost("the server went away")
        return genuine(place)

    monkeypatch.setattr(results, "_opened", losing)
    assert run(tmp_path, [], trials=2).finished == 2
    assert len(calls) == 2
