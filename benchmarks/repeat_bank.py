"""Records a bank of repeated trainings: many configurations of a space, each trained on fresh seeds and fresh splits.

    python benchmarks/repeat_bank.py digits [--processes 2] [--images FOLDER] [--work FOLDER]

The space is `benchmarks/repeats/NAME_space.yaml`, the bank `benchmarks/repeats/NAME.jsonl`. Configurations below 120
are random points of the search, the others are baselines: every regularizer off, the nuisances random. Each is trained
3 times, and then the best 40 of the search and the best 5 baselines 10 times more. Repeat r has the same training seed
and the same split in every configuration, so that differences can be paired. A line has a configuration, a repeat, and
per epoch validation accuracy and clean train accuracy. Trainings that are already in the bank are not made again. Each
process has one thread.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
import torch
from curve_bank import link_images, read_bank

from regstudy import data
from regstudy.data.image_set import Splits
from regstudy.space.loader import load_space
from regstudy.space.search_space import Space
from regstudy.training.devices import keep_freed_memory
from regstudy.training.run import run

REPEATS = Path(__file__).parent / "repeats"
SEARCHED, BASELINES = 120, 10  # configurations
FIRST, MORE = 3, 10  # repeats of all configurations, and further ones of the best
BEST_SEARCHED, BEST_BASELINES = 40, 5
SERIES = ("val_accuracy", "clean_train_accuracy")
_space: Space  # of a process
_work: Path
_splits: dict[int, Splits] = {}


class Training(NamedTuple):
    """One training: the number of its configuration, and of its repeat from 0."""

    configuration: int
    repeat: int


def main() -> None:
    """Make the trainings that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "bank", choices=[path.name.removesuffix("_space.yaml") for path in REPEATS.glob("*_space.yaml")]
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--images", type=Path, default=os.environ.get("REGSTUDY_TEST_DATA"), help="folder of archives")
    parser.add_argument("--work", type=Path, default=Path("results/curve_banks"))
    given = parser.parse_args()
    file = REPEATS / f"{given.bank}.jsonl"
    link_images(given.images, given.work)
    everything = range(SEARCHED + BASELINES)
    context = multiprocessing.get_context("spawn")
    with context.Pool(given.processes, settle, (given.bank, given.work)) as pool:
        complete(file, pool, [Training(number, repeat) for repeat in range(FIRST) for number in everything])
        best = [*leaders(file, range(SEARCHED), BEST_SEARCHED), *leaders(file, everything[SEARCHED:], BEST_BASELINES)]
        complete(file, pool, [Training(number, repeat) for repeat in range(FIRST, FIRST + MORE) for number in best])
    ordered = sorted(read_bank(file), key=lambda line: (line["configuration"], line["repeat"]))
    file.write_text("".join(json.dumps(line) + "\n" for line in ordered))


def complete(file: Path, pool: Any, wanted: Iterable[Training]) -> None:
    """Append the trainings that the bank lacks."""
    known = {(line["configuration"], line["repeat"]) for line in read_bank(file)}
    with file.open("a") as bank:
        for line in pool.imap(record, [training for training in wanted if training not in known]):
            bank.write(json.dumps(line) + "\n")
            bank.flush()
            print(f"{line['configuration']}, repeat {line['repeat']}: {max(line['val_accuracy']):.3f}", flush=True)


def leaders(file: Path, among: Iterable[int], count: int) -> list[int]:
    """The configurations with the best means over the first repeats."""
    values: dict[int, list[float]] = {number: [] for number in among}
    for line in read_bank(file):
        if line["configuration"] in values and line["repeat"] < FIRST:
            values[line["configuration"]].append(max(line["val_accuracy"]))
    return sorted(values, key=lambda number: (-np.mean(values[number]), number))[:count]


def settle(bank: str, work: Path) -> None:
    """Once per process."""
    global _space, _work
    keep_freed_memory()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _space, _work = load_space(REPEATS / f"{bank}_space.yaml"), work


def record(training: Training) -> dict[str, Any]:
    """Train a configuration with the seed and on the split of a repeat."""
    number, repeat = training
    if repeat not in _splits:
        _splits.clear()
        _splits[repeat] = data.prepare(_space.data.model_copy(update={"split_seed": repeat}), _work)
    splits = _splits[repeat]
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=number)).ask()
    config = _space.suggest(trial, baseline=number >= SEARCHED)
    config = config.replaced({"training.seed": repeat, "data.split_seed": splits.split_seed})
    records = run(config, splits, torch.device("cpu")).result.records
    curves = {name: [round(getattr(record, name), 4) for record in records] for name in SERIES}
    return {"configuration": number, "repeat": repeat, **curves}


if __name__ == "__main__":
    main()
