"""Runs in phases: what carries over from one to the next, how they end, and that an interruption changes nothing."""

from __future__ import annotations

import math
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import CPU, make_config, make_splits
from torch.testing import assert_close

from regstudy.config.run_config import RunConfig, flatten
from regstudy.errors import ConfigError
from regstudy.records import PruningDecision
from regstudy.training.checkpoint import Checkpoint
from regstudy.training.loop import run_epoch
from regstudy.training.run import run
from regstudy.training.time_share import TimeShare
from regstudy.training.train_state import start

TWO: list[dict[str, Any]] = [
    {"training": {"epochs": 2}},
    {"training": {"epochs": 3, "batch_size": 4}, "optimizer": {"lr": 0.001}, "schedule": {"name": "cosine"}},
]


def phased(changes: dict[str, Any] | None = None) -> RunConfig:
    return make_config({"phases": TWO, **(changes or {})})


def test_phases_change_what_they_name_and_nothing_else() -> None:
    config = phased()
    first, second = config.in_phases()
    assert (first.training.epochs, first.optimizer.lr, first.schedule.name) == (2, 0.01, "constant")
    assert (second.training.epochs, second.optimizer.lr, second.schedule.name) == (3, 0.001, "cosine")
    assert (second.optimizer.name, second.training.batch_size, second.phases) == ("adamw", 4, ())
    assert config.planned_epochs == 5


def test_epochs_count_on_and_follow_their_phase() -> None:
    records = run(phased(), make_splits(), CPU).result.records
    assert [record.epoch for record in records] == [1, 2, 3, 4, 5]
    rates = [0.01, 0.01, *(0.001 * share for share in (1, 0.75, 0.25))]
    assert [record.lr for record in records] == pytest.approx(rates)


def test_the_second_phase_starts_from_the_best_weights_of_the_first() -> None:
    still = [TWO[0], {"training": {"epochs": 1}, "optimizer": {"lr": 1e-30}}]
    config = make_config({"phases": still, "training.metric": "val_loss"})
    splits = make_splits(learnable=True)
    alone = run(make_config({"training.epochs": 2, "training.metric": "val_loss"}), splits, CPU)
    both = run(config, splits, CPU)
    trained = {k: v for k, v in both.state.model.state_dict().items() if "running" not in k and "tracked" not in k}
    for name, tensor in trained.items():
        assert_close(tensor, alone.weights[name])


def test_a_phase_that_stops_early_ends_itself_and_not_the_run() -> None:
    stopping = [{"training": {"epochs": 9, "patience": 1, "tolerance": 100.0}}, {"training": {"epochs": 2}}]
    trained = run(make_config({"phases": stopping}), make_splits(), CPU)
    assert trained.result.outcome == "finished"
    assert 1 < len(trained.result.records) < 9


def test_an_interrupted_run_goes_on_in_its_phase_to_the_bit(tmp_path: Path) -> None:
    config = phased({"regularization.ema": 0.9})
    whole = run(config, make_splits(), CPU)

    def timeless(records: Any) -> list[Any]:
        return [astuple(replace(record, seconds=0.0)) for record in records]

    for last in (1, 2, 3, 4):
        checkpoint = Checkpoint(tmp_path / f"{last}.pt")

        def interrupt(records: Any, _signal: Any, last: int = last, checkpoint: Checkpoint = checkpoint) -> None:
            checkpoint.writing = TimeShare(math.inf)  # always due
            if len(records) == last + 1:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(config, make_splits(), CPU, interrupt, checkpoint=checkpoint)
        told: list[int] = []
        again = run(config, make_splits(), CPU, lambda r, _s, told=told: told.append(len(r)), checkpoint=checkpoint)
        assert told == list(range(last + 1, 6))
        assert timeless(again.result.records) == timeless(whole.result.records)
        assert all(torch.equal(again.weights[name], tensor) for name, tensor in whole.weights.items())


