"""Tiny studies with confirmation runs, and what their databases hold: for the tests that make them."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

import regstudy as library
from regstudy.search.events import Event
from regstudy.space.round_plan import ROUND
from regstudy.space.search_space import Space
from regstudy.study import attributes
from regstudy.study.storage import sqlite_url

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
TREE: dict[str, Any] = {
    "data": {"name": "digits", "size": 8, "train_limit": 60, "validation": 60},
    "preprocessing": {"normalize": "half"},
    "model": {"name": "tiny:cnn", "dropout": {"low": 0.0, "high": 0.5}},
    "optimizer": {"name": "adamw", "lr": {"low": 0.02, "high": 0.1, "log": True}},
    "training": {"batch_size": 20, "epochs": 3, "patience": None, "precision": "fp32"},
    "study": {"nuisance": ["optimizer.lr"]},
}


def space(**changes: Any) -> Space:
    """The tiny space with sections or their keys replaced: ``training={"epochs": 1}``."""
    return library.load_space(
        {**TREE, **{key: {**TREE.get(key, {}), **value} for key, value in changes.items()}}, name="s"
    )


def study(results: Path, trials: int, events: list[Event] | None = None, **more: Any) -> list[Event]:
    """Run the study `s` with one thread; returns all events."""
    heard: list[Event] = [] if events is None else events
    given = {"name": "s", "results": results, "doctor": False, "threads": 1, "progress": heard.append}
    library.run_study(more.pop("space", None) or space(), trials=trials, **{**given, **more})
    return heard


def confirm(path: Path, **more: Any) -> list[Event]:
    """Confirm the winner of the study in a folder with one thread; returns all events."""
    heard: list[Event] = []
    library.confirm(path, **{"threads": 1, "progress": heard.append, **more})
    return heard


def load(folder: Path, name: str | None = None) -> optuna.Study:
    """A study of a folder as plain Optuna sees it; by default the one called as the folder."""
    return optuna.load_study(study_name=name or folder.name, storage=sqlite_url(folder / "study.db"))


def runs_of(folder: Path, name: str | None = None) -> list[FrozenTrial]:
    """The finished confirmation runs of a folder's study in the order of their slots; none without such a study."""
    names = optuna.get_all_study_names(sqlite_url(folder / "study.db"))
    wanted = f"{name or folder.name}/confirmation"
    trials = load(folder, wanted).trials if wanted in names else []
    return sorted((one for one in trials if one.state in FINISHED), key=lambda one: one.user_attrs[attributes.SLOT])


def finished(folder: Path) -> tuple[int, int]:
    """How many search trials and confirmation runs are finished, each slot once."""
    found = []
    for trials in (load(folder).trials, runs_of(folder)):
        slots = Counter(one.user_attrs[attributes.SLOT] for one in trials if one.state in FINISHED)
        assert slots == Counter(range(len(slots))), slots
        found.append(len(slots))
    return found[0], found[1]


def table(folder: Path, name: str | None = None) -> dict[tuple[str, int], tuple[Any, ...]]:
    """By arm and round: value and recorded curve of each confirmation run."""
    found = {}
    for one in runs_of(folder, name):
        epochs = one.user_attrs[attributes.EPOCHS]
        seconds = epochs["columns"].index("seconds")
        curve = tuple(tuple(cell for at, cell in enumerate(row) if at != seconds) for row in epochs["rows"])
        key = one.user_attrs[attributes.ARM], one.params[ROUND]
        assert key not in found and one.value is not None and math.isfinite(one.value)
        found[key] = (one.value, curve)
    return found


def assert_paired(folder: Path) -> None:
    """All runs of a round share seed and split, rounds differ in them, and every leader's rounds are the baseline's."""
    seeds: dict[int, set[tuple[int, int]]] = {}
    rounds: dict[str, set[int]] = {}
    for one in runs_of(folder):
        config = one.user_attrs[attributes.CONFIG]
        number = one.params[ROUND]
        seeds.setdefault(number, set()).add((config["training"]["seed"], config["data"]["split_seed"]))
        rounds.setdefault(one.user_attrs[attributes.ARM], set()).add(number)
    assert all(len(each) == 1 for each in seeds.values()), seeds
    assert len({seed for each in seeds.values() for seed, _ in each}) == len(seeds)
    baseline = rounds.pop("baseline")
    assert baseline == set(range(1, len(baseline) + 1))
    for arm, mine in rounds.items():
        assert mine == set(range(1, len(mine) + 1)) <= baseline, arm
