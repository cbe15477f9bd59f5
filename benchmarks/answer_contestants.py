"""The contestants of `answer.py`: how each is run, alone and timed, and what its log or its study says it would answer.

A finished run is a folder that is written once: `run.json` with its times, and the log of the plain script or the study
of regstudy. An interrupted run leaves nothing that counts.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import plain_study
import psutil
from answer_curves import Claim, Contest, Event, leaders
from answer_truth import identity
from optuna.trial import TrialState

from regstudy.analysis.confirmation import confirmation
from regstudy.config.run_config import RunConfig, parse_config
from regstudy.space.loader import load_space
from regstudy.space.round_plan import ROUND
from regstudy.study import attributes
from regstudy.study.companion import find_confirmation
from regstudy.study.load_tables import load_tables
from regstudy.study.place import open_study, study_place
from regstudy.study.ranking import usable_trials
from regstudy.study.stored_facts import fact
from regstudy.study.tables import PARAM

HERE = Path(__file__).parent
SPACE = HERE / "study_space.yaml"
STUDY = "study"
LOOK = 2.0  # seconds for which the machine is watched before a contestant starts
MINE = "regstudy"
BEST_VALUE, CONFIRMED = "best value of the search", "confirmed"  # claims


@dataclass(frozen=True)
class Kind:
    """What a contestant is, the words that its command adds, and the most seeds that it is run with."""

    label: str
    words: tuple[str, ...] = ()
    seeds: int = 1000
    plain: bool = True


KINDS = {
    "plain": Kind("plain script: TPE, median pruner"),
    MINE: Kind("regstudy: search and confirmation", plain=False),
    "hyperband": Kind("plain script: TPE, Hyperband", ("--pruner", "hyperband"), 3),
    "random": Kind("plain script: random, no pruning", ("--sampler", "random", "--pruner", "none"), 3),
    "unpruned": Kind("regstudy --pruner none", ("--pruner", "none"), 3, plain=False),
}


@dataclass(frozen=True)
class Size:
    """How much is asked for: trainings, epochs of each at most, training images."""

    trials: int
    epochs: int
    train: int

    def __str__(self) -> str:
        return f"{self.trials}x{self.epochs}x{self.train}"

    def config(self) -> RunConfig:
        """The configuration that the space leaves open, with its defaults."""
        return load_space(SPACE, [f"data.train_limit={self.train}", f"training.epochs={self.epochs}"]).defaults()


@dataclass(frozen=True)
class Entry:
    """A contestant with a seed, and its folder."""

    name: str
    seed: int
    size: Size
    work: Path

    @property
    def folder(self) -> Path:
        """Where the finished run lies."""
        return self.work / str(self.size) / f"{self.name}_{self.seed}"

    @property
    def facts(self) -> dict[str, Any]:
        """What `run.json` says; empty if the run has not finished."""
        file = self.folder / "run.json"
        return dict(json.loads(file.read_text())) if file.exists() else {}


def run(entry: Entry, loaders: int, about: dict[str, Any]) -> None:
    """Run a contestant. The folder gets its name at the end, so a killed run neither counts nor disturbs the next."""
    for old in entry.folder.parent.glob(f"{entry.folder.name}.*"):
        shutil.rmtree(old)
    part = entry.folder.with_name(f"{entry.folder.name}.{os.getpid()}")
    part.mkdir(parents=True)
    words = _plain_command(entry, part, loaders) if KINDS[entry.name].plain else _own_command(entry)
    busy, before, began = psutil.cpu_percent(LOOK), _cpu_of_children(), time.time()
    with (part / "output.txt").open("w") as output:
        code = subprocess.run(words, cwd=part, stdout=output, stderr=subprocess.STDOUT).returncode
    seconds, cpu = time.time() - began, _cpu_of_children() - before
    if code:
        sys.exit(f"{entry.folder.name} ended with exit code {code}. {part / 'output.txt'} says why.")
    facts = {"began": began, "seconds": seconds, "cpu_seconds": cpu, "busy_before": busy, "command": words, **about}
    (part / "run.json").write_text(json.dumps(facts, indent=1))
    part.rename(entry.folder)


def read(entry: Entry) -> tuple[Contest, dict[str, RunConfig]]:
    """What a finished contestant would have answered at each moment, and the configurations by identity."""
    contest, configs = (_read_plain if KINDS[entry.name].plain else _read_own)(entry, entry.facts)
    return contest, {identity(config): config for config in configs}


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _plain_command(entry: Entry, part: Path, loaders: int) -> list[str]:
    size = entry.size
    sizes = ["--trials", str(size.trials), "--epochs", str(size.epochs), "--train", str(size.train)]
    places = ["--loaders", str(loaders), "--data-dir", str(entry.work / "data"), "--log", str(part / "log.jsonl")]
    script = [sys.executable, str(HERE / "plain_study.py"), "--seed", str(entry.seed)]
    return [*script, *sizes, *places, *KINDS[entry.name].words]


def _own_command(entry: Entry) -> list[str]:
    size = entry.size
    sets = [f"study.seed={entry.seed}", f"training.epochs={size.epochs}", f"data.train_limit={size.train}"]
    words = [sys.executable, "-m", "regstudy", "study", "--space", str(SPACE), "--study", STUDY]
    # the doctor looks, but takes many labels of so few small photos for wrong ones, which they are not
    words += ["--force", "--trials", str(size.trials), "--data-dir", str(entry.work / "data"), *KINDS[entry.name].words]
    return [*words, *(word for text in sets for word in ("--set", text))]


def _read_plain(entry: Entry, facts: dict[str, Any]) -> tuple[Contest, list[RunConfig]]:
    events: list[Event] = []
    configs: dict[int, RunConfig] = {}
    for line in map(json.loads, (entry.folder / "log.jsonl").read_text().splitlines()):
        moment, trial = line["time"] - facts["began"], line["trial"]
        if "params" in line:
            configs[trial] = _translated(line["params"], entry.size)
        elif "accuracy" in line:
            events.append(Event(moment, trial, line["accuracy"]))
        elif line["ended"] != "complete":
            events.append(Event(moment, trial, None))
    found = leaders(events)
    best = found[-1][1]
    value = max(event.value for event in events if event.trial == best and event.value is not None)
    answers = [(moment, identity(configs[trial])) for moment, trial in found]
    claims = [Claim(BEST_VALUE, identity(configs[best]), value)]
    epochs = sum(event.value is not None for event in events)
    contest = Contest(entry.name, entry.seed, facts["seconds"], facts["cpu_seconds"], epochs, answers, claims)
    return contest, [configs[trial] for trial in {trial for _, trial in found}]


def _translated(params: dict[str, Any], size: Size) -> RunConfig:
    """The plain script's recipe as a configuration of regstudy; docs/performance.md says where the two differ."""
    values = {
        "model.dropout": params["dropout"],
        "optimizer.lr": params["lr"],
        "regularization.l2": params.get("l2", 0.0),
        "regularization.l1": params.get("l1", 0.0),
        "augmentation.strength": params["augmentation"],
        "schedule.name": params["schedule"],
        "training.batch_size": params["batch_size"],
        "training.monitor": "val_loss",
        "training.patience": plain_study.PATIENCE,
        "training.tolerance": plain_study.TOLERANCE,
    }
    return size.config().replaced(values)


