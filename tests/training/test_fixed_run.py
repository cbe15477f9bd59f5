"""How long a run without validation is, with which learning rates, and that it resumes to the same bits."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import CPU, make_config, make_splits

from regstudy.config.run_config import RunConfig
from regstudy.data.fold_split import with_validation_trained
from regstudy.records import EpochRecord
from regstudy.training.checkpoint import Checkpoint
from regstudy.training.fixed_run import PhaseLength, lengths_until_best, run_fixed
from regstudy.training.run import Trained, run

PHASES = [{"training": {"epochs": 3}}, {"training": {"epochs": 2}}, {"training": {"epochs": 2}}]


def records(accuracies: list[float]) -> list[EpochRecord]:
    """Records with a validation accuracy each; the validation loss is 1 minus that."""
    return [
        EpochRecord(epoch, 1.0, 0.5, 1.0, 0.5, 1 - value, value, 0.1, 1.0, 1.0)
        for epoch, value in enumerate(accuracies, start=1)
    ]


# changes of the configuration; accuracies; (phase, epochs) of what is trained on both parts
LENGTHS: dict[str, tuple[dict[str, Any], list[float], list[tuple[int, int]]]] = {
    "the best epoch": ({}, [0.1, 0.5, 0.3], [(0, 2)]),
    "the first of equal ones": ({}, [0.1, 0.5, 0.5], [(0, 2)]),
    "the last": ({}, [0.1, 0.2, 0.3], [(0, 3)]),
    "the loss decides": ({"training.metric": "val_loss"}, [0.1, 0.4, 0.2], [(0, 2)]),
    "an epoch that diverged": ({}, [0.2, math.nan], [(0, 1)]),
    "none is usable": ({}, [math.nan], []),
    "stopped early": ({"training.patience": 1, "training.epochs": 9}, [0.4, 0.5, 0.3], [(0, 2)]),
    "every phase improves": ({"phases": PHASES}, [0.1, 0.3, 0.2, 0.4, 0.1, 0.5, 0.6], [(0, 2), (1, 1), (2, 2)]),
    "the second phase does not": ({"phases": PHASES}, [0.1, 0.3, 0.2, 0.1, 0.1, 0.5, 0.2], [(0, 2), (2, 1)]),
    "only the first phase counts": ({"phases": PHASES}, [0.1, 0.3, 0.2, 0.1, 0.1, 0.2, 0.2], [(0, 2)]),
    "the first phase stopped early": (
        {"phases": [{"training": {"epochs": 5, "patience": 1}}, {"training": {"epochs": 2}}]},
        [0.3, 0.2, 0.4, 0.1],
        [(0, 1), (1, 1)],
    ),
}


@pytest.mark.parametrize("case", LENGTHS)
def test_the_length_is_that_of_the_best_epoch_in_each_phase_that_counts(case: str) -> None:
    changes, accuracies, wanted = LENGTHS[case]
    found = lengths_until_best(make_config(changes), records(accuracies))
    assert [(one.phase, one.epochs) for one in found] == wanted


SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {"name": "constant"},
    "cosine": {"name": "cosine", "warmup_epochs": 1},
    "steps": {"name": "step", "step_size": 2, "gamma": 0.5},
    "plateau": {"name": "plateau", "patience": 0, "factor": 0.5},
}


def studied(changes: dict[str, Any]) -> tuple[RunConfig, Trained]:
    config = make_config({"training.epochs": 6, **changes})
    return config, run(config, make_splits(learnable=True), CPU)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_epoch_has_the_learning_rate_that_it_had_with_a_validation_part(schedule: str) -> None:
    config, before = studied({"schedule": SCHEDULES[schedule], "training.monitor": "val_loss"})
    told = tuple(before.result.records)
    lengths = [PhaseLength(0, 5, told)]
    after = run_fixed(config, with_validation_trained(make_splits(learnable=True)), CPU, lengths)
    assert [one.lr for one in after.result.records] == [one.lr for one in told[:5]]
    assert after.result.best_epoch == len(after.result.records) == 5
    assert all(math.isnan(one.val_loss) for one in after.result.records)


@pytest.mark.parametrize("changes", [{}, {"regularization.ema": 0.9}, {"phases": PHASES}])
def test_an_interrupted_run_resumes_to_the_same_bits(tmp_path: Path, changes: dict[str, Any]) -> None:
    config = make_config({"training.epochs": 5, **changes})
    splits = with_validation_trained(make_splits(learnable=True))
    lengths = lengths_until_best(config, records([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7][: config.planned_epochs]))
    whole = run_fixed(config, splits, CPU, lengths)
    total = sum(one.epochs for one in lengths)
    assert total == config.planned_epochs

    def stop(at: int) -> Any:
        def on_epoch(done: Any, _signal: Any) -> None:
            if len(done) == at:
                raise KeyboardInterrupt

        return on_epoch

    for at in range(2, total + 1):
        checkpoint = Checkpoint(tmp_path / f"{at}.pt")
        with pytest.raises(KeyboardInterrupt):
            run_fixed(config, splits, CPU, lengths, stop(at), checkpoint=checkpoint)
        assert checkpoint.path.exists()
        again = run_fixed(config, splits, CPU, lengths, checkpoint=checkpoint)
        assert [one.train_loss for one in again.result.records] == [one.train_loss for one in whole.result.records]
        assert all(torch.equal(again.weights[name], tensor) for name, tensor in whole.weights.items())


def test_a_run_that_diverges_says_so_and_keeps_nothing() -> None:
    config = make_config({"optimizer": {"name": "sgd", "lr": 1e30}})
    found = run_fixed(config, make_splits(), CPU, [PhaseLength(0, 3, tuple(records([0.1, 0.2, 0.3])))])
    assert found.result.outcome == "diverged" and found.result.best_epoch == 0


def test_the_joined_part_has_all_images_and_the_positive_class_stays() -> None:
    splits = make_splits(24, 12)
    both = with_validation_trained(splits)
    assert len(both.train) == 36 and both.hash != splits.hash
    assert torch.equal(both.train.images[24:], splits.validation.images)
