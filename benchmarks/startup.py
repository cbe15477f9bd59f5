"""Time from the command to the first batch, by stage, for a first and a second start.

    python benchmarks/startup.py [--rounds 3] [--json FILE]

Each start is a separate process that ends at its first training step after the cost estimate. The first start has no
data folder and no study; the second start finds both.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

STUDIES = {
    "digits_cnn": ["--space", "digits_cnn"],
    "street digits, 2,000": ["--space", "street_digits_resnet", "--set", "data.train_limit=2000"],
}
PARTS = ("interpreter, imports", "data", "cost estimate", "storage", "first batch", "rest")
DRIVER = """
import json, os, sys, time
began = float(os.environ["BEGAN"])
spent = {}

def timed(module, name, label):
    function = getattr(module, name)
    def measured(*arguments, **options):
        start = time.time()
        try:
            return function(*arguments, **options)
        finally:
            spent[label] = spent.get(label, 0.0) + time.time() - start
    setattr(module, name, measured)

import regstudy.cli.app, regstudy.training.devices
from regstudy import data
from regstudy.search import session, trial_cost
from regstudy.training import loop
import regstudy.training.run, regstudy.search.worker_pool
spent["interpreter, imports"] = time.time() - began
timed(data, "prepare", "data")
timed(trial_cost, "seconds_per_epoch", "cost estimate")
timed(session, "check_place", "storage")
timed(session, "create_study", "storage")
estimating = trial_cost.seconds_per_epoch

def first_batch(state, indices, lr, step=loop.train_step):
    start = time.time()
    step(state, indices, lr)
    spent["first batch"] = time.time() - start
    spent["all"] = time.time() - began
    print("MEASURED" + json.dumps(spent), flush=True)
    os._exit(0)

loop.train_step = first_batch  # the estimate has imported the real one under its own name
regstudy.cli.app.main(sys.argv[1:])
"""


def main() -> None:
    """Time `--help`, then the starts of each study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    helps = [seconds_of_help() for _ in range(2 * given.rounds + 1)][1:]  # the first one fills the system's cache
    print(f"regstudy --help: {median(helps):.2f} s ({min(helps):.2f} to {max(helps):.2f})")
    found: dict[str, Any] = {"help": helps}
    print(f"{'seconds to the first batch':<34}{'all':>8}" + "".join(f"{part:>22}" for part in PARTS))
    for name, words in STUDIES.items():
        starts = [both_starts(words) for _ in range(given.rounds)]
        for number, label in enumerate(("first start", "second start")):
            parts = {part: median(start[number].get(part, 0.0) for start in starts) for part in ("all", *PARTS)}
            print(f"{name + ', ' + label:<34}{parts['all']:>8.2f}" + "".join(f"{parts[p]:>22.2f}" for p in PARTS))
            found[f"{name}, {label}"] = [start[number] for start in starts]
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def seconds_of_help() -> float:
    """Of `regstudy --help` as a process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "regstudy", "--help"], check=True, capture_output=True)
    return time.perf_counter() - began


def both_starts(words: list[str]) -> list[dict[str, float]]:
    """Parts of the first and of the second start in a fresh folder."""
    with tempfile.TemporaryDirectory() as folder:
        return [start(words, Path(folder)) for _ in range(2)]


def start(words: list[str], folder: Path) -> dict[str, float]:
    """Seconds by part until the first batch is done."""
    command = [sys.executable, "-c", DRIVER, "study", "--no-doctor", "--trials", "1", *words]
    environment = {**os.environ, "BEGAN": str(time.time())}
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    measured = next(line for line in done.stdout.splitlines() if line.startswith("MEASURED"))
    parts: dict[str, float] = json.loads(measured.removeprefix("MEASURED"))
    parts["rest"] = parts["all"] - sum(seconds for part, seconds in parts.items() if part != "all")
    return parts


if __name__ == "__main__":
    main()
