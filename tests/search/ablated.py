"""Tiny studies whose winner has several regularizers on, and what their databases hold of its ablation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from search.confirmed import FINISHED, TREE, load

import regstudy as library
from regstudy.analysis.ablation_rates import is_try
from regstudy.search.events import Event
from regstudy.space.round_plan import ROUND
from regstudy.space.search_space import Space
from regstudy.study import attributes
from regstudy.study.storage import sqlite_url

THREE: dict[str, Any] = {
    "model": {"name": "tiny:cnn", "dropout": {"low": 0.1, "high": 0.3}},
    "optimizer": {"name": "adamw", "lr": 0.05},
    "regularization": {"label_smoothing": {"low": 0.01, "high": 0.1}},
    "augmentation": {"strength": {"low": 0.1, "high": 0.3}, "ops": ["shift", "rotate"]},
    "training": {**TREE["training"], "epochs": 2},
    "study": {},
}
ONE: dict[str, Any] = {**THREE, "regularization": {}, "augmentation": {}}
TWO: dict[str, Any] = {**THREE, "augmentation": {}}


def space(**sections: Any) -> Space:
    """The space of three regularizers with sections replaced."""
    return library.load_space({**TREE, **THREE, **sections}, name="s")


def searched(results: Path, asked: Space | None = None, trials: int = 4, **more: Any) -> Path:
    """A study `s` without confirmation runs unless these are asked for; its folder."""
    given = {"confirm": 0.0, "name": "s", "results": results, "doctor": False, "threads": 1, "progress": lambda _: None}
    library.run_study(asked or space(), trials=trials, **{**given, **more})
    return results / "s"


def ablate(path: Path, **more: Any) -> list[Event]:
    """Take the winner of the study in a folder apart with one thread; returns all events."""
    heard: list[Event] = []
    library.ablate(path, **{"threads": 1, "progress": heard.append, **more})
    return heard


def runs_of(folder: Path, name: str | None = None) -> list[FrozenTrial]:
    """The finished ablation runs of a folder's study in the order of their slots."""
    trials = load(folder, f"{name or folder.name}/ablation").trials
    return sorted((one for one in trials if one.state in FINISHED), key=lambda one: one.user_attrs[attributes.SLOT])


def table(folder: Path, name: str | None = None) -> dict[tuple[str, int], tuple[Any, ...]]:
    """By arm and repeat: value and recorded curve of each ablation run."""
    found = {}
    for one in runs_of(folder, name):
        epochs = one.user_attrs[attributes.EPOCHS]
        seconds = epochs["columns"].index("seconds")
        curve = tuple(tuple(cell for at, cell in enumerate(row) if at != seconds) for row in epochs["rows"])
        key = one.user_attrs[attributes.ARM], one.params[ROUND]
        assert key not in found and one.value is not None and math.isfinite(one.value)
        found[key] = (one.value, curve)
    return found


def repeats_of(folder: Path, name: str | None = None) -> dict[str, list[int]]:
    """By arm, its repeats."""
    found: dict[str, list[int]] = {}
    for arm, repeat in sorted(table(folder, name)):
        found.setdefault(arm, []).append(repeat)
    return found


def assert_paired(folder: Path, name: str | None = None) -> dict[int, tuple[int, int]]:
    """All runs of a repeat share seed and split, which no other repeat and no other run has; these seeds by repeat.

    Runs that choose learning rates have repeats of their own.
    """
    seeds: dict[tuple[bool, int], set[tuple[int, int]]] = {}
    for one in runs_of(folder, name):
        config, repeat = one.user_attrs[attributes.CONFIG], (is_try(one.user_attrs[attributes.ARM]), one.params[ROUND])
        seeds.setdefault(repeat, set()).add((config["training"]["seed"], config["data"]["split_seed"]))
    assert all(len(each) == 1 for each in seeds.values()), seeds
    found = {repeat: next(iter(each)) for repeat, each in seeds.items()}
    assert len({training for training, _ in found.values()}) == len(found)
    used = {seed for other in others(folder, name) for seed in seeds_of(other)}
    assert used.isdisjoint(training for training, _ in found.values())
    return {repeat: each for (tried, repeat), each in found.items() if not tried}


def others(folder: Path, name: str | None = None) -> list[FrozenTrial]:
    """The trials of the search, and its confirmation runs."""
    name = name or folder.name
    known = optuna.get_all_study_names(sqlite_url(folder / "study.db"))
    return [one for each in (name, f"{name}/confirmation") if each in known for one in load(folder, each).trials]


def seeds_of(trial: FrozenTrial) -> list[int]:
    """The training seed of a trial, if it stores its configuration."""
    config = trial.user_attrs.get(attributes.CONFIG)
    return [config["training"]["seed"]] if config else []
