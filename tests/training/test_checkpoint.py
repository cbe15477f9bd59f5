"""Checkpoints: an interrupted run ends as if undisturbed, and nothing but its own checkpoint is taken up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from tiny import CPU, make_config, make_splits

from regstudy.config.run_config import RunConfig
from regstudy.records import EpochRecord
from regstudy.training.checkpoint import CHECKPOINT_TIME_SHARE, Checkpoint, FinishedRun
from regstudy.training.early_stopping import Signal
from regstudy.training.run import Trained, run
from regstudy.training.time_share import TimeShare
from regstudy.training.train_state import start

EVERYTHING: dict[str, Any] = {
    "training.epochs": 7,
    "model.dropout": 0.3,
    "optimizer": {"name": "rmsprop", "lr": 0.003, "momentum": 0.8},
    "schedule": {"name": "plateau", "patience": 0, "factor": 0.5},
    "augmentation": {"strength": 0.7, "ops": ["crop", "rotate", "flip"]},
    "regularization": {"l1": 1e-4, "l2": 1e-3, "label_smoothing": 0.1},
}


class Killed(BaseException):
    """Stands for the end of the process."""


def config(**changes: Any) -> RunConfig:
    return make_config({**EVERYTHING, **changes})


def always(path: Path) -> Checkpoint:
    """A checkpoint that is due after every epoch."""
    checkpoint = Checkpoint(path)
    checkpoint.__class__ = type("Always", (Checkpoint,), {"due": True})
    return checkpoint


def train(checkpoint: Checkpoint | None = None, kill_in: int | None = None, **changes: Any) -> Trained:
    def on_epoch(records: Sequence[EpochRecord], _: Signal) -> None:
        if len(records) == kill_in:
            raise Killed

    return run(config(**changes), make_splits(48, 24, learnable=True), CPU, on_epoch, checkpoint=checkpoint)


def curve(trained: Trained) -> list[dict[str, float]]:
    return [{k: v for k, v in vars(r).items() if k != "seconds"} for r in trained.result.records]


@given(kills=st.lists(st.integers(2, 7), min_size=1, max_size=3))
@settings(max_examples=8)
def test_a_run_killed_anywhere_and_any_number_of_times_gives_the_undisturbed_curve(
    tmp_path_factory: pytest.TempPathFactory, kills: list[int]
) -> None:
    path = tmp_path_factory.mktemp("run") / "run.pt"
    for kill_in in sorted(kills):
        with pytest.raises(Killed):
            train(always(path), kill_in)
        torch.rand(3)  # what happens between must not matter
    assert path.exists()
    continued, undisturbed = train(always(path)), train()
    assert curve(continued) == curve(undisturbed)
    assert all(torch.equal(continued.weights[n], t) for n, t in undisturbed.weights.items())


def test_the_epochs_before_are_not_trained_again(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(always(tmp_path / "run.pt"), kill_in=5)
    told: list[int] = []
    run(
        config(),
        make_splits(48, 24, learnable=True),
        CPU,
        lambda records, _: told.append(len(records)),
        checkpoint=always(tmp_path / "run.pt"),
    )
    assert told == [5, 6, 7]


@pytest.mark.parametrize("other", [{"training.seed": 1}, {"model.dropout": 0.2}, {"training.epochs": 8}])
def test_a_checkpoint_of_another_configuration_is_not_taken_up(tmp_path: Path, other: dict[str, Any]) -> None:
    with pytest.raises(Killed):
        train(always(tmp_path / "run.pt"), kill_in=5)
    state = start(config(**other), make_splits(48, 24, learnable=True), CPU)
    assert Checkpoint(tmp_path / "run.pt").load(state) is None
    assert state.records == []


def test_a_checkpoint_is_not_taken_up_when_the_weights_it_started_from_have_changed(tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    fresh = start(config(), make_splits(), CPU).model.state_dict()
    network = {name: tensor.contiguous() for name, tensor in fresh.items()}
    weights.write_bytes(save(network))
    changes = {"model.weights": str(weights)}
    with pytest.raises(Killed):
        train(always(tmp_path / "run.pt"), kill_in=5, **changes)
    splits = make_splits(48, 24, learnable=True)
    assert Checkpoint(tmp_path / "run.pt").load(start(config(**changes), splits, CPU)) is not None
    weights.write_bytes(save({name: tensor + 1 for name, tensor in network.items()}))
    assert Checkpoint(tmp_path / "run.pt").load(start(config(**changes), splits, CPU)) is None


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut short"])
def test_a_damaged_checkpoint_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.pt"
    path.write_bytes(content)
    assert curve(train(Checkpoint(path))) == curve(train())


def test_a_checkpoint_is_due_only_when_its_cost_stays_within_one_per_cent(tmp_path: Path) -> None:
    now = 100.0

    def clock() -> float:
        nonlocal now
        now += 0.25  # of which every save takes one
        return now

    checkpoint = Checkpoint(tmp_path / "run.pt", writing=TimeShare(CHECKPOINT_TIME_SHARE, clock))
    assert checkpoint.due  # nothing is known of its cost yet
    checkpoint.save(start(config(), make_splits(), CPU), {})
    now += 24.5
    assert not checkpoint.due
    assert checkpoint.due


def test_removing_is_possible_whether_or_not_there_is_a_file(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "run.pt")
    checkpoint.remove()
    checkpoint.save(start(config(), make_splits(), CPU), {})
    checkpoint.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_one_gpu_has_ended_is_not_taken_up_on_another_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, given = FinishedRun(tmp_path / "x"), (config(), make_splits(), torch.device("cuda:0"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "A100")
    ended.save(*given, {"n": 1})
    assert ended.load(*given) == {"n": 1}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "H100")
    assert ended.load(*given) is None