def test_the_second_phase_has_an_order_of_its_own() -> None:
    config = make_config()
    one, other = start(config, make_splits(), CPU), start(config, make_splits(), CPU, phase=1)
    run_epoch(one)
    run_epoch(other)
    assert not torch.equal(one.order.get_state(), other.order.get_state())


@pytest.mark.parametrize(
    ("phases", "said"),
    [
        ([{"optimizer": {"lr": -1.0}}], r"phase 1: optimizer\.lr"),
        ([{}, {"optimiser": {"lr": 0.1}}], "phase 2: optimiser: .*did you mean 'optimizer'"),
        ([{"model": {"dropout": 0.1}}], "phase 1: model: cannot change between phases"),
        ([{}, {"training": {"metric": "val_loss"}}], r"phase 2: training\.metric: cannot change between phases"),
        ([{"training": {"epochs": 2}, "schedule": {"name": "cosine", "warmup_epochs": 2}}], "phase 1: .*warmup_epochs"),
    ],
)
def test_a_wrong_phase_is_told_with_its_number(phases: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ConfigError, match=f"(?i){said}"):
        make_config({"phases": phases})


def test_without_regularizers_there_are_none_in_any_phase() -> None:
    on = {"regularization": {"l2": 5e-5, "mixup": 0.5, "mixup_alpha": 0.4}, "augmentation": {"strength": 1.0}}
    config = make_config({"phases": [{}, {**on, "optimizer": {"lr": 0.001}}]})
    assert config.in_phases()[1].regularization.l2 == 5e-5
    plain = config.without_regularizers()
    for phase in plain.in_phases():
        settings = flatten(phase.model_dump())
        assert {path: settings[path] for path in RunConfig.regularizers} == RunConfig.regularizers
    assert (plain.in_phases()[1].optimizer.lr, plain.in_phases()[1].regularization.mixup_alpha) == (0.001, 0.4)
    assert config.phases[1]["regularization"]["l2"] == 5e-5


@pytest.mark.parametrize("change", [{"optimizer": {"lr": 0.1}}, {"augmentation": {"strength": 1.0, "ops": ["crop"]}}])
def test_a_checkpoint_of_a_later_phase_is_not_for_a_run_with_another_first_phase(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    checkpoint = Checkpoint(tmp_path / "c.pt")

    def interrupt(records: Any, _signal: Any) -> None:
        checkpoint.writing = TimeShare(math.inf)  # always due
        if len(records) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(phased(), make_splits(), CPU, interrupt, checkpoint=checkpoint)
    told: list[int] = []
    other = make_config({"phases": [{**TWO[0], **change}, TWO[1]]})
    run(other, make_splits(), CPU, lambda r, _s: told.append(len(r)), checkpoint=checkpoint)
    assert told == [1, 2, 3, 4, 5]


def test_after_the_last_epoch_of_the_last_phase_nothing_is_cut_or_saved_though_an_earlier_one_stopped(
    tmp_path: Path,
) -> None:
    stopping = [{"training": {"epochs": 9, "patience": 1, "tolerance": 100.0}}, {"training": {"epochs": 2}}]
    config, checkpoint = make_config({"phases": stopping}), Checkpoint(tmp_path / "c.pt")
    epochs = len(run(config, make_splits(), CPU).result.records)

    def cut_at_the_end(records: Any, _signal: Any) -> PruningDecision:
        checkpoint.writing = TimeShare(math.inf)  # always due
        return PruningDecision(len(records) == epochs, "behind")

    result = run(config, make_splits(), CPU, cut_at_the_end, checkpoint=checkpoint).result
    assert (result.outcome, len(result.records)) == ("finished", epochs)
    assert result.reason == f"ran for {epochs} of 11 epochs because an earlier phase stopped early"
    told: list[int] = []
    run(config, make_splits(), CPU, lambda r, _s: told.append(len(r)), checkpoint=checkpoint)
    assert told == [epochs]  # else nobody would hear of the epochs of a resumed run
