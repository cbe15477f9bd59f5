"""Overhead of a trial in addition to its training, with 10, 100, and 1,000 trials in the study.

    python benchmarks/overhead.py [--at 10 100 1000] [--epochs 30] [--storage postgresql://…] [--json FILE]

A real worker runs real slots on a real database: a SQLite file, or an empty database of a server. Only the epochs are
replaced by simulated records, so that what remains is overhead: claiming and sampling, reports and attributes,
checkpoints, weights, cleanup. Building the network is measured separately. The share is relative to a trial of ten
seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import optuna
import torch

import regstudy.training.run
from regstudy import data
from regstudy.records import EpochRecord
from regstudy.search import epoch_log, pruner, worker
from regstudy.search.create import create_study
from regstudy.search.engine import search
from regstudy.search.events import Event, TrialEnded
from regstudy.search.search_options import SearchOptions
from regstudy.space.loader import find_space, load_space
from regstudy.study.place import study_place
from regstudy.training import checkpoint
from regstudy.training.time_share import TimeShare
from regstudy.training.train_state import TrainState

TRIAL_SECONDS = 10.0
MEASURED = 10  # trials at each size
spent: Counter[str] = Counter()


def main() -> None:
    """Fill a study up to each size and time the trials that follow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at", type=int, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--storage", help="an empty database of a PostgreSQL server")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    regstudy.training.run.run_epoch = made_up_epoch
    regstudy.training.run.start = timed("network", regstudy.training.run.start)
    worker.trial_config = timed("sampling", worker.trial_config)
    worker.keep_weights = timed("weights", worker.keep_weights)
    worker._tidy = timed("tidying up", worker._tidy)
    worker.Judge.after_epoch = timed("pruner", worker.Judge.after_epoch)
    checkpoint.TimeShare = epoch_log.TimeShare = pruner.TimeShare = partial(TimeShare, clock=clock.monotonic)
    optuna.Trial.report = timed("reports", optuna.Trial.report)
    optuna.Trial.set_user_attr = timed("attributes", optuna.Trial.set_user_attr)
    regstudy.training.run.Checkpoint.save = timed("checkpoint", regstudy.training.run.Checkpoint.save)
    rows = measure(given)
    print(f"{given.epochs} epochs per trial, seconds per trial (median of {MEASURED}; parts are means)")
    parts = sorted({part for row in rows for part in row["parts"]})
    print(f"{'trials':>7}{'all':>8}{'share':>8}" + "".join(f"{part:>12}" for part in parts))
    for row in rows:
        share = f"{row['seconds'] / TRIAL_SECONDS:.1%}"
        print(
            f"{row['trials']:>7}{row['seconds']:>8.3f}{share:>8}"
            + "".join(f"{row['parts'].get(p, 0):>12.3f}" for p in parts)
        )
    first, last = rows[0], rows[-1]
    print(f"trial {last['trials']} takes {last['whole'] / first['whole']:.3f} of the time of trial {first['trials']},")
    print(f"with {TRIAL_SECONDS:.0f} s of training each")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def measure(given: argparse.Namespace) -> list[dict[str, Any]]:
    """A row per size: overhead without the network's building, and where it goes. All slots wait from the start."""
    space = load_space(find_space("digits_cnn"), [f"training.epochs={given.epochs}", "training.patience=null"])
    splits = data.prepare(space.defaults().data, given.data_dir)
    seen: list[tuple[float, Counter[str]]] = []

    def ended(event: Event) -> None:
        if isinstance(event, TrialEnded):
            seen.append((time.perf_counter(), spent.copy()))

    with tempfile.TemporaryDirectory() as folder:
        place = study_place(Path(folder), space.name, given.storage)
        study = create_study(place, space, splits)
        search(place, study, space, splits, SearchOptions(max(given.at) + MEASURED, "cpu", 1), ended)
    rows = []
    for size in given.at:
        pairs = list(pairwise(seen[size - 1 : size + MEASURED]))
        bare = [b - a - (later["network"] - earlier["network"]) for (a, earlier), (b, later) in pairs]
        parts = {part: (pairs[-1][1][1][part] - pairs[0][0][1][part]) / MEASURED for part in spent if part != "network"}
        parts["other"] = sum(bare) / MEASURED - sum(parts.values())
        whole = median(b - a for (a, _), (b, _) in pairs) + TRIAL_SECONDS
        rows.append({"trials": size, "seconds": median(bare), "whole": whole, "parts": parts})
    return rows


def made_up_epoch(state: TrainState, *_: object) -> EpochRecord:
    """A record that looks like one of a run that learns, in no time."""
    epoch = len(state.all_records) + 1
    accuracy = 0.9 - 0.5 * math.exp(-epoch / 8) + random.gauss(0, 0.001)
    seconds = TRIAL_SECONDS / state.config.training.epochs
    record = EpochRecord(epoch, 1.0, accuracy, 1.0, accuracy, 1.0, accuracy, 1e-3, 1.0, seconds)
    state.records.append(record)
    clock.passed += seconds
    return record


class Clock:
    """What checkpoint, pruner and storing take for the time: the made-up epochs took theirs."""

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        """Seconds."""
        return time.monotonic() + self.passed

    perf_counter = monotonic


def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, its time added up under a name."""

    def measured(*arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            spent[name] += time.perf_counter() - began

    return measured


clock = Clock()

if __name__ == "__main__":
    main()
