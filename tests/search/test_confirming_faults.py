"""kill -9 in the middle of a confirmation, and workers elsewhere that take part in one and die."""

from __future__ import annotations

import shutil
import signal
from collections import Counter
from pathlib import Path

import optuna
import pytest
from faults.commands import Start, prepare_folder, running, until
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from postgres import Server
from search.confirmed import assert_paired, finished, runs_of, table
from sqlalchemy import NullPool
from sqlalchemy.exc import SQLAlchemyError

from regstudy.study import attributes
from regstudy.study.storage import sqlite_url

pytest_plugins = ["faults.fixtures", "postgres_fixture"]
pytestmark = pytest.mark.table
FAST = ("--set", "training.epochs=4", "--set", "optimizer.lr=0.05", "--set", "study.nuisance=[]")
STUDY = ("study", "--space", "faulty.yaml", "--no-doctor", "--device", "cpu", "--data-dir", ".", *FAST)
SHARE = ("--trials", "14", "--confirm", "0.6")  # 6 search trials and 8 confirmation runs


@pytest.mark.parametrize(("workers", "victim"), [(1, "everything")])  # three workers: see the ablation
def test_a_kill_in_the_middle_changes_nothing(workers: int, victim: str, folder: Path, start: Start) -> None:
    pool = ("--workers", str(workers), "--threads", str(workers))
    place, whole = folder / "results" / "faulty", folder / "results" / "whole"
    searched = start(*STUDY, "--trials", "6", "--confirm", "0", "--threads", "1", step=0)
    assert searched.wait() == 0, searched.said
    shutil.copytree(place, whole)
    alone = ("--runs", "8", "--device", "cpu", "--data-dir", ".", "--threads", "1")
    undisturbed = start("confirm", "results/whole", *alone, step=0)
    assert undisturbed.wait() == 0, undisturbed.said
    confirm = (*alone[:-2], *pool)
    command = start("confirm", "results/faulty", *confirm, step=0.1)
    until(lambda: running(place / "study.db") > 0 and len(all_trials(place)) > 8, "some runs are finished, some not")
    command.kill_everything() if victim == "everything" else command.kill()
    until(lambda: not command.left_behind(), "workers without a parent are gone")
    resumed = start("confirm", "results/faulty", *confirm, step=0)
    assert resumed.wait(300) == 0, resumed.said  # each round starts new workers
    assert finished(place) == (6, 8)
    assert_paired(place)
    assert table(place) == table(whole, "faulty")
    assert not list((place / "confirmation" / "checkpoints").glob("*"))


def all_trials(place: Path) -> list[object]:
    if not (place / "study.db").exists():
        return []
    storage = sqlite_url(place / "study.db")
    try:
        names = optuna.get_all_study_names(storage)
        return [one for name in names for one in optuna.load_study(study_name=name, storage=storage).trials]
    except SQLAlchemyError:  # it is being created
        return []


def test_a_study_killed_in_its_confirmation_goes_on_with_the_same_command(folder: Path, start: Start) -> None:
    place = folder / "results" / "faulty"
    first = start(*STUDY, *SHARE, "--threads", "1", step=0.05)
    until(lambda: len(all_trials(place)) > 8, "the confirmation is under way")
    first.kill()
    again = start(*STUDY, *SHARE, "--threads", "1", step=0)
    assert again.wait() == 0, again.said
    assert finished(place) == (6, 8), again.said
    assert_paired(place)


def test_ctrl_c_in_the_confirmation_keeps_what_is_finished(folder: Path, start: Start) -> None:
    place = folder / "results" / "faulty"
    first = start(*STUDY, *SHARE, "--threads", "1", step=0.05)
    until(lambda: len(all_trials(place)) > 8, "the confirmation is under way")
    first.process.send_signal(signal.SIGINT)
    assert first.wait(60) == 130, first.said
    assert "Traceback" not in first.said and "of 14 trials are left. Run the same command again" in first.stdout
    assert running(place / "study.db") == 0
    assert start(*STUDY, *SHARE, "--threads", "1", step=0).wait() == 0
    assert finished(place) == (6, 8)


def test_two_commands_share_a_confirmation(folder: Path, start: Start) -> None:
    """None of them may take a run that only the other has decided."""
    assert start(*STUDY, "--trials", "6", "--confirm", "0", "--threads", "1", step=0).wait() == 0
    confirm = ("confirm", "results/faulty", "--runs", "16", "--threads", "1", "--device", "cpu", "--data-dir", ".")
    both = [start(*confirm, step=0.02) for _ in range(2)]
    codes = [command.wait() for command in both]
    assert codes == [0, 0], [command.said for command in both]
    place = folder / "results" / "faulty"
    assert finished(place) == (6, 16)
    assert_paired(place)
    assert len({one.user_attrs[attributes.OWNER]["pid"] for one in runs_of(place)}) == 2


def load(url: str, name: str) -> optuna.Study:
    url = url.replace("postgresql://", "postgresql+psycopg://")
    return optuna.load_study(study_name=name, storage=RDBStorage(url, engine_kwargs={"poolclass": NullPool}))


def trials_of(url: str, name: str) -> list[optuna.trial.FrozenTrial]:
    try:
        return load(url, name).trials
    except (KeyError, SQLAlchemyError):  # not there yet
        return []


@pytest.mark.postgres
def test_a_worker_elsewhere_confirms_too_and_may_die(server: Server, tmp_path: Path, start: Start) -> None:
    url, here, there = server.create(tmp_path.name), tmp_path / "here", tmp_path / "there"
    prepare_folder(here)
    prepare_folder(there)
    arguments = (*STUDY, "--trials", "20", "--confirm", "0.6", "--threads", "1", "--storage", url)
    first = start(*arguments, step=0.1, at=here)
    until(lambda: len(trials_of(url, "faulty")) > 0, "the study runs")
    helping = ("worker", "--study", "faulty", "--device", "cpu", "--data-dir", ".", "--storage", url, "--threads", "1")
    helper = start(*helping, step=0.1, at=there)
    until(lambda: len(pids(url, "faulty/confirmation")) > 1, "both confirm")
    helper.kill()
    second = start(*helping, step=0.05, at=there)
    server.drop_connections(url.rpartition("/")[2])
    codes = [first.wait(), second.wait()]
    assert codes == [0, 0], first.said + second.said
    for name, total in (("faulty", 8), ("faulty/confirmation", 12)):
        ended = [one for one in trials_of(url, name) if one.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        assert Counter(one.user_attrs[attributes.SLOT] for one in ended) == Counter(range(total)), first.said
    assert "Traceback" not in first.said + second.said
    arms: dict[str, set[int]] = {}
    for one in ended:  # the confirmation runs
        arms.setdefault(one.user_attrs[attributes.ARM], set()).add(one.params["round"])
    assert all(rounds <= arms["baseline"] for rounds in arms.values())


def pids(url: str, name: str) -> set[int]:
    owners = [one.user_attrs.get(attributes.OWNER) for one in trials_of(url, name)]
    return {owner["pid"] for owner in owners if owner}
