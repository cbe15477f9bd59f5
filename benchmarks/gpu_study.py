"""The headline study on a GPU: as many of its trials as fit, and what all of them would take. For benchmarks/gpu.py."""

from __future__ import annotations

import logging
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from gpu_cases import SPACES, SVHN_IMAGES, write_svhn
from gpu_report import Found, Report

from regstudy.api import load_space, run_study
from regstudy.search import events
from regstudy.search.division import DEFAULT_SHARE, divide

TRIALS, GOAL_SECONDS = 50, 600.0
SPACE = "svhn_resnet"
FLOP_PER_EPOCH = 82e12  # of 65,931 training images of 28×28 pixels, forward and backward
AFTER = 8.0  # seconds kept for the tables
TINY = ["training.epochs=2", "training.batch_size=64", "data.validation=0.2", "model.name=dropout_cnn",
        "optimizer.name=adam", "regularization.l1=0", "preprocessing.crop=null"]  # fmt: skip


class TimeIsOver(Exception):
    """Ends the study from within its listener; what has finished is in its database."""


@dataclass
class Log:
    """What a study said, with the times."""

    ends: float  # time.perf_counter() at which the study is to end
    began: float = field(default_factory=time.perf_counter)
    started: float | None = None  # when the first trial could begin
    trials: list[tuple[events.TrialEnded, float]] = field(default_factory=list)  # and when it ended
    epochs: list[float] = field(default_factory=list)  # seconds of each
    by_trial: dict[tuple[int, int], list[float]] = field(default_factory=dict)  # the same, by worker and number
    beside: list[float] = field(default_factory=list)  # seconds of each trial outside its epochs
    first: list[float] = field(default_factory=list)  # of the first epoch of each trial
    later: list[float] = field(default_factory=list)  # of all others
    ended: bool = False  # the study had all its trials
    cut: bool = False

    def __call__(self, event: events.Event) -> None:
        """Listen; raises TimeIsOver."""
        now = time.perf_counter()
        if isinstance(event, events.StudyStarted) and self.started is None:
            self.started = now
        elif isinstance(event, events.EpochDone):
            self.epochs.append(event.record.seconds)
            self.by_trial.setdefault((event.worker, event.number), []).append(event.record.seconds)
        elif isinstance(event, events.TrialEnded):
            self.trials.append((event, now))
            seconds = self.by_trial.pop((event.worker, event.number), [])
            if event.outcome != "failed" and len(seconds) == event.epochs:
                self.beside.append(event.seconds - sum(seconds))
                self.first.append(seconds[0])
                self.later += seconds[1:]
            print(f"      {now - self.began:6.1f} s  {event}"[:150], flush=True)
        elif isinstance(event, events.StudyEnded):
            self.ended = not event.left
        elif not isinstance(event, events.StepDone | events.Progress):
            print(f"      {now - self.began:6.1f} s  {' '.join(str(event).split())[:200]}", flush=True)
        if now > self.ends and not self.ended:
            self.cut = True
            raise TimeIsOver


def study(found: Found, report: Report, folder: Path, workers: int, seconds: float, tiny: bool) -> None:
    """Run the study for at most so many seconds and say how long all its trials take."""
    logging.getLogger("regstudy").setLevel(logging.ERROR)
    results = folder / f"study_{workers}"
    shutil.rmtree(results, ignore_errors=True)
    trials = 6 if tiny else TRIALS
    log = Log(time.perf_counter() + seconds)
    space = load_space(SPACES / f"{SPACE}.yaml", TINY if tiny else [])
    judged = report.device.type == "cuda"

    def sum_up() -> None:
        summary(found, log, trials, workers, time.perf_counter() - log.began, judged)

    report.when_late = sum_up
    try:
        run_study(space, trials=trials, results=results, data_dir=folder / "data", workers=workers,
                  device=str(report.device), progress=log)  # fmt: skip
    except TimeIsOver:
        found.say(f"stopped after {seconds:.0f} s; the study's database keeps what has finished")
    finally:
        sum_up()


