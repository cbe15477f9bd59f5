"""Time to an answer that is as good as a plain script's: true quality against time, and how far claims overstate it.

    python benchmarks/answer.py [--short] [--with hyperband random] [--images FOLDER] [--json FILE]
    python benchmarks/answer.py --only-time        # on an idle machine
    python benchmarks/answer.py --only-truth       # later, on any machine

A plain Optuna script (plain_study.py) and regstudy (search and confirmation, `regstudy study` with its defaults) search
the space of study_space.yaml with the same images, split, number of trainings and machine, alone and one after the
other, timed from the start of the interpreter. At each moment each of them has one answer: the trial with the best
value so far; for regstudy, once its race has started, the leader after each round, and in the end what it recommends.
What an answer is truly worth is the mean test accuracy of fresh trainings (answer_truth.py). Finished contestants and
trainings under --work are kept: delete regstudy_* there to time another version. FOLDER holds `cifar10_images.zip`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import plain_loop
import torch
from answer_contestants import HERE, KINDS, MINE, Entry, Size, read, run
from answer_curves import Contest, means
from answer_table import BUSY, summary, tables
from answer_truth import accuracies, complete, seconds_each
from curve_bank import link_images

from regstudy import __version__, data, models
from regstudy.config.run_config import RunConfig
from regstudy.data.image_set import Splits
from regstudy.files import write_atomically
from regstudy.training.cost import seconds_per_epoch

# Guesses for the estimate: the share of the planned epochs that run, seconds of a start, answers per seed of a pair.
EPOCH_SHARE, START_SECONDS, ANSWERS = 0.75, 15, 13


def main() -> None:
    """Run what is missing and print what came out."""
    given = arguments()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    size = Size(given.trials, given.epochs, given.train)
    names = ["plain", MINE, *given.others]
    pairs = [(name, seed) for seed in range(given.seeds) for name in (names[::-1] if seed % 2 else names)]
    entries = [Entry(name, seed, size, given.work) for name, seed in pairs if seed < KINDS[name].seeds]
    missing = [entry for entry in entries if not entry.facts]
    config = size.config()
    if missing and not given.only_truth:
        splits = data.prepare(config.data, given.work / "data")  # decoded once, before anybody's time runs
        loaders, pace = plain_pace(splits)
        print(estimate(given, missing, pace, splits, config), flush=True)
        about = {"machine": machine(), "version": version()}
        for entry in missing:
            run(entry, loaders, about)
            busy = (
                f", on a machine that was {facts['busy_before']:.0f}% busy"
                if (facts := entry.facts)["busy_before"] > BUSY
                else ""
            )
            print(f"{entry.folder.name}: {facts['seconds']:.0f} s{busy}", flush=True)
    done = [entry for entry in entries if entry.facts]
    if not done:
        sys.exit("No contestant has been timed at this size. Leave out --only-truth.")
    contests: list[Contest] = []
    configs: dict[str, RunConfig] = {}
    for entry in done:
        contest, found = read(entry)
        contests.append(contest)
        configs |= found
    file = given.work / "truth.jsonl"
    wanted = {name: configs[name] for contest in contests for name in sorted(contest.configurations())}
    if not given.only_time:
        complete(file, given.work / "data", wanted, given.trainings, given.processes)
    known = {name: values for name, values in accuracies(file, given.trainings).items() if name in wanted}
    truth = means(known) if known.keys() == wanted.keys() else {}
    facts = {"size": str(size), "trainings": given.trainings, "configurations": len(wanted), "timed": timed(done)}
    found = summary(contests, truth, facts)
    print("\n" + "\n".join(tables(found)))
    if given.json:
        write_atomically(given.json, json.dumps(without_infinity(found), indent=1))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    short = argparse.ArgumentParser(add_help=False)
    short.add_argument("--short", action="store_true")
    is_short = short.parse_known_args()[0].short
    parser.add_argument("--short", action="store_true", help="2 seeds and less of everything: under 10 minutes")
    sizes = {"seeds": (5, 2), "trials": (30, 26), "epochs": (12, 8), "train": (600, 400), "trainings": (10, 5)}
    for name, (usual, fewer) in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=fewer if is_short else usual)
    others = [name for name in KINDS if name not in ("plain", MINE)]
    parser.add_argument("--with", dest="others", nargs="*", default=[], choices=others, help="3 seeds each")
    parser.add_argument("--processes", type=int, default=2, help="for the truth, with one thread each")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--only-time", action="store_true", help="run the contestants only")
    only.add_argument("--only-truth", action="store_true", help="make the fresh trainings of finished contestants")
    parser.add_argument(
        "--images", type=Path, default=os.environ.get("REGSTUDY_TEST_DATA"), help="folder of the archive"
    )
    parser.add_argument("--work", type=Path, default=Path("results/answer"))
    parser.add_argument("--json", type=Path, help="write the summary with all curves")
    given = parser.parse_args()
    given.work = given.work.absolute()
    link_images(given.images, given.work / "data")
    if not any((given.work / "data" / "cifar10").iterdir()):
        parser.error("give the folder of cifar10_images.zip with --images or REGSTUDY_TEST_DATA")
    return given


def plain_pace(splits: Splits) -> tuple[int, float]:
    """How many loading processes make the plain loop fastest here, with batches of 32, and its seconds per epoch."""
    model = models.dropout_cnn(3, 32, 10)
    optimizer = torch.optim.Adam(model.parameters())
    train, held_out = splits.train, splits.validation
    transform, plain = plain_loop.training_transform(32, 32, flip=0.5), plain_loop.evaluation_transform(32)
    loaders = plain_loop.fastest_workers(
        lambda count: plain_loop.loader(train.images, train.labels, transform, 32, True, count),
        lambda batches: plain_loop.train_epoch(model, batches, optimizer),
    )
    batches = plain_loop.loader(train.images, train.labels, transform, 32, True, loaders)
    for _ in range(2):  # the loading processes start in the first
        began = time.perf_counter()
        plain_loop.train_epoch(model, batches, optimizer)
        plain_loop.validate(model, plain_loop.loader(held_out.images, held_out.labels, plain, 256, False, 0))
    return loaders, time.perf_counter() - began


def estimate(given: argparse.Namespace, missing: list[Entry], pace: float, splits: Splits, config: RunConfig) -> str:
    """What it will cost, before it starts."""
    own = seconds_per_epoch(config, splits, torch.device("cpu"))
    epochs = given.trials * given.epochs * EPOCH_SHARE
    clocks = sum(START_SECONDS + epochs * (pace if KINDS[entry.name].plain else own) for entry in missing) / 60
    trainings = given.trainings * ANSWERS * len(missing) / 2
    truths = trainings * EPOCH_SHARE * seconds_each(config, splits) / given.processes / 60
    return (
        f"About {clocks:.0f} min for {len(missing)} contestants and {truths:.0f} min for some {trainings:.0f} fresh"
        f" trainings: {clocks + truths:.0f} min in all. An epoch takes {pace:.2f} s (plain) and {own:.2f} s (regstudy)."
    )


def machine() -> str:
    """The processor, its cores, and the versions that decide how fast it is."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown processor"
    )
    return f"{os.cpu_count()} cores of {model}, torch {torch.__version__}, Optuna {optuna.__version__}"


def version() -> str:
    """Which regstudy this is, with the commit where there is one."""
    words = ["git", "describe", "--always", "--dirty"]
    try:
        commit = subprocess.run(words, cwd=HERE, capture_output=True, text=True).stdout.strip()
    except OSError:
        commit = ""
    return f"regstudy {__version__}" + (f" ({commit})" if commit else "")


def timed(entries: list[Entry]) -> dict[str, Any]:
    """With what the contestants were timed, and how busy the machine was, at most, before one of them."""
    facts = [entry.facts for entry in entries]
    own = [entry.facts for entry in entries if not KINDS[entry.name].plain]
    return {
        "machines": sorted({one["machine"] for one in facts}),
        "versions": sorted({one["version"] for one in own}),
        "now": version(),
        "busy": max(one["busy_before"] for one in facts),
    }


def without_infinity(tree: Any) -> Any:
    """Plain values with null for what JSON has no number for, such as the moment of what never happens."""
    if isinstance(tree, dict):
        return {key: without_infinity(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [without_infinity(value) for value in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree


if __name__ == "__main__":
    main()
