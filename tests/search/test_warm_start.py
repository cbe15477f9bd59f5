"""The replays of benchmarks/warm_start.py on a small planted bank: the machinery, not the figures."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import optuna
import pytest

from regstudy.space.loader import space_from_tree
from regstudy.study.start import Start

TREE = {
    "data": {"name": "digits"},
    "model": {"name": "small_cnn", "dropout": {"low": 0.0, "high": 0.5}},
    "optimizer": {"name": "adamw", "lr": {"low": 1e-4, "high": 1e-2, "log": True}},
}


@pytest.fixture
def warm_start(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark, whose only world is best at a dropout of 0.4."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    module = importlib.import_module("warm_start")
    space, points = space_from_tree(TREE, "planted", "planted"), []
    for seed in range(40):
        trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
        space.suggest(trial)
        points.append(trial.params)
    quality = np.array([90 - 40 * abs(point["model.dropout"] - 0.4) for point in points])
    planted = module.fitted(space, points, quality, 0.1)
    assert abs(planted.truth({"model.dropout": 0.4, "optimizer.lr": 1e-3}) - 90) < 1.5
    monkeypatch.setattr(module, "world", lambda _: planted)
    return module


def test_a_replay_starts_from_the_best_of_the_earlier_study(warm_start: ModuleType) -> None:
    world = warm_start.world("")
    earlier, searched = warm_start.search(world, 12, 1, Start(), "others")
    start = warm_start.start_from(warm_start.changed(earlier, "related", 1), world.space, "the same")
    best = max((t for t in earlier.trials if t.user_attrs["regstudy:arm"] == "search"), key=lambda t: t.value)
    assert start.tries[1] == best.params
    assert start.sources[0].known == ()  # on other images
    _, warm = warm_start.search(world, 12, 2, start, "the same")
    assert warm.truths[1] == pytest.approx(searched.truths[best.number])
    assert warm.quality("found")[-1] == warm.truths.max()


def test_reversed_values_start_from_the_worst(warm_start: ModuleType) -> None:
    world = warm_start.world("")
    earlier, _ = warm_start.search(world, 12, 1, Start(), "the same")
    start = warm_start.start_from(warm_start.changed(earlier, "reversed", 1), world.space, "the same")
    worst = min((t for t in earlier.trials if t.user_attrs["regstudy:arm"] == "search"), key=lambda t: t.value)
    assert start.tries[1] == worst.params
    assert len(start.sources[0].known) == 12


def test_the_table_has_a_row_per_case_and_quality(warm_start: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_start, "OLD", 8)
    monkeypatch.setattr(warm_start, "COLD", 8)
    monkeypatch.setattr(warm_start, "WARM", 6)
    monkeypatch.setattr(warm_start, "MORE", 2)
    replays = [warm_start.replay("shuffled", "a", "b", seed) for seed in range(2)]
    lines = warm_start.table([warm_start.summary("shuffled", "a", "b", replays)])
    assert len(lines) == 4
    assert all(line.count("|") == 11 for line in lines)
