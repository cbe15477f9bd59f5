"""Does bf16 affect accuracy? Paired runs that differ only in training.precision, on real images, with intervals.

    python benchmarks/precision.py [--seeds 30] [--tasks cifar10 digits cats_dogs] [--images FOLDER] [--work FOLDER]

FOLDER of --images holds `cifar10_images.zip` (default: REGSTUDY_TEST_DATA). Runs that are already finished under --work
are not repeated. bf16 counts as harmless for a task if the 95 % interval (paired t) of the difference in validation
accuracy after the last epoch is within ±0.5 points.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch

from regstudy import data
from regstudy.analysis.paired import paired
from regstudy.config.run_config import RunConfig, parse_config
from regstudy.data.image_set import Splits
from regstudy.files import write_atomically
from regstudy.training.devices import keep_freed_memory
from regstudy.training.run import run

MARGIN = 0.5  # points
FORMATS = ("fp32", "bf16")
COSINE = {"name": "cosine"}
TASKS: dict[str, dict[str, Any]] = {
    "cifar10": {  # case B's network and batches, fewer images
        "data": {"name": "cifar10", "train_limit": 2000, "validation": 4000},
        "preprocessing": {"normalize": "half"},
        "model": {"name": "dropout_cnn", "dropout": 0.25},
        "optimizer": {"name": "adam", "lr": 1e-3},
        "schedule": COSINE,
        "training": {"batch_size": 32, "epochs": 12, "patience": None},
    },
    "digits": {  # a residual network with batch normalization
        "data": {"name": "digits", "size": 16, "train_limit": 300, "validation": 600},
        "preprocessing": {"normalize": "half"},
        "model": {"name": "svhn_resnet"},
        "optimizer": {"name": "adamw", "lr": 2e-3},
        "schedule": COSINE,
        "training": {"batch_size": 64, "epochs": 8, "patience": None},
    },
    "cats_dogs": {
        "data": {"name": "cifar10", "train_limit": 1500, "validation": 3000, "options": {"classes": "cat,dog"}},
        "preprocessing": {"normalize": "train"},
        "model": {"name": "dropout_cnn", "dropout": 0.5},
        "optimizer": {"name": "sgd", "lr": 0.02},
        "schedule": COSINE,
        "augmentation": {"strength": 0.5, "ops": ["crop", "flip"]},
        "training": {"batch_size": 64, "epochs": 10, "patience": None},
    },
}


def main() -> None:
    """Train what is missing, and print a row per task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="*", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--images", type=Path, default=os.environ.get("REGSTUDY_TEST_DATA"), help="folder of archives")
    parser.add_argument("--work", type=Path, default=Path("results/precision"))
    given = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(given.threads)
    print(f"{platform.machine()}, {given.threads} threads, torch {torch.__version__}, seeds 0 to {given.seeds - 1}")
    print(
        f"{'task':<10}{'pairs':>6}{'fp32 (%)':>16}{'bf16 (%)':>16}{'bf16 - fp32 (points, 95 %)':>34}  within ±{MARGIN}"
    )
    for task in given.tasks:
        print(row(task, accuracies(task, given.seeds, given.images, given.work)), flush=True)


def accuracies(task: str, seeds: int, archives: Path, work: Path) -> dict[str, list[float]]:
    """Validation accuracy in per cent after the last epoch, by format and seed; kept in a file as they come."""
    file = work / f"{task}.json"
    found: dict[str, list[float]] = json.loads(file.read_text()) if file.exists() else {name: [] for name in FORMATS}
    if all(len(found[name]) >= seeds for name in FORMATS):
        return {name: found[name][:seeds] for name in FORMATS}
    place_archive(archives, work)
    config = parse_config(TASKS[task], task)
    splits = data.prepare(config.data, work)
    for seed in range(seeds):
        for name in FORMATS:
            if len(found[name]) == seed:
                found[name].append(100 * accuracy(config, splits, seed, name))
                write_atomically(file, json.dumps(found))
    return found


def accuracy(config: RunConfig, splits: Splits, seed: int, precision: str) -> float:
    """Validation accuracy (0..1) at the end of one run."""
    changed = config.replaced({"training.seed": seed, "training.precision": precision})
    return run(changed, splits, torch.device("cpu")).result.records[-1].val_accuracy


def place_archive(archives: Path, work: Path) -> None:
    """Put the archive where the data set looks for it."""
    (work / "cifar10").mkdir(parents=True, exist_ok=True)
    link = work / "cifar10" / "cifar10_images.zip"
    if not link.exists():
        link.symlink_to((archives / "cifar10_images.zip").absolute())


def row(task: str, found: dict[str, list[float]]) -> str:
    """What the pairs of a task show."""
    pair = paired(np.array(found["fp32"]), np.array(found["bf16"]))
    shown = "".join(f"{f'{mean(found[name]):.2f} ± {stdev(found[name]):.2f}':>16}" for name in FORMATS)
    difference = f"{pair.mean:+.2f} ({pair.low:+.2f} to {pair.high:+.2f})"
    return (
        f"{task:<10}{pair.n:>6}{shown}{difference:>34}  {'yes' if max(-pair.low, pair.high) <= MARGIN else 'not shown'}"
    )


if __name__ == "__main__":
    main()
