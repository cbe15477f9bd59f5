"""Averaged weights: the arithmetic, what is measured with them, and that the network trains on untouched."""

from __future__ import annotations

import pytest
import torch
from tiny import CPU, make_config, make_splits
from torch import nn

from regstudy.training.ema import WeightAverage
from regstudy.training.evaluation import evaluate
from regstudy.training.loop import run_epoch
from regstudy.training.run import run
from regstudy.training.train_state import start


def constant_network(value: float) -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    return model


def test_the_average_moves_by_the_share_that_decay_leaves_and_faster_at_first() -> None:
    model = constant_network(0.0)
    average = WeightAverage(model, decay=0.5)
    expected = 0.0
    for step in range(1, 30):
        with torch.no_grad():
            model[0].weight.fill_(float(step))
        average.update(model)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        assert average.values["0.weight"].tolist() == [[pytest.approx(expected, rel=1e-5)] * 2] * 2


def test_statistics_are_averaged_and_counters_copied() -> None:
    model = constant_network(1.0)
    average = WeightAverage(model, decay=0.9)
    model(torch.full((4, 2), 3.0))
    average.update(model)
    assert average.values["1.num_batches_tracked"] == 1
    moved = 1 - 2 / 11
    expected = moved * model[1].running_mean  # from a mean of 0
    assert torch.allclose(average.values["1.running_mean"], expected)


def test_the_network_has_its_own_weights_again_afterwards() -> None:
    model = constant_network(0.0)
    average = WeightAverage(model, decay=0.9)
    with torch.no_grad():
        model[0].weight.fill_(5.0)
    with average.used_by(model):
        assert model[0].weight.unique().tolist() == [0.0]
    assert model[0].weight.unique().tolist() == [5.0]


def test_clean_training_and_validation_are_measured_with_the_average_and_training_is_not_disturbed() -> None:
    plain = start(make_config(), make_splits(learnable=True), CPU)
    averaged = start(make_config({"regularization.ema": 0.9}), make_splits(learnable=True), CPU)
    for _ in range(3):
        one, other = run_epoch(plain), run_epoch(averaged)
        assert (one.train_loss, one.gradient_norm) == (other.train_loss, other.gradient_norm)
    assert one.val_loss != other.val_loss
    assert averaged.average is not None
    with averaged.average.used_by(averaged.model):
        loss, _ = evaluate(averaged.model, averaged.splits.validation, averaged.preprocessing)
    assert loss == other.val_loss


def test_the_weights_that_are_kept_give_the_validation_loss_of_the_best_epoch() -> None:
    trained = run(make_config({"regularization.ema": 0.8, "training.metric": "val_loss"}), make_splits(), CPU)
    trained.state.model.load_state_dict(trained.weights)
    loss, _ = evaluate(trained.state.model, trained.state.splits.validation, trained.state.preprocessing)
    assert loss == pytest.approx(trained.result.best_value, rel=1e-6)
