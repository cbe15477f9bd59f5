"""Time of a study with several workers compared with one, alternating in one run: `python benchmarks/workers.py`.

Startup and report are not included: the timing covers the search, from the first slot to the last, including the start
of the worker processes. Pruning depends on the order in which trials end, so it is disabled by asking for fewer trials
than the pruner waits for.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import optuna
import torch

from regstudy import data
from regstudy.cli.app import SPIN_COUNT
from regstudy.search.create import create_study
from regstudy.search.engine import search
from regstudy.search.search_options import SearchOptions
from regstudy.space.loader import load_space
from regstudy.study.place import study_place

CASES = {
    "digits_cnn": [],
    "cifar10_dropout": ["data.train_limit=1500", "data.validation=300", "training.epochs=6"],
    "svhn_resnet": ["data.train_limit=500", "data.validation=100", "training.epochs=2"],
}
TRIALS = 10


def seconds(space_name: str, sets: list[str], workers: int, data_dir: Path) -> float:
    """Time to run all trials of a fresh study."""
    asked = load_space(space_name, sets)
    space = asked.fallback or asked
    splits = data.prepare(space.defaults().data, data_dir)
    with tempfile.TemporaryDirectory() as folder:
        place = study_place(Path(folder), space.name)
        study = create_study(place, space, splits)
        # the timeout makes a single worker a process of its own too, so that both pay for one's start
        options = SearchOptions(TRIALS, "cpu", torch.get_num_threads(), workers, trial_timeout=86_400.0)
        began = time.perf_counter()
        search(place, study, space, splits, options, lambda _: None)
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)  # for the workers' processes, as the command line does
    threads = torch.get_num_threads()
    print(f"{TRIALS} trials, {threads} threads shared by the workers, {options.rounds} rounds")
    print(f"{'space':<14}{'1 worker':>10}{f'{options.workers} workers':>12}{'ratio (min–max)':>22}")
    for name, sets in CASES.items():
        pairs = []
        for _ in range(options.rounds):
            pairs.append([seconds(name, sets, workers, options.data_dir) for workers in (1, options.workers)])
            torch.set_num_threads(threads)
        one, many = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratios = [b / a for a, b in pairs]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        print(f"{name:<14}{one:>8.1f} s{many:>10.1f} s{spread:>22}", flush=True)


if __name__ == "__main__":
    main()
