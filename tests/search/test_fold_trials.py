"""Studies with k-fold cross-validation through the command line: a kill in fold 2, resume, report, export, train."""

from __future__ import annotations

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Command

import regstudy as library
from regstudy.errors import DataError
from regstudy.records import parse_confusions
from regstudy.search import worker
from regstudy.search.events import EpochDone, Event, TrialEnded
from regstudy.study import attributes
from regstudy.study.storage import sqlite_url
from regstudy.training.checkpoint import Checkpoint

pytestmark = pytest.mark.table

FOLDS = ["data.resampling={kfold: 3}", "training.epochs=3", "data.train_limit=60"]
SETS = [part for change in FOLDS for part in ("--set", change)]


class Killed(BaseException):
    """Stands for the end of the process."""


def trials_in(folder: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=None, storage=sqlite_url(folder / "study.db")).trials


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "epochs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def facts(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    """What a trial has found, without times and what an interruption may change."""
    epochs = trial.user_attrs[attributes.EPOCHS]
    seconds = epochs["columns"].index("seconds")
    rows = [[cell for at, cell in enumerate(row) if at != seconds] for row in epochs["rows"]]
    kept = (attributes.FOLDS, attributes.CONFUSION, attributes.BEST_VALUE, attributes.BEST_EPOCH, attributes.CONFIG)
    return {"value": trial.value, "rows": rows, "curve": trial.intermediate_values} | {
        name: trial.user_attrs[name] for name in kept
    }


def run(folder: Path, trials: int = 2, changes: list[str] | None = None, **more: Any) -> list[Event]:
    events: list[Event] = []
    arguments = {"name": "s", "results": folder, "doctor": False, "progress": events.append, **more}
    library.run_study("digits_cnn", trials=trials, overrides=changes or FOLDS, **arguments)
    return events


def test_the_command_line_from_the_study_to_the_training(regstudy: Command, tmp_path: Path) -> None:
    planned = regstudy("study", "--space", "digits_cnn", "--no-doctor", *SETS, "--trials", "3", "--dry-run")
    assert "for 3 trials of 3 folds with 3 epochs each" in planned.stdout
    done = regstudy("study", "--space", "digits_cnn", "--no-doctor", *SETS, "--trials", "3")
    assert done.returncode == 0, done.stderr
    assert "60 for training, 30 for validation in the first of 3 folds" in done.stdout
    assert "Only `regstudy train` uses data.validation." in done.stdout
    assert "9 epochs in 3 folds, mean of their best" in done.stdout
    folder = tmp_path / "results" / "digits_cnn"
    for trial in trials_in(folder):
        folds = trial.user_attrs[attributes.FOLDS]
        assert trial.value == pytest.approx(sum(one["best_value"] for one in folds) / 3, abs=1e-12)
        assert len(trial.intermediate_values) == 3  # of the first fold
        matrix = parse_confusions(trial.user_attrs[attributes.CONFUSION])["validation"]
        assert sum(map(sum, matrix)) == 90
        right = sum(matrix[at][at] for at in range(10))
        assert right / 90 == pytest.approx(trial.value, abs=1e-9)  # folds of equal size
    rows = rows_of(folder)
    assert [row["fold"] for row in rows] == [str(fold) for fold in (1, 2, 3) for _ in range(3)] * 3
    page = (folder / "report.html").read_text()
    assert "mean over 3 folds" in page and "best epoch was chosen on the same" in page
    assert not list((folder / "checkpoints").iterdir()) and not list(folder.glob("weights/*"))
    assert regstudy("export", "results/digits_cnn", "-o", "best.yaml").returncode == 0
    trained = regstudy("train", "best.yaml", "-o", "final")
    assert trained.returncode == 0, trained.stderr
    assert "holds out 400 validation images (data.validation)" in trained.stdout + trained.stderr
    data = json.loads((tmp_path / "final" / "metrics.json").read_text())["data"]
    assert (data["train"], data["validation"]) == (60, 400) and "folds" not in data


def test_a_comparison_of_folds_pairs_the_means(regstudy: Command, tmp_path: Path) -> None:
    changes = ["training.epochs=2", *FOLDS[::2]]
    sets = [part for change in changes for part in ("--set", change)]
    done = regstudy("compare", "digits_cnn", "--arm", "wide: model.dropout=0.6", *sets, "--repeats", "2")
    assert done.returncode == 0, done.stderr
    assert "2 runs of 3 folds with 2 epochs each" in done.stdout
    (folder,) = (path.parent for path in tmp_path.glob("results/*/study.db"))
    found = library.load_results(folder)
    means = {row["number"]: row["val_accuracy"] for _, row in found.trials.iterrows()}
    assert {t.number: pytest.approx(t.value, abs=1e-12) for t in trials_in(folder)} == means
    assert "the same 3 folds" in (folder / "comparison.html").read_text()


@pytest.mark.parametrize(("fold", "epoch"), [(1, 2), (2, 1), (3, 2)])
def test_a_trial_that_is_interrupted_resumes_in_its_fold_and_gives_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fold: int, epoch: int
) -> None:
    monkeypatch.setattr(Checkpoint, "due", True)
    run(tmp_path / "whole", 1)
    (undisturbed,) = trials_in(tmp_path / "whole" / "s")

    def listen(event: Event) -> None:
        if isinstance(event, EpochDone) and (event.fold, event.record.epoch) == (fold, epoch):
            raise Killed

    with pytest.raises(Killed):
        run(tmp_path / "cut", 1, progress=listen)
    trained = [e for e in run(tmp_path / "cut", 1) if isinstance(e, EpochDone)]
    assert min(one.fold for one in trained) == fold  # finished folds are not repeated
    failed, resumed = trials_in(tmp_path / "cut" / "s")
    assert failed.state.name == "FAIL" and resumed.state.name == "COMPLETE"
    assert facts(resumed) == facts(undisturbed)
    assert resumed.user_attrs[attributes.RESUMED] == 3 * (fold - 1) + max(epoch - 1, 0)
    assert not list((tmp_path / "cut" / "s" / "checkpoints").iterdir())


def test_a_kill_after_the_last_fold_repeats_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> float:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(library.RegstudyError):
        patch.setattr(worker, "_finish", killed)
        run(tmp_path, 1)
    events = run(tmp_path, 1)
    assert not [event for event in events if isinstance(event, EpochDone)]
    *_, resumed = trials_in(tmp_path / "s")
    assert resumed.state.name == "COMPLETE" and len(resumed.intermediate_values) == 3
    assert resumed.user_attrs[attributes.RESUMED] == len(resumed.user_attrs[attributes.EPOCHS]["rows"]) == 9


def test_seeds_differ_by_fold_and_early_stopping_counts_in_each(tmp_path: Path) -> None:
    changes = [*FOLDS[::2], "training.epochs=8", "training.patience=1", "training.tolerance=0.5"]
    (ended,) = (event for event in run(tmp_path, 1, changes) if isinstance(event, TrialEnded))
    (trial,) = trials_in(tmp_path / "s")
    folds = trial.user_attrs[attributes.FOLDS]
    assert {one["outcome"] for one in folds} == {"stopped"} and ended.outcome == "stopped"
    assert ended.reason == "trained 3 folds, of which early stopping ended 3"
    assert ended.epochs == len(trial.user_attrs[attributes.EPOCHS]["rows"]) < 24
    assert ended.best is not None and ended.best.val_accuracy == pytest.approx(trial.value)


def test_a_fold_that_diverges_ends_the_trial(tmp_path: Path) -> None:
    changes = [*FOLDS, "optimizer={name: sgd, lr: 1.0e+30}"]
    run(tmp_path, 1, changes)
    (trial,) = trials_in(tmp_path / "s")
    assert trial.user_attrs[attributes.OUTCOME] == "diverged" and trial.state.name == "COMPLETE"
    assert len(trial.user_attrs[attributes.FOLDS]) == 1
    assert trial.value == pytest.approx(0.1, abs=0.01)


def test_a_trial_is_pruned_between_folds_but_no_baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from regstudy.records import PruningDecision
    from regstudy.search import pruner

    monkeypatch.setattr(pruner, "decide_on_folds", lambda own, *_: PruningDecision(len(own) == 2, "far behind"))
    monkeypatch.setattr(pruner.SignalPruner, "exempt", lambda _self, trial: trial.user_attrs[attributes.SLOT] == 2)
    run(tmp_path, 4)
    trials = {trial.user_attrs[attributes.SLOT]: trial for trial in trials_in(tmp_path / "s")}
    states = {slot: (trial.user_attrs[attributes.ARM], trial.state.name) for slot, trial in trials.items()}
    assert states[0] == ("baseline", "COMPLETE") and states[3] == ("baseline", "COMPLETE")
    assert states[1] == ("search", "PRUNED") and trials[1].user_attrs[attributes.REASON] == "far behind"
    assert len(trials[1].user_attrs[attributes.FOLDS]) == 2
    assert states[2] == ("search", "COMPLETE")
    assert trials[2].user_attrs[attributes.SHADOW] == {"epoch": 6, "reason": "far behind"}
    row = library.load_results(tmp_path / "s").trials.set_index("number").loc[trials[1].number]
    assert row["value"] == pytest.approx(sum(one["best_value"] for one in trials[1].user_attrs[attributes.FOLDS]) / 2)


def test_folds_need_enough_images_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="but each fold needs an image"):
        run(tmp_path, 1, ["data.resampling={kfold: 20}", "data.train_limit=60"])
    assert not (tmp_path / "s").exists()


def test_sigkill_in_the_second_fold(tmp_path: Path) -> None:
    changes = ["data.resampling={kfold: 3}", "training.epochs=25", "training.patience=null", "data.train_limit=200"]
    sets = [part for change in changes for part in ("--set", change)]
    command = [sys.executable, "-m", "regstudy", "study", "--space", "digits_cnn", "--no-doctor", *sets]
    command += ["--trials", "1", "--threads", "1"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    subprocess.run(command, cwd=whole, check=True, timeout=300, capture_output=True)
    process = subprocess.Popen(command, cwd=cut, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    second = cut / "results" / "digits_cnn" / "checkpoints" / "ticket_00000.fold2.pt"
    while not second.exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    subprocess.run(command, cwd=cut, check=True, timeout=300, capture_output=True)
    (undisturbed,) = trials_in(whole / "results" / "digits_cnn")
    killed, resumed = trials_in(cut / "results" / "digits_cnn")
    assert killed.user_attrs[attributes.FAULT] == "killed"
    assert resumed.user_attrs[attributes.RESUMED] > 25
    assert facts(resumed) == facts(undisturbed)
