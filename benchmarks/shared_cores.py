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
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch

from regstudy import data
from regstudy.cli.app import SPIN_COUNT
from regstudy.records import EpochRecord, PruningDecision
from regstudy.space.loader import load_space
from regstudy.training import crowded_cores
from regstudy.training.devices import keep_freed_memory
from regstudy.training.run import run

REPOSITORY = Path(__file__).parents[1]
WARM_UP = 3.0  # seconds for the first look at the cores


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="digits_cnn")
    parser.add_argument("--data-dir", default=os.environ.get("REGSTUDY_TEST_DATA", "data"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--programs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of each program; 1 is shown, too")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        _child(given, int(given.child[0]), given.child[1] == "sleeping")
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
    command = [sys.executable, __file__, "--space", given.space, "--data-dir", given.data_dir]
    command += ["--seconds", str(given.seconds), "--child", str(threads), kind]
    env = {**os.environ, "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", SPIN_COUNT)}
    pipe = subprocess.PIPE
    running = [subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True) for _ in range(programs)]
    for one in running:
        assert one.stdout is not None and one.stdout.readline() == "ready\n"
    for one in running:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    return sum(float(one.communicate()[0]) for one in running)


def _child(given: argparse.Namespace, threads: int, sleeps: bool) -> None:
    """Train one epoch, wait for the others, and train until the time is over; print the epochs per second."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    if not sleeps:
        crowded_cores.crowded = lambda *_: False
    asked = load_space(REPOSITORY / "search_spaces" / f"{given.space}.yaml", [])
    config = (asked.fallback or asked).defaults().replaced({"training.epochs": 100_000, "training.patience": None})
    splits = data.prepare(config.data, Path(given.data_dir))
    start, ended = 0.0, [0.0]

    def on_epoch(records: Sequence[EpochRecord], _: object) -> PruningDecision:
        nonlocal start
        if len(records) == 1:
            print("ready", flush=True)
            sys.stdin.readline()
            start = time.time() + WARM_UP
        now = time.time()
        if now <= start or len(ended) == 1:
            ended[0] = now
        if now > start:
            ended.append(now)
        return PruningDecision(now >= start + given.seconds, "the time is over")

    run(config, splits, torch.device("cpu"), on_epoch)
    print((len(ended) - 1) / (ended[-1] - ended[0]))


if __name__ == "__main__":
    main()
