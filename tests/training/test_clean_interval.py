"""Train accuracy (eval mode) is measured less often where it costs much, and always where it is used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import CPU, make_config, make_splits

from regstudy.records import EpochRecord
from regstudy.training.checkpoint import Checkpoint
from regstudy.training.clean_interval import MOST, TRAINING_WORK, epochs_between, epochs_since
from regstudy.training.early_stopping import Signal
from regstudy.training.run import Trained, run

BUMPY = {"training.epochs": 10, "optimizer": {"name": "sgd", "lr": 0.3, "momentum": 0.9}}


@pytest.mark.parametrize(
    ("trained", "clean", "validation", "every"),
    [
        (45_000, 5_000, 5_000, 1),  # CIFAR-10: under 4 %
        (66_000, 7_300, 7_300, 1),
        (800, 200, 200, 2),  # a fifth for validation: 7 %
        (200, 200, 400, 4),  # digits_cnn: 17 %
        (60, 60, 540, 2),
        (1, 1, 1, 5),
    ],
)
def test_epochs_between(trained: int, clean: int, validation: int, every: int) -> None:
    found = epochs_between(trained, clean, validation)
    others = TRAINING_WORK * trained + validation
    assert found == every
    assert clean / found <= MOST * (others + clean / found) * (1 + 1e-9)


@pytest.mark.parametrize(("measured", "since"), [("", 0), ("1", 0), ("10", 1), ("100", 2), ("00", 2), ("1010", 1)])
def test_epochs_since(measured: str, since: int) -> None:
    numbers = dict.fromkeys(("train_loss", "val_loss", "gradient_norm", "lr", "seconds"), 1.0)
    numbers |= dict.fromkeys(("train_accuracy", "clean_train_accuracy", "val_accuracy"), 0.5)
    records = [
        EpochRecord(epoch=epoch, clean_train_loss=1.0 if mark == "1" else math.nan, **numbers)
        for epoch, mark in enumerate(measured, start=1)
    ]
    assert epochs_since(records) == since


def trained(every: int | str, **others: Any) -> Trained:
    config = make_config({**BUMPY, "training.clean_train_every": every})
    return run(config, make_splits(train=48, validation=24, learnable=True), CPU, **others)


def timeless(found: Trained) -> list[EpochRecord]:
    return [replace(record, seconds=0.0) for record in found.result.records]


@pytest.mark.parametrize("every", [3, 100, "auto"])
def test_what_is_measured_is_what_measuring_every_epoch_gives(every: int | str) -> None:
    full, sparse = trained(1), trained(every)
    assert all(torch.equal(full.weights[name], sparse.weights[name]) for name in full.weights)
    best, skipped = 0.0, 0
    for one, other in zip(timeless(full), timeless(sparse), strict=True):
        if other.has_clean_train:
            assert one == other
        else:
            nothing = {"clean_train_loss": math.nan, "clean_train_accuracy": math.nan}
            assert replace(one, **nothing) == other and other.val_accuracy <= best
            skipped += 1
        best = max(best, other.val_accuracy)
    assert 0 < skipped < 9 and sparse.result.records[-1].has_clean_train
    assert full.confusions == sparse.confusions


@pytest.mark.parametrize("killed", [2, 3, 5, 6, 8])
def test_an_interrupted_run_measures_the_same_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: int
) -> None:
    monkeypatch.setattr(Checkpoint, "due", True)

    def kill(records: Sequence[EpochRecord], _: Signal) -> None:
        if len(records) == killed:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(4, on_epoch=kill, checkpoint=Checkpoint(tmp_path / "one.pt"))
    assert timeless(trained(4, checkpoint=Checkpoint(tmp_path / "one.pt"))) == timeless(trained(4))


def test_what_an_earlier_version_began_is_measured_in_every_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoint, "due", True)
    path = tmp_path / "one.pt"

    def kill(records: Sequence[EpochRecord], _: Signal) -> None:
        if len(records) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained("auto", on_epoch=kill, checkpoint=Checkpoint(path))
    content = torch.load(path, weights_only=True)
    del content["state"]["clean_train_every"]
    torch.save(content, path)
    found = trained("auto", checkpoint=Checkpoint(path)).result.records
    assert all(record.has_clean_train for record in found[3:])


def test_an_epoch_that_early_stopping_makes_the_last_is_measured() -> None:
    config = make_config({**BUMPY, "training.clean_train_every": 100, "training.patience": 2})
    found = run(config, make_splits(train=48, validation=24, learnable=True), CPU).result
    assert found.outcome == "stopped" and found.best_epoch < len(found.records)
    assert found.records[-1].has_clean_train
