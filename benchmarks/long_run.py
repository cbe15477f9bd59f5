"""Does a worker leak resources over many short trials? Memory, open files, threads, processes, time per trial.

    python benchmarks/long_run.py [--trials 200] [--json FILE]

Runs a study of digits_cnn with two epochs per trial in this process, as `--workers 1` does, and measures the process
after each trial.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

import optuna
import psutil
import torch
from scipy.stats import linregress, t

from regstudy import data
from regstudy.search.create import create_study
from regstudy.search.engine import search
from regstudy.search.events import Event, TrialEnded
from regstudy.search.search_options import SearchOptions
from regstudy.space.loader import find_space, load_space
from regstudy.study.place import study_place
from regstudy.training.devices import keep_freed_memory

MEGABYTE = 2**20
SETTLED = 50  # trials after which memory should not grow any more


def main() -> None:
    """Run the trials and print what became of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    keep_freed_memory()
    process = psutil.Process()
    space = load_space(find_space("digits_cnn"), ["training.epochs=2"])
    splits = data.prepare(space.defaults().data, given.data_dir)
    seen: list[dict[str, float]] = [looked_at(process)]

    def ended(event: Event) -> None:
        if isinstance(event, TrialEnded):
            seen.append(looked_at(process))

    with tempfile.TemporaryDirectory() as folder:
        place = study_place(Path(folder), space.name)
        study = create_study(place, space, splits)
        search(place, study, space, splits, SearchOptions(given.trials, "cpu", torch.get_num_threads()), ended)
        del study
    seen.append(looked_at(process))
    for number in (1, 10, SETTLED, 100, given.trials):
        if number <= given.trials:
            now = seen[number]
            counts = (
                f"{now['files']:.0f} open files, {now['threads']:.0f} threads, {now['processes']:.0f} child processes"
            )
            print(f"after trial {number:>4}: {now['memory']:.0f} MB, {counts}")
    first = min(SETTLED, given.trials // 2)
    settled = seen[first:-1]
    fit = linregress(range(len(settled)), [now["memory"] for now in settled])
    reach = t.isf(0.025, len(settled) - 2) * fit.stderr
    print(f"memory after trial {first}: {1000 * fit.slope:+.1f} ± {1000 * reach:.1f} KB per trial")
    for kind in ("files", "processes"):
        print(f"{kind} at the start {seen[0][kind]:.0f}, at the end {seen[-1][kind]:.0f}")
    times = [after["time"] - before["time"] for before, after in pairwise(seen[:-1])]
    print(f"time per trial: {median(times[5:15]):.3f} s at trials 6 to 15, {median(times[-10:]):.3f} s at the last ten")
    if given.json:
        given.json.write_text(json.dumps(seen), encoding="utf-8")


def looked_at(process: psutil.Process) -> dict[str, float]:
    """The process as the system sees it."""
    return {
        "time": time.perf_counter(),
        "memory": process.memory_info().rss / MEGABYTE,
        "files": process.num_fds(),
        "threads": process.num_threads(),
        "processes": len(process.children(recursive=True)),
    }


if __name__ == "__main__":
    main()
