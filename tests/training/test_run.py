"""A run from its configuration to its result: how it can end, and which weights it keeps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from tiny import CPU, cnn, make_config, make_splits

from regstudy.records import EpochRecord, PruningDecision
from regstudy.training.early_stopping import Signal
from regstudy.training.evaluation import evaluate
from regstudy.training.run import Trained, run
from regstudy.training.train_state import start

BUMPY = {"training.epochs": 8, "optimizer": {"name": "sgd", "lr": 0.3, "momentum": 0.9}}
HUGE = {"optimizer": {"name": "sgd", "lr": 1e30, "momentum": 0.0}, "training.epochs": 5}


def trained(changes: dict[str, Any], **others: Any) -> Trained:
    return run(make_config(changes), make_splits(train=48, validation=24, learnable=True), CPU, **others)


def test_a_run_that_nothing_ends_runs_all_its_epochs() -> None:
    result = trained({"training.epochs": 4}).result
    assert (result.outcome, result.reason) == ("finished", "ran for all 4 planned epochs")
    assert [record.epoch for record in result.records] == [1, 2, 3, 4]


@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
def test_the_kept_weights_are_those_of_the_best_epoch(metric: str) -> None:
    found = trained({**BUMPY, "training.metric": metric})
    result = found.result
    values = [getattr(record, metric) for record in result.records]
    best = max(values) if metric == "val_accuracy" else min(values)
    assert result.best_value == best and result.best_epoch == 1 + values.index(best)
    assert result.best_epoch < len(values), "the last epoch is the best: this would not notice the wrong weights"
    model = cnn(3, 12, 3)
    model.load_state_dict(found.weights)
    record = result.records[result.best_epoch - 1]
    measured = evaluate(model, found.state.splits.validation, found.state.preprocessing)
    assert measured == pytest.approx((record.val_loss, record.val_accuracy), abs=1e-6)
    last = found.state.model.state_dict()
    assert not all(torch.equal(found.weights[name], last[name]) for name in last)


def test_the_kept_weights_follow_the_metric_although_early_stopping_follows_another_series() -> None:
    result = trained(
        {**BUMPY, "training.patience": 3, "training.monitor": "val_loss", "training.tolerance": 10.0}
    ).result
    accuracies = [record.val_accuracy for record in result.records]
    assert result.outcome == "stopped" and len(accuracies) == 4  # no gain is ever above the tolerance but the first
    assert result.best_epoch == 1 + accuracies.index(max(accuracies)) and result.best_value == max(accuracies)
    assert "early stopping at epoch 4: no improvement of val_loss by more than 10 in the last 3 epochs" in result.reason


def test_a_cut_ends_the_run_with_its_reason() -> None:
    def cut_in_the_second(records: Sequence[EpochRecord], _: Signal) -> PruningDecision:
        return PruningDecision(len(records) == 2, "behind its peers")

    result = trained({"training.epochs": 5}, on_epoch=cut_in_the_second).result
    assert (result.outcome, result.reason, len(result.records)) == ("pruned", "behind its peers", 2)


def test_a_verdict_that_does_not_cut_changes_nothing() -> None:
    result = trained({"training.epochs": 3}, on_epoch=lambda *_: PruningDecision(False, "competitive")).result
    assert (result.outcome, len(result.records)) == ("finished", 3)


def test_each_epoch_is_told_with_the_signal_of_the_objective() -> None:
    told: list[tuple[EpochRecord, Signal]] = []

    def listen(records: Sequence[EpochRecord], signal: Signal) -> None:
        told.append((records[-1], signal))

    every = {"training.clean_train_every": 1}
    result = trained({**BUMPY, **every, "training.metric": "val_loss"}, on_epoch=listen).result
    assert tuple(record for record, _ in told) == result.records
    losses = [record.val_loss for record in result.records]
    for position, (record, signal) in enumerate(told):
        assert signal.best == min(losses[: position + 1])
        assert signal.epochs_since_best == position - losses.index(signal.best)
        assert signal.gap == record.gap_loss  # in the metric of the objective
        assert signal.budget_fraction == (position + 1) / 8
        assert signal.patience_left is None and not signal.stop


def test_a_rate_far_too_large_diverges_and_says_so() -> None:
    result = trained(HUGE).result
    last = result.records[-1]
    assert result.outcome == "diverged" and len(result.records) < 5
    assert not last.finite and all(record.finite for record in result.records[:-1])
    assert result.reason == f"loss or gradient was not finite in epoch {last.epoch}"


@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
def test_an_epoch_that_diverged_is_never_the_best(metric: str) -> None:
    """A network of NaN still has an accuracy: that of guessing the first class."""
    found = trained({**HUGE, "training.metric": metric})
    finite = [record for record in found.result.records if record.finite]
    assert found.result.best_epoch <= len(finite)
    assert all(torch.isfinite(tensor.double()).all() for tensor in found.weights.values())


def test_divergence_outranks_a_cut() -> None:
    result = trained(
        HUGE, on_epoch=lambda records, _: PruningDecision(not records[-1].finite, "behind its peers")
    ).result
    assert result.outcome == "diverged"


def test_a_run_repeats_itself_and_does_not_touch_the_images() -> None:
    config, splits = make_config({**BUMPY, "model.dropout": 0.2}), make_splits(learnable=True)
    before = splits.train.images.clone()
    one, other = run(config, splits, CPU), run(config, splits, CPU)
    assert [record.val_loss for record in one.result.records] == [record.val_loss for record in other.result.records]
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)
    assert torch.equal(splits.train.images, before)


def test_kept_weights_do_not_share_memory_with_the_network_in_training() -> None:
    found = trained({"training.epochs": 1})
    before = {name: tensor.clone() for name, tensor in found.weights.items()}
    with torch.no_grad():
        for parameter in found.state.model.parameters():
            parameter.fill_(math.pi)
    assert all(torch.equal(found.weights[name], before[name]) for name in before)


def test_the_network_starts_from_the_seed_of_the_configuration() -> None:
    seeds = [0, 0, 1]
    one, same, other = (
        start(make_config({"training.seed": seed}), make_splits(), CPU).model.state_dict()["0.weight"] for seed in seeds
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("epoch", [3, 4])
def test_what_was_observed_to_the_end_is_not_censored_by_a_late_cut(epoch: int) -> None:
    patience = {"training.patience": 2, "training.tolerance": 10.0} if epoch == 3 else {}  # stops in epoch 3
    cut = trained(
        {"training.epochs": 4, **patience}, on_epoch=lambda records, _: PruningDecision(len(records) == epoch, "behind")
    ).result
    assert (cut.outcome, len(cut.records)) == (("stopped", 3) if epoch == 3 else ("finished", 4))


@pytest.mark.parametrize(
    ("schedule", "epochs"),
    [  # only the first epoch is accepted, so patience 2 is over after the third, or two epochs after the wait
        ({"name": "constant"}, 3),
        ({"name": "constant", "warmup_epochs": 3}, 5),
        ({"name": "step", "step_size": 4}, 6),
        ({"name": "cosine"}, 8),
        ({"name": "plateau", "patience": 2}, 6),
    ],
)
def test_patience_waits_for_the_schedule(schedule: dict[str, Any], epochs: int) -> None:
    unreachable = {"training.tolerance": 100.0, "training.epochs": 12, "training.patience": 2}
    result = trained({**unreachable, "schedule": schedule}).result
    assert (result.outcome, len(result.records)) == ("stopped", epochs)
