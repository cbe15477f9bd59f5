"""The command line as a user meets it: a small study from start to export, and one misuse of each command."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import optuna
import pandas as pd
import pytest
import torch
from conftest import Command

from regstudy.cli import app as program
from regstudy.cli.dashboard_command import check_port
from regstudy.errors import RegstudyError
from regstudy.study import attributes

SMALL = ["--set", "training.epochs=3", "--set", "data.train_limit=60", "--set", "data.validation=60"]
STUDY = ["study", "--space", "digits_cnn", "--no-doctor", *SMALL]


OWN = """
import numpy
from torch import nn


def wrong_images(part, config, data_dir):
    from regstudy.data import ImageSet
    return ImageSet(numpy.zeros((9, 8, 8, 3)), numpy.zeros(9), ("a", "b"))


def wrong_network(channels, size, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(7, classes))
"""


def load(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name=folder.name, storage=f"sqlite:///{folder / 'study.db'}")


def test_help_names_the_commands(regstudy: Command) -> None:
    done = regstudy("--help")
    assert done.returncode == 0
    for command in (
        "init",
        "study",
        "compare",
        "report",
        "dashboard",
        "export",
        "train",
        "preview",
        "doctor",
        "spaces",
    ):
        assert f"\n  {command} " in done.stdout


def test_spaces_lists_names_with_questions(regstudy: Command) -> None:
    done = regstudy("spaces")
    assert "digits_cnn" in done.stdout
    assert "?" in done.stdout


@pytest.mark.table
def test_a_study_from_start_to_the_exported_configuration(regstudy: Command, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "digits_cnn"

    first = regstudy(*STUDY, "--trials", "3")
    assert first.returncode == 0, first.stderr
    assert "Estimated cost:" in first.stdout
    assert len(load(folder).trials) == 3
    for name in ("report.html", "summary.md", "trials.csv", "epochs.csv", "importance.csv"):
        assert (folder / name).stat().st_size > 0, name

    again = regstudy(*STUDY, "--trials", "3")
    assert again.returncode == 0
    assert "Nothing left to do" in again.stdout
    assert len(load(folder).trials) == 3

    more = regstudy(*STUDY, "--trials", "4")
    assert more.returncode == 0, more.stderr
    trials = load(folder).trials
    assert sorted(t.user_attrs[attributes.SLOT] for t in trials) == [0, 1, 2, 3]
    assert [t.user_attrs[attributes.ARM] for t in trials] == ["baseline", "search", "search", "baseline"]

    other = regstudy(*STUDY, "--trials", "4", "--set", "training.epochs=4")
    assert other.returncode == 2
    assert "training.epochs: 3 → 4" in other.stderr
    assert len(load(folder).trials) == 4

    exported = regstudy("export", "results/digits_cnn", "-o", "best.yaml")
    assert exported.returncode == 0, exported.stderr
    trained = regstudy("train", "best.yaml", "-o", "out")
    assert trained.returncode == 0, trained.stderr
    epochs = pd.read_csv(folder / "epochs.csv")
    best = load(folder).best_trial.number
    recorded = epochs[epochs["number"] == best].reset_index(drop=True)
    curve = pd.read_csv(tmp_path / "out" / "epochs.csv")
    for column in ("train_loss", "clean_train_loss", "val_loss", "train_accuracy", "val_accuracy", "gradient_norm"):
        assert curve[column].tolist() == recorded[column].tolist(), column

    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["test"]["images"] == 360
    assert metrics["test"]["opening"] == 1
    assert (tmp_path / "out" / "model.safetensors").stat().st_size > 0
    regstudy("train", "best.yaml", "-o", "out")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["test"]["opening"] == 2

    report = regstudy("report", "results/digits_cnn")
    assert report.returncode == 0, report.stderr


@pytest.mark.table
def test_a_spent_budget_ends_early_and_says_how_to_go_on(regstudy: Command) -> None:
    done = regstudy(*STUDY, "--trials", "40", "--budget", "1s")
    assert done.returncode == 0, done.stderr
    assert "The time budget is used up" in done.stdout
    assert "Run the same command again to resume" in done.stdout


def test_the_pruner_is_chosen_and_kept_for_the_workers(regstudy: Command, tmp_path: Path) -> None:
    done = regstudy(*STUDY, "--trials", "1", "--pruner", "none")
    assert done.returncode == 0, done.stderr
    (database,) = tmp_path.rglob("study.db")
    storage = f"sqlite:///{database}"
    study = optuna.load_study(study_name=None, storage=storage)
    assert study.user_attrs[attributes.PRUNER] == "none"
    assert study.user_attrs[attributes.AUDIT]["pruned"] == 0


def test_a_dry_run_writes_nothing(regstudy: Command, tmp_path: Path) -> None:
    done = regstudy(*STUDY, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "Nothing was written" in done.stdout
    assert list(tmp_path.iterdir()) == []


MISUSES = {
    "unknown space": (["study", "--space", "svhn_rsnet"], "Did you mean 'svhn_resnet'?"),
    "low above high": ([*STUDY, "--set", "optimizer.lr={low: 0.1, high: 0.01}"], "optimizer.lr: low (0.1)"),
    "misspelt key": ([*STUDY, "--set", "training.epoch=3"], "Did you mean 'epochs'?"),
    "range on a text field": ([*STUDY, "--set", "model.name={low: 1, high: 2}"], "takes text"),
    "unknown pruner": ([*STUDY, "--pruner", "medain"], "medain"),
    "unknown model": ([*STUDY, "--set", "model.name=dropout_cn"], "Did you mean 'dropout_cnn'?"),
    "unknown data set": ([*STUDY, "--set", "data.name=digit"], "Did you mean 'digits'?"),
    "unknown option": ([*STUDY, "--set", "model.options.width=3"], "there is no option 'width'"),
    "too few pixels": ([*STUDY, "--set", "data.size=12"], "at least 22 pixels"),
    "crop too large": ([*STUDY, "--set", "preprocessing.crop=40"], "only 32 pixels"),
    "too many validation images": ([*STUDY, "--set", "data.validation=5000"], "cannot be split"),
    "results beneath a file": ([*STUDY, "--results", "file/deep"], "file is a file"),
    "name of a study": ([*STUDY, "--study", "../x"], "is not a valid study name"),
    "span of time": ([*STUDY, "--budget", "soon"], "is not a duration"),
    "device": ([*STUDY, "--device", "tpu"], "there is no device 'tpu'"),
    "no study": (["report", "results/none"], "There is no study in results/none"),
    "not a study": (["export", "."], "There is no study in"),
    "no dashboard": (["dashboard", "results/none"], "There is no study in results/none"),
    "no configuration": (["train", "none.yaml"], "none.yaml cannot be read"),
    "a space is no configuration": (["train", "ranges.yaml"], "model.dropout"),
    "folder of a study": (["train", "plain.yaml", "-o", "study"], "study is the folder of a study"),
    "threads": ([*STUDY, "--threads", "100000"], "must be at most"),
    "size": ([*STUDY, "--set", "data.size=100000"], "at most 2048"),
    "own data": ([*STUDY, "--set", "data={name: mine:wrong_images}"], "of the type numpy.ndarray. Use torch"),
    "own network": ([*STUDY, "--set", "model={name: mine:wrong_network}"], "failed: RuntimeError"),
    "images missing": ([*STUDY, "--set", "data.name=image_folder"], "data.root: is required"),
    "parts of a data set that has none": (
        [*STUDY, "--set", "data={name: digits, parts: none}"],
        "data.parts: is for image_fo",
    ),
    "parts that are no folders": (
        [*STUDY, "--set", "data={name: image_folder, root: ., parts: x}"],
        "data.parts: must be none,",
    ),
    "no such folder": ([*STUDY, "--set", "data={name: image_folder, root: nowhere}"], "'nowhere' does not exist"),
}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_is_one_paragraph_and_exit_code_2_with_nothing_written(
    name: str, regstudy: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, words = MISUSES[name]
    (tmp_path / "file").write_text("a regular file")
    (tmp_path / "ranges.yaml").write_text(
        "data: {name: digits}\nmodel: {name: dropout_cnn, dropout: {low: 0.0, high: 0.5}}\n"
    )
    (tmp_path / "plain.yaml").write_text("data: {name: digits}\nmodel: {name: dropout_cnn}\n")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.db").touch()
    (tmp_path / "mine.py").write_text(OWN)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = sorted(path.name for path in tmp_path.iterdir())
    done = regstudy(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_truncated_svhn_file_is_an_error_and_not_a_reason_to_fall_back(regstudy: Command, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "svhn"
    folder.mkdir(parents=True)
    (folder / "train_32x32.mat").write_bytes(b"MATLAB 5.0 MAT-file" + b" " * 200)
    done = regstudy("study", "--space", "svhn_resnet", "--trials", "1")
    assert done.returncode == 2
    assert "is not a complete SVHN file" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_port_that_is_taken_is_told_before_the_dashboard_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(RegstudyError, match="cannot be used"):
            check_port(taken.getsockname()[1])


@pytest.mark.parametrize("content", [b"", b"not a database, but long enough to be read"])
def test_a_file_that_is_no_database_is_left_alone(regstudy: Command, tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "results" / "x"
    folder.mkdir(parents=True)
    (folder / "study.db").write_bytes(content)
    assert regstudy("report", "results/x").returncode == 2
    assert (folder / "study.db").read_bytes() == content
    assert len(list(folder.iterdir())) == 1


CONFIGURATION = """
data: {name: digits, size: 32, train_limit: 60, validation: 60, split_seed: 3}
preprocessing: {normalize: half}
model: {name: dropout_cnn}
training: {epochs: 2, batch_size: 16}
"""


def test_training_starts_from_the_weights_that_init_names(regstudy: Command, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(CONFIGURATION)
    assert regstudy("train", "small.yaml", "-o", "first").returncode == 0
    still = ("--set", "optimizer.name=adam", "--set", "optimizer.lr=1e-30", "--set", "training.epochs=1")
    again = regstudy("train", "small.yaml", "-o", "second", "--init", "first/model.safetensors", *still)
    assert again.returncode == 0, again.stderr
    before, after = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("first", "second"))
    assert after["val_loss"] == pytest.approx(before["val_loss"], rel=1e-5)
    assert "weights: first/model.safetensors" in (tmp_path / "second" / "config.yaml").read_text()


def test_a_configuration_in_phases_is_trained_from_one_to_the_next(regstudy: Command, tmp_path: Path) -> None:
    (tmp_path / "phases.yaml").write_text(
        CONFIGURATION + "phases: [{}, {training: {epochs: 1}, schedule: {name: cosine}}]\n"
    )
    done = regstudy("train", "phases.yaml", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert "epoch   3/3" in done.stdout
    assert pd.read_csv(tmp_path / "out" / "epochs.csv")["epoch"].tolist() == [1, 2, 3]


def test_a_report_is_watched_until_its_study_is_over_and_a_comparison_has_no_plots(
    regstudy: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regstudy.report.watch.step_back", lambda: None)  # of the process that runs the tests
    assert regstudy(*STUDY, "--trials", "1").returncode == 0
    (database,) = tmp_path.rglob("study.db")
    done = regstudy("report", str(database.parent), "--watch", "--every", "1")
    assert done.returncode == 0 and "report.html" in done.stdout, done.stderr
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{database}")
    study.set_user_attr(attributes.PLAN, "{}")
    done = regstudy("report", str(database.parent), "--plots")
    assert done.returncode == 2 and "is a comparison" in done.stderr


def test_a_lack_of_memory_anywhere_is_one_paragraph(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacking(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(program, "app", lacking)
    with pytest.raises(SystemExit) as ended:
        program.main(["spaces"])
    said = " ".join(capsys.readouterr().err.split())
    assert ended.value.code == 2 and "Traceback" not in said
    assert said.startswith(
        "error: out of memory (CUDA out of memory. Tried to allocate 2.00 GiB). Close other programs"
    )


def test_other_errors_of_torch_are_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(program, "app", broken)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        program.main(["spaces"])


def test_a_command_ends_without_looking_for_garbage() -> None:
    last = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 0))"  # runs last
    done = subprocess.run(
        [sys.executable, "-c", f"{last}\nfrom regstudy.cli.app import main\nmain(['--version'])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "True"
