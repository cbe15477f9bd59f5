"""A plain Optuna script on the space of study_space.yaml, as an experienced user writes it in an afternoon.

    python benchmarks/plain_study.py --trials 30 --epochs 30 --train 3000 --seed 0 --data-dir DATA --log FILE

Appends lines of JSON to FILE, each with the Unix time and the number of the trial: its parameters when it starts, the
validation accuracy after each epoch, and "complete" or "pruned" at its end. `answer.py` runs it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import optuna
import plain_loop
import torch
from torch import nn

from regstudy import data, models
from regstudy.config.run_config import parse_config

PATIENCE, TOLERANCE = 5, 1e-4  # of early stopping, on the validation loss
SAMPLERS = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}


def main() -> None:
    """Search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("trials", 30), ("epochs", 30), ("train", 3000), ("seed", 0), ("loaders", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--sampler", choices=SAMPLERS, default="tpe")
    parser.add_argument("--pruner", choices=("median", "hyperband", "none"), default="median")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    images = {"name": "cifar10", "train_limit": given.train, "validation": 1000, "split_seed": 0}
    splits = data.prepare(parse_config({"data": images, "model": {"name": "dropout_cnn"}}, "data").data, given.data_dir)
    sampler = SAMPLERS[given.sampler](seed=given.seed)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner(given.pruner, given.epochs))
    study.optimize(
        lambda trial: objective(trial, given, splits),
        n_trials=given.trials,
        callbacks=[lambda _, trial: note(given.log, trial.number, ended=trial.state.name.lower())],
    )


def pruner(name: str, epochs: int) -> optuna.pruners.BasePruner:
    """A pruner of Optuna's; Hyperband as its documentation sets it up."""
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3)
    return optuna.pruners.MedianPruner() if name == "median" else optuna.pruners.NopPruner()


def note(log: Path, trial: int, **facts: Any) -> None:
    """Append a line."""
    with log.open("a") as file:
        file.write(json.dumps({"time": time.time(), "trial": trial, **facts}) + "\n")


def penalized(model: nn.Module, lr: float, l1: float, l2: float) -> torch.optim.Optimizer:
    """Adam with both penalties on the weights and not on biases.

    L1 shrinks the weights after each step, as in regstudy, so that a configuration means the same in both. Added to the
    loss, it would be rescaled by Adam and be much stronger.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    weights, biases = [layer.weight for layer in layers], [layer.bias for layer in layers]
    optimizer = torch.optim.Adam([{"params": weights, "weight_decay": l2}, {"params": biases}], lr=lr)

    @torch.no_grad()
    def shrink(*_: Any) -> None:
        for weight in weights:
            weight.copy_(nn.functional.softshrink(weight, l1 * optimizer.param_groups[0]["lr"]))

    if l1:
        optimizer.register_step_post_hook(shrink)
    return optimizer


def objective(trial: optuna.Trial, given: argparse.Namespace, splits: Any) -> float:
    """Best validation accuracy of a run, stopped early when the validation loss has not fallen for five epochs."""
    torch.manual_seed(given.seed * 1000 + trial.number)
    dropout = trial.suggest_float("dropout", 0.0, 0.6)
    lr = trial.suggest_float("lr", 1e-4, 1e-2, log=True)
    l2 = trial.suggest_float("l2", 1e-6, 1e-2, log=True) if trial.suggest_categorical("use_l2", [True, False]) else 0.0
    l1 = trial.suggest_float("l1", 1e-7, 1e-4, log=True) if trial.suggest_categorical("use_l1", [True, False]) else 0.0
    strength = trial.suggest_float("augmentation", 0.0, 1.0)
    cosine = trial.suggest_categorical("schedule", ["constant", "cosine"]) == "cosine"
    batch = trial.suggest_categorical("batch_size", [32, 64, 128, 256])
    note(given.log, trial.number, params=trial.params)
    model = models.dropout_cnn(3, 32, 10, dropout=dropout)
    optimizer = penalized(model, lr, l1, l2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, given.epochs) if cosine else None
    transform = plain_loop.training_transform(32, 32, flip=strength / 2, shift=round(4 * strength))
    train = plain_loop.loader(splits.train.images, splits.train.labels, transform, batch, True, given.loaders)
    held_out = splits.validation
    validation = plain_loop.loader(held_out.images, held_out.labels, plain_loop.evaluation_transform(32), 256, False, 0)
    best, lowest, waited = 0.0, float("inf"), 0
    for epoch in range(given.epochs):
        plain_loop.train_epoch(model, train, optimizer)
        loss, accuracy = plain_loop.validate(model, validation)
        note(given.log, trial.number, accuracy=accuracy)
        best = max(best, accuracy)
        if schedule:
            schedule.step()
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
        lowest, waited = (loss, 0) if loss < lowest - TOLERANCE else (lowest, waited + 1)
        if waited == PATIENCE:
            break
    return best


if __name__ == "__main__":
    main()
