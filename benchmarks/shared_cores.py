"""What several trainings at once cost each other on the same cores, with and without `regstudy.training.crowded_cores`.

Each program trains the default configuration of a space with all cores as threads for a few seconds. The table shows
the epochs per second of all programs together, and as a share of one program alone. Rounds alternate.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import torch

from regstudy import data
from regstudy.cli.app import SPIN_COUNT
from regstudy.records import PruningDecision
from regstudy.space.loader import load_space
from regstudy.training import crowded_cores
from regstudy.training.devices import keep_freed_memory
from regstudy.training.run import run

REPOSITORY = Path(__file__).parents[1]
WARM_UP = 14.0  # seconds for imports, for the first epochs, and for the first look at the cores


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="digits_cnn")
    parser.add_argument("--data-dir", default=os.environ.get("REGSTUDY_TEST_DATA", "data"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--programs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of each program; 1 is shown, too")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        _child(given, int(given.child[0]), given.child[1] == "sleeping", float(given.child[2]))
        return
    kinds = [("spinning", given.threads), ("sleeping", given.threads), ("one thread", 1)]
    found: dict[tuple[str, int], list[float]] = {}
    for _ in range(given.rounds):
        for kind, threads in kinds:
            for programs in (1, given.programs):
                found.setdefault((kind, programs), []).append(_together(given, kind, threads, programs))
    print(f"{given.space}, {given.threads} threads, {given.rounds} rounds: epochs per second, median (min to max)")
    print(f"{'threads that wait':20}{'1 program':>24}{f'{given.programs} programs':>24}{'ratio':>8}")
    for kind, _ in kinds:
        alone, together = found[kind, 1], found[kind, given.programs]
        cells = "".join(f"{f'{median(one):.2f} ({min(one):.2f} to {max(one):.2f})':>24}" for one in (alone, together))
        print(f"{kind:20}{cells}{median(together) / median(alone):>8.2f}")


def _together(given: argparse.Namespace, kind: str, threads: int, programs: int) -> float:
    """Epochs per second of so many programs, in sum."""
    start = time.time() + WARM_UP
    command = [sys.executable, __file__, "--space", given.space, "--data-dir", given.data_dir]
    command += ["--seconds", str(given.seconds), "--child", str(threads), kind, str(start)]
    env = {**os.environ, "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", SPIN_COUNT)}
    running = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(programs)]
    return sum(float(one.communicate()[0]) for one in running)


def _child(given: argparse.Namespace, threads: int, sleeps: bool, start: float) -> None:
    """Train until the time is over and print the epochs per second after the warm-up."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    if not sleeps:
        crowded_cores.crowded = lambda *_: False
    asked = load_space(REPOSITORY / "search_spaces" / f"{given.space}.yaml", [])
    config = (asked.fallback or asked).defaults().replaced({"training.epochs": 100_000, "training.patience": None})
    splits = data.prepare(config.data, Path(given.data_dir))
    ended: list[float] = []

    def on_epoch(*_: object) -> PruningDecision:
        now = time.time()
        if now >= start:
            ended.append(now)
        return PruningDecision(now >= start + given.seconds, "the time is over")

    run(config, splits, torch.device("cpu"), on_epoch)
    print((len(ended) - 1) / (ended[-1] - ended[0]) if len(ended) > 1 else 1 / given.seconds)


if __name__ == "__main__":
    main()
