"""Importances against their permutation null."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState
from synthetic import SPACE, draw, final, make_study

from regstudy.analysis.gap import compare, relations
from regstudy.analysis.importance import COLUMNS, SHUFFLE_BLOCK, counts, importances, shuffled
from regstudy.study.load_tables import load_tables

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
    assert rest["note"].str.contains("not above chance").all()


@pytest.mark.parametrize("n", [10, 43, 50])
def test_shuffling_stays_among_neighbours(n: int) -> None:
    ranks = np.arange(n, dtype=float)
    found = shuffled(ranks, np.random.default_rng(0))
    assert sorted(found) == list(ranks) and not np.array_equal(found, ranks)
    assert np.abs(found - ranks).max() < 2 * SHUFFLE_BLOCK


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
    assert draw(np.random.default_rng(0), baseline=True)["model.dropout"] == 0
    study = make_study(40, baseline=5, diverged=2, failed=1, underfit=3, prune=0.25)
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


CONDITIONAL = ("gamma", "regularization.l2", "regularization.l1")
CUT = ("augmentation.strength", 0.6)


def times_named(studies: int, **made: Any) -> Counter[tuple[str, str]]:
    """In how many studies of 50 trials each parameter is named, by target; as ``any placebo`` those of `PLACEBOS`."""
    found: Counter[tuple[str, str]] = Counter()
    for seed in range(studies):
        study = make_study(**({"trials": 50} | made), seed=seed, epochs=4)
        frame = importances(study, load_tables(study), permutations=100, seed=seed)
        named = set(zip(*(frame.loc[frame["above_chance"], ["target", "parameter"]].T.to_numpy()), strict=True))
        placebos = {(target, "any placebo") for target, parameter in named if parameter in PLACEBOS}
        found.update(named | placebos)
    return found


@pytest.mark.parametrize(
    ("studies", "most"),
    [
        (30, 6),  # at a true rate of 5 %, more has probability 0.003
        pytest.param(200, 20, marks=pytest.mark.table),  # 0.001; seen with these seeds: 10 and 6
    ],
)
def test_placebos_are_named_in_about_five_percent_of_studies(studies: int, most: int) -> None:
    found = times_named(studies, effects=STRONG, prune=0.0)
    for target in ("val_accuracy", "gap"):
        assert found[target, "any placebo"] <= most
        assert found[target, "model.dropout"] >= 0.9 * studies  # or nothing is named at all


@pytest.mark.table
def test_a_search_that_learns_names_few_placebos() -> None:
    """Seen: 11 of 160 studies, 5 of the first 40."""
    wrong = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for _ in range(50):
            trial = study.ask({name: span for name, span in SPACE.items() if not name.endswith(CONDITIONAL)})
            more = {"schedule.step.gamma": trial.params["schedule"] == "step"}
            more |= {path: trial.params[f"{path}.on"] for path in ("regularization.l2", "regularization.l1")}
            for name in (name for name, wanted in more.items() if wanted):
                trial._suggest(name, SPACE[name])
            study.tell(trial, final(trial.params, STRONG, rng, 0.012)[1])
        frame = importances(study, load_tables(study), permutations=100, seed=seed)
        wrong += bool(set(frame.loc[frame["above_chance"], "parameter"]) & PLACEBOS)
    assert wrong <= 8  # at a true rate of 5 %, more has probability 0.0001


@pytest.mark.table
def test_what_decides_pruning_only_is_named_for_the_metric_and_not_for_the_gap() -> None:
    """Seen with these seeds: 29 of 40 studies of 80 trials, and 12 of 40 of 50 trials, where the test is weak."""
    found = times_named(40, trials=80, effects=STRONG, cut_above=CUT)
    assert found["val_accuracy", CUT[0]] >= 20
    assert found["gap", CUT[0]] <= 6


def test_what_decides_pruning_only_is_first_in_a_large_study() -> None:
    study = make_study(200, seed=1, effects={}, cut_above=CUT)
    frame = importances(study, load_tables(study), permutations=100)
    metric = frame[frame["target"] == "val_accuracy"]
    assert metric["parameter"].iloc[0] == CUT[0] and metric["above_chance"].iloc[0]
    assert not frame.loc[(frame["target"] == "gap") & (frame["parameter"] == CUT[0]), "above_chance"].any()


def test_trials_cut_early_do_not_touch_the_gap() -> None:
    """Their gap is small because they are young: here 11 points instead of 20."""
    study = make_study(60, seed=3, effects=STRONG, cut_above=CUT)
    trials = load_tables(study).trials
    cut = trials["state"] == "PRUNED"
    assert trials.loc[cut, "gap_accuracy"].median() < trials.loc[~cut, "gap_accuracy"].median() - 0.02
    ended = optuna.create_study(direction="maximize")
    for key, value in study.user_attrs.items():
        ended.set_user_attr(key, value)
    ended.add_trials([trial for trial in study.get_trials() if trial.state != TrialState.PRUNED])
    tables = [load_tables(study), load_tables(ended)]
    with_cut, without = (
        frame.loc[frame["target"] == "gap", ["parameter", "importance", "stable_low", "stable_high", "trials_used"]]
        for frame in (importances(study, tables[0], permutations=20), importances(ended, tables[1], permutations=20))
    )
    pd.testing.assert_frame_equal(with_cut.reset_index(drop=True), without.reset_index(drop=True))
    a, b = (compare(table) for table in tables)
    assert a.challenger is not None and b.challenger is not None and a.challenger.gap == b.challenger.gap
    assert [r.rho for r in relations(tables[0])] == pytest.approx([r.rho for r in relations(tables[1])], abs=0.02)


def test_bands_hold_most_importances_and_narrow_with_more_trials() -> None:
    widths = []
    for n in (40, 400):
        study = make_study(n, seed=2, effects=STRONG, epochs=2)
        frame = importances(study, load_tables(study), permutations=20)
        inside = frame["importance"].between(frame["stable_low"], frame["stable_high"])
        assert (frame["stable_low"] <= frame["stable_high"]).all() and inside.mean() > 0.6
        first = frame.iloc[0]
        widths.append((first["stable_high"] - first["stable_low"]) / first["importance"])
    assert widths[1] < widths[0] / 1.5
