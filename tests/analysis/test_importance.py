"""Importances against their permutation null."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from synthetic import draw, make_study

from regstudy.analysis.importance import BLOCK, COLUMNS, counts, importances, shuffled
from regstudy.analysis.table import load_tables

STRONG = {"model.dropout": 0.12}
PLACEBOS = {
    "training.batch_size", "schedule", "schedule.step.gamma", "regularization.l1", "regularization.l2",
    "regularization.label_smoothing", "augmentation.strength",
}  # fmt: skip


def test_the_real_parameter_is_named_for_both_targets() -> None:
    study = make_study(80, seed=2, effects=STRONG)
    frame = importances(study, load_tables(study), permutations=100)
    assert list(frame.columns) == COLUMNS
    named = frame[frame["above_chance"]]
    assert set(zip(named["target"], named["parameter"], strict=True)) >= {
        ("val_accuracy", "model.dropout"),
        ("gap", "model.dropout"),
    }
    rest = frame[~frame["above_chance"]]
    assert rest["note"].str.contains("cannot be told from chance with").all()


@pytest.mark.parametrize("n", [10, 43, 50])
def test_shuffling_stays_among_neighbours(n: int) -> None:
    ranks = np.arange(n, dtype=float)
    found = shuffled(ranks, np.random.default_rng(0))
    assert sorted(found) == list(ranks) and not np.array_equal(found, ranks)
    assert np.abs(found - ranks).max() < 2 * BLOCK


def test_switch_and_strength_are_one_row() -> None:
    study = make_study(30)
    frame = importances(study, load_tables(study), permutations=20)
    names = set(frame["parameter"])
    assert "regularization.l2" in names and not any(name.endswith(".on") for name in names)


def test_same_seed_same_table() -> None:
    study = make_study(30)
    tables = load_tables(study)
    a, b = (importances(study, tables, seed=4, permutations=20) for _ in range(2))
    assert a.equals(b)


def test_the_baseline_arm_is_left_out_and_trials_are_counted() -> None:
    study = make_study(40, baseline=5, diverged=2, failed=1, hobbled=3, prune=0.25)
    tables = load_tables(study)
    found = counts(tables)
    assert (found.baseline, found.diverged, found.failed, found.excluded) == (5, 2, 1, 3)
    frame = importances(study, tables, permutations=20)
    used = frame.groupby("target")["trials_used"].first()
    assert used["val_accuracy"] == found.complete + found.pruned + found.diverged
    assert used["gap"] == found.complete - found.excluded


@pytest.mark.parametrize("trials", [0, 1, 9])
def test_too_few_trials_say_so(trials: int) -> None:
    study = make_study(trials, baseline=0)
    frame = importances(study, load_tables(study))
    assert frame["importance"].isna().all() and not frame["above_chance"].any()
    assert frame["note"].str.contains("too few trials").all()


def test_all_pruned() -> None:
    study = make_study(30, baseline=0, prune=1.0)
    frame = importances(study, load_tables(study))
    assert not frame.empty and frame["importance"].isna().all()


def test_a_plain_optuna_study() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1) + 0 * trial.suggest_float("y", 0, 1), n_trials=40)
    frame = importances(study, load_tables(study), permutations=100)
    objective = frame[frame["target"] == "val_accuracy"].set_index("parameter")
    assert objective.loc["x", "above_chance"] and not objective.loc["y", "above_chance"]
    assert frame.loc[frame["target"] == "gap", "importance"].isna().all()


@pytest.mark.slow
def test_placebos_are_named_in_about_five_percent_of_studies() -> None:
    rng = np.random.default_rng(0)
    assert draw(rng, baseline=True)["model.dropout"] == 0
    wrong = {"val_accuracy": 0, "gap": 0}
    studies = 40
    for seed in range(studies):
        study = make_study(50, seed=seed, effects=STRONG, prune=0.0, epochs=4)
        frame = importances(study, load_tables(study), permutations=100, seed=seed)
        named = frame[frame["above_chance"] & frame["parameter"].isin(PLACEBOS)]
        for target in wrong:
            wrong[target] += bool((named["target"] == target).any())
    assert max(wrong.values()) <= 5  # 40 × 5 % = 2; more than 5 has probability 0.014
