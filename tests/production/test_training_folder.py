"""Whose files a training replaces and removes: its own, and never the user's."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import CPU, make_config

from regstudy.errors import FileError
from regstudy.production.final_training import train_finally
from regstudy.production.training_folder import NAMES, config_hash, read_training, unfinished
from regstudy.production.training_request import TrainingRequest

DATA = {"name": "tiny_parts:load", "validation": 15}


def train(folder: Path, seeds: int = 1, overwrite: bool = False, lr: float = 0.01) -> None:
    config = make_config({"data": DATA, "training.epochs": 1, "optimizer.lr": lr})
    request = TrainingRequest(seeds=seeds)
    train_finally(config, folder / "data", folder / "out", CPU, overwrite=overwrite, request=request)


@pytest.mark.parametrize("name", [*NAMES, "seed_2/model.safetensors", "seed_1/epochs.csv"])
def test_a_file_of_the_users_is_not_replaced_unless_asked(tmp_path: Path, name: str) -> None:
    mine = tmp_path / "out" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(FileError, match=f"{mine.name} exists already"):
        train(tmp_path, seeds=2)
    assert mine.read_text() == "mine" and not (tmp_path / "data").exists()
    train(tmp_path, seeds=2, overwrite=True)
    assert not mine.exists() or mine.read_bytes() != b"mine"


def test_fewer_seeds_leave_no_weights_of_the_earlier_training(tmp_path: Path) -> None:
    train(tmp_path, seeds=3)
    (tmp_path / "out" / "seed_3" / "notes.txt").write_text("mine")
    train(tmp_path, seeds=2)
    left = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")}
    assert "seed_3/notes.txt" in left and "seed_2/model.safetensors" in left
    assert not {"seed_3/model.safetensors", "seed_3/epochs.csv"} & left
    train(tmp_path)
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir()) == ["seed_3"]


def test_checkpoints_of_the_users_are_not_removed(tmp_path: Path) -> None:
    mine = [tmp_path / "out" / name for name in ("checkpoint_mine.pt", "checkpoints.pt", "checkpoint.seedling.pt")]
    mine[0].parent.mkdir()
    for path in mine:
        path.write_text("mine")
    assert not unfinished(tmp_path / "out")
    train(tmp_path, seeds=2)
    assert [path.read_text() for path in mine] == ["mine"] * 3
    assert {path.name for path in (tmp_path / "out").glob("checkpoint*")} == {path.name for path in mine}


def test_a_folder_that_looks_like_a_seeds_is_not_emptied(tmp_path: Path) -> None:
    mine = tmp_path / "out" / "seed_7" / "model.safetensors"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    train(tmp_path, seeds=2)
    assert mine.read_text() == "mine"


def test_the_weights_of_0_1_0_are_replaced_unless_the_training_starts_from_them(tmp_path: Path) -> None:
    train(tmp_path)
    new, old = tmp_path / "out" / "model.safetensors", tmp_path / "out" / "weights.safetensors"
    new.rename(old)
    config = make_config({"data": DATA, "training.epochs": 1, "model.weights": str(old)})
    train_finally(config, tmp_path / "data", tmp_path / "out", CPU)
    assert old.exists() and new.exists()
    train(tmp_path)
    assert new.exists() and not old.exists()


@pytest.mark.parametrize("name", ["model.safetensors", "seed_2/model.safetensors"])
def test_the_weights_that_a_training_starts_from_are_not_replaced(tmp_path: Path, name: str) -> None:
    train(tmp_path, seeds=2)
    start = tmp_path / "out" / name
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    config = make_config({"data": DATA, "training.epochs": 1, "model.weights": str(start)})
    with pytest.raises(FileError, match=r"which its own weights would replace\. Choose another output folder"):
        train_finally(config, tmp_path / "data", tmp_path / "out", CPU)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before
    train_finally(config, tmp_path / "data", tmp_path / "new", CPU)


def test_a_training_that_diverges_leaves_no_model_of_an_earlier_one(tmp_path: Path) -> None:
    train(tmp_path)
    train(tmp_path, lr=1e30)
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"config.yaml", "metrics.json", "epochs.csv"}
    assert not unfinished(tmp_path / "out")


@pytest.mark.parametrize("trained", [False, True])
def test_a_training_that_fails_at_once_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: bool
) -> None:
    """Also the configuration of an earlier training, without which its weights could not be loaded."""
    if trained:
        train(tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "out").glob("*")}
    with monkeypatch.context() as patch:
        patch.setattr("regstudy.production.seed_runs.run", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(tmp_path, lr=0.5)
    assert {path: path.read_bytes() for path in (tmp_path / "out").glob("*")} == before


def test_an_interruption_never_leaves_the_metrics_of_other_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("regstudy.production.final_training.write_preprocessing", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(tmp_path, seeds=2)
    with pytest.raises(FileError, match="its training has not ended"):
        read_training(tmp_path / "out")


def test_a_converted_file_goes_before_the_new_weights_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the training is interrupted then, or its network cannot be converted."""
    converted = tmp_path / "out" / "model.onnx"
    train(tmp_path)
    converted.write_bytes(b"\x08\x0a\x12\x0eregstudy train and a network")
    monkeypatch.setattr("regstudy.production.final_training.write_runs", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(tmp_path)
    assert not converted.exists()


def test_images_may_be_moved_and_nothing_else(tmp_path: Path) -> None:
    config = make_config({"data": {"name": "image_folder", "root": "here"}})
    assert config_hash(config) == config_hash(config.replaced({"data.root": str(tmp_path)}))
    assert config_hash(config) != config_hash(config.replaced({"data.validation": 0.2}))