def summary(found: Found, log: Log, trials: int, workers: int, whole: float, judged: bool) -> None:
    """What was observed, and the time for all trials: measured, or extrapolated."""
    outcomes = Counter(one.outcome for one, _ in log.trials)
    done = sum(count for outcome, count in outcomes.items() if outcome != "failed")
    found.numbers |= {
        "workers": workers, "asked": trials, "done": done, "outcomes": dict(outcomes), "whole": whole,
        "until the first trial": (log.started or log.began) - log.began, "epoch seconds": log.epochs,
        "trial ends": [now - log.began for _, now in log.trials],
        "outside epochs": log.beside, "first epochs": log.first, "later epochs": log.later,
        "trials": [[one.number, one.arm, one.outcome, one.epochs, one.seconds, one.value] for one, _ in log.trials],
    }  # fmt: skip
    found.say(
        f"{workers} worker{'s' * (workers > 1)}: {done} of {trials} trials in {whole:.0f} s, {len(log.epochs)} epochs"
    )
    found.say(f"until the first trial: {found.numbers['until the first trial']:.1f} s (reading, checks, estimate)")
    found.say("outcomes: " + ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()))
    for one, _ in log.trials:
        if one.outcome == "failed":
            found.say(f"trial {one.number} failed: {one.reason[:300]}")
    if log.epochs:
        usual = median(log.epochs)
        found.say(
            f"an epoch: median {usual:.3f} s, {min(log.epochs):.3f} to {max(log.epochs):.3f} s, measurements included"
        )
        if log.later:
            found.say(
                f"median seconds of the first epoch of a trial {median(log.first):.3f}, of the later ones"
                f" {median(log.later):.3f}, of a trial outside its epochs {median(log.beside):.3f}"
            )
        if judged:
            found.say(f"{FLOP_PER_EPOCH / usual / 1e12:.0f} TFLOP/s, if all the epoch's time were training steps")
    if log.ended and not log.cut:
        line = f"all {done} trials in {whole:.0f} s, measured"
        estimate = (whole, whole, whole)
    elif done >= 3 and log.started is not None:
        estimate = extrapolated(log, trials, workers)
        low, middle, high = estimate
        line = (
            f"extrapolated: {trials} trials in {middle / 60:.1f} min ({low / 60:.1f} to {high / 60:.1f}), from {done}"
            f" trials and {len(log.epochs)} epochs"
        )
        found.say(f"{line}. Early trials are pruned less than late ones, so this is rather too long.")
    else:
        found.state, found.line = "info", f"too few trials to extrapolate from: {done}"
        return
    found.numbers["estimate"] = estimate
    if judged:
        found.verdict(estimate[1] < GOAL_SECONDS, f"{line} (goal: under {GOAL_SECONDS / 60:.0f} min)")
    else:
        found.line = line


def extrapolated(log: Log, trials: int, workers: int) -> tuple[float, float, float]:
    """Seconds for all trials: 5 %, 50 % and 95 % of 2,000 draws with replacement from the observed trials.

    Search trials take what the observed ones took, confirmation runs what those took that nothing
    pruned; a worker alone also needs its time between trials.
    """
    began = log.started or log.began
    taken = [(one.seconds, one.outcome) for one, _ in log.trials if one.outcome != "failed"]
    between = 0.0
    if workers == 1:
        between = max(0.0, log.trials[-1][1] - began - sum(one.seconds for one, _ in log.trials)) / len(log.trials)
    anything = [seconds + between for seconds, _ in taken]
    unpruned = [seconds + between for seconds, outcome in taken if outcome != "pruned"] or anything
    parts, generator = divide(trials, DEFAULT_SHARE, 0, 0), random.Random(0)
    totals = []
    for _ in range(2_000):
        search = sum(generator.choices(anything, k=parts.search))
        confirm = sum(generator.choices(unpruned, k=parts.confirm))
        totals.append(began - log.began + (search + confirm) / workers)
    totals.sort()
    return totals[100], totals[1_000], totals[1_900]


def prepare(found: Found, folder: Path, tiny: bool) -> None:
    """Draw the images and write SVHN's file, so that the shipped space runs as it is."""
    count = 600 if tiny else SVHN_IMAGES
    began = time.perf_counter()
    if tiny:
        write_svhn(folder / "data", count)
    else:  # a program without a main file, which the processes that draw would import, with torch
        program = f"from gpu_cases import write_svhn, Path; write_svhn(Path({str(folder / 'data')!r}), {count})"
        paths = os.pathsep.join([str(SPACES.parent / "benchmarks"), *filter(None, sys.path)])
        subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": paths}, check=True)
    seconds = time.perf_counter() - began
    size = (folder / "data" / "svhn" / "train_32x32.mat").stat().st_size / 2**20
    found.verdict(True, f"{count:,} drawn house numbers in {seconds:.1f} s, {size:.0f} MiB, in SVHN's layout")


def run_part(report: Report, folder: Path, workers: list[int], tiny: bool) -> None:
    """Images, then the study with each number of workers; the first gets most of the time."""
    report.check("images of SVHN's shape", lambda found: prepare(found, folder, tiny))
    for place, number in enumerate(workers):
        rest = len(workers) - place - 1
        spare = report.left - AFTER
        seconds = spare if not rest else spare * 0.6
        title = f"svhn_resnet, {number} worker{'s' * (number > 1)}"

        def action(found: Found, number: int = number, seconds: float = seconds) -> None:
            study(found, report, folder, number, seconds, tiny)

        report.check(title, action, needs=5.0)
