"""A loop of one's own over the built parts gives the very curve of `run`; schedules step as torch's do."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from tiny import CPU, make_config, make_splits
from torch import Generator, nn
from torch.nn.functional import cross_entropy

from regstudy.config.run_config import RunConfig
from regstudy.data.image_set import Splits
from regstudy.errors import ArgumentError
from regstudy.records import EpochRecord
from regstudy.training.own_loop import (
    build_augmentation,
    build_model,
    build_optimizer,
    build_schedule,
    left_to_the_loop,
)
from regstudy.training.run import run
from regstudy.training.schedules import learning_rates

SECTIONS: list[dict[str, Any]] = [
    {"name": "constant", "warmup_epochs": 2},
    {"name": "step", "step_size": 2, "gamma": 0.3},
    {"name": "multi_step", "milestones": [1, 3], "gamma": 0.5},
    {"name": "exponential", "gamma": 0.7},
    {"name": "linear", "final": 0.1},
    {"name": "cosine", "warmup_epochs": 1},
]


def hand_written(config: RunConfig, splits: Splits) -> list[float]:
    """Validation losses of a plain loop with the seeds, the order of images and the memory layout of a run."""
    seeds = [int(seed) for seed in np.random.SeedSequence(config.training.seed).generate_state(3)]
    torch.manual_seed(seeds[0])
    augmentation = build_augmentation(config, splits.train)
    channels, classes = splits.train.shape[0], len(splits.train.classes)
    model = build_model(config, channels, augmentation.side, classes).to(memory_format=torch.channels_last)
    optimizer, order = build_optimizer(config, model), Generator().manual_seed(seeds[1])
    by_step = config.schedule.interval == "step"
    batches = -(-len(splits.train) // config.training.batch_size)
    schedule = build_schedule(config, optimizer, batches if by_step else None)
    losses: list[float] = []
    for _ in range(config.training.epochs):
        model.train()
        augmentation.train()
        for indices in torch.randperm(len(splits.train), generator=order).split(config.training.batch_size):
            loss = cross_entropy(model(augmentation(splits.train.images[indices])), splits.train.labels[indices])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if by_step:
                schedule.step()
        model.eval()
        augmentation.eval()
        with torch.inference_mode():
            logits = model(augmentation(splits.validation.images))
            summed = cross_entropy(logits, splits.validation.labels, reduction="sum")
        losses.append(float(summed.double() / len(splits.validation)))
        if not by_step:
            schedule.step(*([losses[-1]] if config.schedule.name == "plateau" else []))
    return losses


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"regularization.l2": 0.1, "regularization.l1": 1e-3, "schedule": {"name": "step", "step_size": 1}},
        {"optimizer": {"name": "sgd", "lr": 0.05}, "regularization.l2": 0.01},
        {"schedule": {"name": "cosine", "interval": "step", "warmup_epochs": 1}, "regularization.l2": 0.1},
        {"schedule": {"name": "plateau", "patience": 0}, "training.tolerance": 1.0},
        {"augmentation": {"strength": 0.7, "ops": ["flip", "rotate"]}, "regularization.cutout": 3},
        {"augmentation": {"strength": 0.5, "ops": ["crop", "erase"]}, "regularization.random_erasing": 0.5},
    ],
)
def test_a_loop_of_ones_own_gives_the_very_curve(changes: dict[str, Any]) -> None:
    config = make_config({"training.epochs": 4, "training.seed": 3, "model.dropout": 0.2, **changes})
    splits = make_splits(learnable=True)
    records = run(config, splits, CPU).result.records
    assert hand_written(config, splits) == [record.val_loss for record in records]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section["name"])
@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_a_schedule_steps_through_the_rates_of_a_run(section: dict[str, Any], interval: str) -> None:
    config = make_config({"training.epochs": 6, "schedule": {**section, "interval": interval}})
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=config.optimizer.lr)
    schedule, found = build_schedule(config, optimizer, 3), []
    for _ in range(6 * 3):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    wanted = [rate for epoch in range(6) for rate in rates_of(config, epoch)]
    assert found == wanted


def rates_of(config: RunConfig, epoch: int) -> list[float]:
    """The rates of the three steps of an epoch (from 0), as the training loop uses them."""
    record = EpochRecord(1, 1.0, 0.5, 1.0, 0.5, 1.0, 0.5, 0.1, 1.0, 1.0)
    return learning_rates(config, [record] * epoch, 3)


@pytest.mark.parametrize("section", [SECTIONS[1], {"name": "plateau", "patience": 0}], ids=["step", "plateau"])
def test_a_schedule_goes_on_from_its_saved_state(section: dict[str, Any]) -> None:
    config = make_config({"training.epochs": 8, "schedule": section})

    def made() -> tuple[Any, torch.optim.Optimizer]:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=config.optimizer.lr)
        return build_schedule(config, optimizer), optimizer

    def steps(schedule: Any, optimizer: torch.optim.Optimizer, count: int) -> list[float]:
        rates = []
        for _ in range(count):
            optimizer.step()
            schedule.step(*([1.0] if section["name"] == "plateau" else []))
            rates.append(optimizer.param_groups[0]["lr"])
        return rates

    whole = steps(*made(), 6)
    schedule, optimizer = made()
    first = steps(schedule, optimizer, 3)
    again, fresh = made()
    again.load_state_dict(schedule.state_dict())
    assert fresh.param_groups[0]["lr"] == first[-1] == again.get_last_lr()[0]
    assert first + steps(again, fresh, 3) == whole


def test_a_plateau_without_a_value_is_refused() -> None:
    config = make_config({"schedule": {"name": "plateau"}})
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = build_schedule(config, optimizer)
    optimizer.step()
    with pytest.raises(ArgumentError, match="value"):
        schedule.step()
    with pytest.raises(ArgumentError, match="cannot be used with a plateau schedule"):
        build_schedule(config, optimizer, 4)


def test_a_plateau_steps_once_an_epoch_whatever_its_interval() -> None:
    config = make_config({"schedule": {"name": "plateau", "patience": 0, "interval": "step"}})
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=config.optimizer.lr)
    schedule = build_schedule(config, optimizer)
    for _ in range(2):
        optimizer.step()
        schedule.step(1.0)
    assert optimizer.param_groups[0]["lr"] == config.optimizer.lr * 0.1


def test_a_value_does_no_harm_to_other_schedules() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.01)
    schedule = build_schedule(make_config(), optimizer)
    optimizer.step()
    schedule.step(0.5)
    optimizer.step()
    schedule.step()
    assert optimizer.param_groups[0]["lr"] == 0.01


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"regularization.mixup": 0.5}, "mixup"),
        ({"regularization.cutmix": 0.5}, "cutmix"),
        ({"regularization.ema": 0.9}, "ema"),
        ({"regularization.label_smoothing": 0.1}, "label_smoothing=0.1"),
        ({"training.balance": "weights"}, "balance"),
        ({"training.precision": "bf16"}, "autocast"),
        ({"training.deterministic": True}, "use_deterministic_algorithms"),
        ({"phases": [{"training": {"epochs": 1}}]}, "phases"),
    ],
)
def test_what_is_left_to_the_loop_is_warned_of(changes: dict[str, Any], word: str) -> None:
    with pytest.warns(UserWarning, match=word):
        build_augmentation(make_config(changes), make_splits().train)


def test_a_plain_configuration_leaves_nothing_to_the_loop() -> None:
    assert not list(left_to_the_loop(make_config({"regularization.l2": 0.1, "model.dropout": 0.3})))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_augmentation(make_config(), make_splits().train)
