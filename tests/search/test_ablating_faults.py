"""kill -9 in the middle of an ablation, two commands that share one, and a worker elsewhere that helps."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import optuna
import pytest
from faults.commands import Start, prepare_folder, running, until
from postgres import Server
from search.ablated import assert_paired, repeats_of, runs_of, table
from search.test_confirming_faults import pids, trials_of

from regstudy.study import attributes
from regstudy.study.storage import sqlite_url

pytest_plugins = ["faults.fixtures", "postgres_fixture"]
pytestmark = pytest.mark.table
FAST = ("--set", "training.epochs=4", "--set", "optimizer.lr=0.05", "--set", "study.nuisance=[]")
STUDY = ("study", "--space", "faulty.yaml", "--no-doctor", "--device", "cpu", "--data-dir", ".", *FAST)
SEARCH = (*STUDY, "--trials", "6", "--confirm", "0", "--threads", "1")
RUNS = ("--runs", "24", "--device", "cpu", "--data-dir", ".")  # of four arms
TRIED = ("--retune-lr", "--runs", "40", *RUNS[2:])  # 24 tries, in which both kills fall, and four repeats


def begun(place: Path) -> int:
    """How many ablation runs have been begun."""
    storage = sqlite_url(place / "study.db")
    name = f"{place.name}/ablation"
    known = optuna.get_all_study_names(storage)
    return len(optuna.load_study(study_name=name, storage=storage).trials) if name in known else 0


@pytest.mark.parametrize(
    ("workers", "runs"), [(1, RUNS), (3, RUNS), (3, TRIED)], ids=["one", "three", "three that choose learning rates"]
)
def test_a_kill_in_the_middle_changes_nothing(workers: int, runs: tuple[str, ...], folder: Path, start: Start) -> None:
    pool = ("--workers", str(workers), "--threads", str(workers))
    place, whole = folder / "results" / "faulty", folder / "results" / "whole"
    searched = start(*SEARCH, step=0)
    assert searched.wait() == 0, searched.said
    shutil.copytree(place, whole)
    undisturbed = start("ablate", "results/whole", *runs, "--threads", "1", step=0)
    assert undisturbed.wait() == 0, undisturbed.said
    before = 0
    for kill in ("everything", "parent"):
        command = start("ablate", "results/faulty", *runs, *pool, step=0.1)
        until(lambda n=before: running(place / "study.db") > 0 and begun(place) > n + 3, "runs are under way")
        before = begun(place)
        command.kill_everything() if kill == "everything" else command.kill()
    until(lambda: not command.left_behind(), "workers without a parent are gone")
    resumed = start("ablate", "results/faulty", *runs, *pool, step=0)
    assert resumed.wait() == 0, resumed.said
    assert_paired(place)
    assert len(table(place)) >= 16 and table(place) == table(whole, "faulty")
    assert runs == RUNS or len(table(place)) == 40
    assert not list((place / "ablation" / "checkpoints").glob("*"))


def test_two_commands_share_an_ablation(folder: Path, start: Start) -> None:
    """None of them may plan over what the other has planned."""
    assert start(*SEARCH, step=0).wait() == 0
    both = [start("ablate", "results/faulty", *RUNS, "--threads", "1", step=0.05) for _ in range(2)]
    codes = [command.wait() for command in both]
    assert codes == [0, 0], [command.said for command in both]
    place = folder / "results" / "faulty"
    assert_paired(place)
    slots = Counter(one.user_attrs[attributes.SLOT] for one in runs_of(place))
    assert slots == Counter(range(len(slots))) and len(slots) >= 16
    assert all(repeats == list(range(1, len(repeats) + 1)) for repeats in repeats_of(place).values())


@pytest.mark.postgres
def test_a_worker_elsewhere_helps(server: Server, tmp_path: Path, start: Start) -> None:
    url, here, there = server.create(tmp_path.name), tmp_path / "here", tmp_path / "there"
    prepare_folder(here)
    prepare_folder(there)
    assert start(*SEARCH, "--storage", url, step=0, at=here).wait() == 0
    first = start("ablate", "results/faulty", *RUNS, "--storage", url, "--threads", "1", step=0.1, at=here)
    until(lambda: len(trials_of(url, "faulty/ablation")) > 0, "the ablation runs")
    helping = ("worker", "--study", "faulty", "--device", "cpu", "--data-dir", ".", "--storage", url, "--threads", "1")
    second = start(*helping, step=0.1, at=there)
    until(lambda: len(pids(url, "faulty/ablation")) > 1, "both take part")
    codes = [first.wait(), second.wait()]
    assert codes == [0, 0], first.said + second.said
    ended = [one for one in trials_of(url, "faulty/ablation") if one.state == optuna.trial.TrialState.COMPLETE]
    slots = Counter(one.user_attrs[attributes.SLOT] for one in ended)
    assert slots == Counter(range(len(slots))) and len(slots) >= 16, first.said
    assert "Traceback" not in first.said + second.said
