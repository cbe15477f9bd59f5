"""The rules on arrays of benchmarks/fidelity_rules.py against the pruners that they stand for."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import optuna
import pytest

from regstudy.search.pruner import SignalPruner
from regstudy.space.search_space import is_baseline

EPOCHS, TRIALS = 20, 60


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark's rules."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("fidelity_rules")


def stream_of(rules: ModuleType) -> object:
    """A stream of curves that saturate at random levels and paces."""
    world, rng = importlib.import_module("fidelity_world"), np.random.default_rng(0)
    steps = np.arange(1, EPOCHS + 1)
    values = rng.random((TRIALS, 1)) * (1 - np.exp(-steps / rng.uniform(1, 9, (TRIALS, 1))))
    values += 0.01 * rng.normal(size=values.shape)
    best, base = np.maximum.accumulate(values, axis=1), np.array([is_baseline(slot) for slot in range(TRIALS)])
    whole, luck = np.full(TRIALS, EPOCHS), np.ones((TRIALS, 2))
    return rules.Stream(values, best, world._features(best), values[:, -1], np.empty((TRIALS, 1)), base, luck, whole)


@pytest.mark.parametrize(
    ("name", "settings", "pruner"),
    [
        ("Signal", {}, SignalPruner(EPOCHS, audit=0.0)),
        ("Signal", {"chance": 0.6}, SignalPruner(EPOCHS, 0.6, audit=0.0)),
        ("Percentile", {"share": 0.5, "warm_up": 0.3}, optuna.pruners.MedianPruner(5, math.ceil(0.3 * EPOCHS))),
        ("Percentile", {"share": 0.25, "warm_up": 0.1}, optuna.pruners.PercentilePruner(75.0, 5, 2)),
        ("Halving", {"share": 0.1, "factor": 2}, optuna.pruners.SuccessiveHalvingPruner(2, 2)),
    ],
)
def test_a_rule_ends_trials_as_its_pruner_does(
    rules: ModuleType, name: str, settings: dict[str, float], pruner: optuna.pruners.BasePruner
) -> None:
    stream = stream_of(rules)
    spent = getattr(rules, name)(**settings)(stream, math.inf)
    study, lengths = optuna.create_study(direction="maximize", pruner=pruner), []
    for values, baseline in zip(stream.values, stream.baseline, strict=True):  # type: ignore[attr-defined]
        trial, pruned = study.ask(), False
        for epoch, value in enumerate(values, start=1):
            trial.report(float(value), epoch)
            pruned = epoch < EPOCHS and not baseline and trial.should_prune()
            if pruned:
                break
        state = optuna.trial.TrialState.PRUNED if pruned else None
        study.tell(trial, None if pruned else float(values.max()), state)
        lengths.append(epoch)
    assert np.diff(spent.over, prepend=0).tolist() == lengths
    assert 5 < sum(length < EPOCHS for length in lengths) < TRIALS


def test_a_promoted_trial_is_full_and_costs_its_epochs_once(rules: ModuleType) -> None:
    stream = stream_of(rules)
    spent = rules.Promotion()(stream, 30 * EPOCHS)
    full = np.isfinite(spent.full)
    assert stream.baseline[np.isfinite(spent.over)].sum() <= full.sum() < np.isfinite(spent.over).sum()  # type: ignore[attr-defined]
    assert (np.sort(spent.full[full])[1:] > np.sort(spent.full[full])[:-1]).all()
    assert (spent.over[full] <= spent.full[full]).all()
