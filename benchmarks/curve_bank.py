"""Records a bank of learning curves: random configurations of a space, each trained to its last epoch, without pruning.

    python benchmarks/curve_bank.py digits [--runs 200] [--processes 2] [--images FOLDER] [--work FOLDER]

The space is `benchmarks/banks/NAME_space.yaml`, the bank `benchmarks/banks/NAME.jsonl`. The bank has a line per run
with its number, its parameters, and per epoch validation accuracy, validation loss, and clean train accuracy. Runs that
are already in the bank are not repeated; run k is the same whenever it is made. Each process has one thread.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import optuna
import torch

from regstudy import data
from regstudy.data.image_set import Splits
from regstudy.space.loader import load_space
from regstudy.space.search_space import Space
from regstudy.training.devices import keep_freed_memory
from regstudy.training.run import run

BANKS = Path(__file__).parent / "banks"
SERIES = ("val_accuracy", "val_loss", "clean_train_accuracy")
_here: tuple[Space, Splits]  # of a process


def main() -> None:
    """Make the runs that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bank", choices=[path.name.removesuffix("_space.yaml") for path in BANKS.glob("*_space.yaml")])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--images", type=Path, default=os.environ.get("REGSTUDY_TEST_DATA"), help="folder of archives")
    parser.add_argument("--work", type=Path, default=Path("results/curve_banks"))
    given = parser.parse_args()
    file = BANKS / f"{given.bank}.jsonl"
    missing = sorted(set(range(given.runs)) - {line["run"] for line in read_bank(file)})
    link_images(given.images, given.work)
    context = multiprocessing.get_context("spawn")
    with context.Pool(given.processes, settle, (given.bank, given.work)) as pool, file.open("a") as bank:
        for line in pool.imap_unordered(record, missing):
            bank.write(json.dumps(line) + "\n")
            bank.flush()
            print(f"run {line['run']}: {line['val_accuracy'][-1]:.3f}", flush=True)
    ordered = sorted(read_bank(file), key=lambda line: line["run"])
    file.write_text("".join(json.dumps(line) + "\n" for line in ordered))


def read_bank(file: Path) -> list[dict[str, Any]]:
    """The lines of a bank; none if there is no such file yet."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def link_images(images: Path | None, work: Path) -> None:
    """Let regstudy find the archive of photos below the work folder."""
    link = work / "cifar10" / "cifar10_images.zip"
    link.parent.mkdir(parents=True, exist_ok=True)
    if images and not link.exists():
        link.symlink_to((Path(images) / link.name).absolute())


def settle(bank: str, work: Path) -> None:
    """Once per process: the space and its images."""
    global _here
    keep_freed_memory()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = load_space(BANKS / f"{bank}_space.yaml")
    _here = space, data.prepare(space.defaults().data, work)


def record(number: int) -> dict[str, Any]:
    """Run ``number`` of the bank: its seed decides its parameters and its training."""
    space, splits = _here
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=number)).ask()
    config = space.suggest(trial).replaced({"training.seed": number, "data.split_seed": splits.split_seed})
    records = run(config, splits, torch.device("cpu")).result.records
    curves = {name: [round(getattr(record, name), 4) for record in records] for name in SERIES}
    return {"run": number, "params": {name: _short(value) for name, value in trial.params.items()}, **curves}


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