def _read_own(entry: Entry, facts: dict[str, Any]) -> tuple[Contest, list[RunConfig]]:
    """The best value of the search until the race starts, then its leader after each round, then what is recommended.

    These are the product's own readings of what was stored at that moment.
    """
    place = study_place(entry.folder / "results", STUDY)
    search = open_study(place)
    fresh, tables = find_confirmation(place, search), load_tables(search)
    trials = search.get_trials(deepcopy=False)
    answers = leaders(_events(trials, tables, facts["began"]))
    best = usable_trials(search)[0]
    claims, epochs = (
        [(BEST_VALUE, best.number, float(best.value or 0.0))],
        int(tables.epochs_run().sum()),
    )
    if fresh is not None:
        runs = load_tables(fresh)
        epochs += int(runs.epochs_run().sum())
        ended = {
            trial.number: trial.datetime_complete.timestamp() - facts["began"]
            for trial in fresh.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if trial.datetime_complete
        }
        for last in sorted(set(runs.trials[PARAM + ROUND].dropna())):
            so_far = runs.trials[runs.trials[PARAM + ROUND] <= last]
            found = confirmation(tables, replace(runs, trials=so_far))
            moments = [ended[number] for number in so_far["number"] if number in ended]
            if found is not None and moments:
                answers.append((max(moments), found.winner.number))
        found = confirmation(tables, runs)
        if found is not None:
            level = found.level if found.recommended is found.winner else found.baseline_level
            answers.append((max(ended.values()), found.recommended.number))
            claims.append((CONFIRMED, found.recommended.number, level.mean))
    wanted = {number for _, number in answers} | {number for _, number, _ in claims}
    configs = {number: parse_config(fact(trials[number], attributes.CONFIG), f"trial {number}") for number in wanted}
    contest = Contest(
        entry.name,
        entry.seed,
        facts["seconds"],
        facts["cpu_seconds"],
        epochs,
        [(moment, identity(configs[number])) for moment, number in answers],
        [Claim(name, identity(configs[number]), value) for name, number, value in claims],
    )
    return contest, list(configs.values())


def _events(trials: list[Any], tables: Any, began: float) -> list[Event]:
    """The epochs of the search's trials, which share a trial's whole time by their durations."""
    found: list[Event] = []
    for number, epochs in tables.epochs.groupby("number"):
        trial = trials[number]
        if trial.datetime_start is None or trial.datetime_complete is None:
            continue
        moment, end = (at.timestamp() - began for at in (trial.datetime_start, trial.datetime_complete))
        stretch = (end - moment) / epochs["seconds"].sum()
        for seconds, value in zip(epochs["seconds"], epochs[tables.measured.val], strict=True):
            moment += seconds * stretch
            found.append(Event(moment, number, value))
        if trial.state != TrialState.COMPLETE or fact(trial, attributes.OUTCOME) == "diverged":
            found.append(Event(max(moment, end), number, None))  # rounding must not put it before its last epoch
    return found
