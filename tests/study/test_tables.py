"""The trial and epoch tables of studies with known content."""

from __future__ import annotations

import math

import optuna
import pytest
from optuna.trial import TrialState
from synthetic import REGULARIZERS, make_study

from regstudy.errors import StudyError
from regstudy.records import COLUMNS
from regstudy.study import attributes
from regstudy.study.load_tables import load_tables, settings_of
from regstudy.study.tables import PARAM, SERIES, best


def test_one_row_per_trial_and_epoch() -> None:
    tables = load_tables(make_study(20, baseline=3, failed=1, diverged=1))
    assert list(tables.trials["number"]) == list(range(20))
    assert tables.trials["arm"].tolist() == ["baseline"] * 3 + ["search"] * 17
    assert tables.trials["epochs"].sum() == len(tables.epochs)
    assert set(COLUMNS) <= set(tables.epochs.columns)
    gap = tables.epochs["clean_train_accuracy"] - tables.epochs["val_accuracy"]
    assert (gap - tables.epochs["gap_accuracy"]).abs().max() < 1e-12
    assert tables.regularizers == REGULARIZERS
    assert (tables.metric, tables.direction, tables.epochs_planned) == ("val_accuracy", "maximize", 30)


def test_series_are_those_of_the_best_epoch() -> None:
    tables = load_tables(make_study(12, baseline=3))
    for _, row in tables.trials.iterrows():
        epochs = tables.epochs[tables.epochs["number"] == row["number"]]
        at_best = epochs[epochs["epoch"] == row["best_epoch"]].iloc[0]
        assert all(row[name] == at_best[name] for name in SERIES)
        assert row["value"] == row["val_accuracy"] == epochs["val_accuracy"].max()
        assert row["seconds"] == pytest.approx(2.5 * len(epochs))


def test_a_pruned_trial_counts_by_its_best_not_its_last_value() -> None:
    study = make_study(1)
    attrs = {attributes.BEST_VALUE: 0.7}
    reports = {1: 0.6, 2: 0.7, 3: 0.5}
    for user_attrs in (attrs, {}):
        study.add_trial(
            optuna.create_trial(state=TrialState.PRUNED, value=0.5, intermediate_values=reports, user_attrs=user_attrs)
        )
    assert load_tables(study).trials["value"].tolist()[1:] == [0.7, 0.7]


def test_configuration_is_flat_and_off_is_zero() -> None:
    tables = load_tables(make_study(12, baseline=3))
    baseline = tables.trials[tables.trials["arm"] == "baseline"]
    assert (baseline["regularization.l2"] == 0).all()
    assert baseline[PARAM + "regularization.l2"].isna().all()
    assert (tables.trials["augmentation.ops"] == "crop, rotate").all()
    assert tables.ranges["regularization.l2"].log and tables.ranges["schedule"].choices == (
        "constant",
        "step",
        "cosine",
    )
    assert settings_of({"a": {"b": 1, "c": [{"d": 2}]}, "e": None, "f": {}}) == {
        "a.b": 1,
        "a.c": '[{"d": 2}]',
        "e": None,
        "f": "{}",
    }


def test_best_ignores_pruned_failed_and_diverged() -> None:
    study = make_study(12, baseline=3, diverged=1)
    study.add_trial(
        optuna.create_trial(value=1.0, user_attrs={attributes.OUTCOME: "diverged", attributes.ARM: "search"})
    )
    study.add_trial(optuna.create_trial(state=TrialState.PRUNED, value=1.0, intermediate_values={1: 1.0}))
    tables = load_tables(study)
    winner, baseline = best(tables), best(tables, "baseline")
    assert winner is not None and winner["number"] < 12
    assert baseline is not None and baseline["number"] < 3
    assert best(tables, "no such arm") is None


def test_minimised_objectives() -> None:
    study = optuna.create_study(direction="minimize")
    study.add_trials([optuna.create_trial(value=value) for value in (3.0, 1.0, 2.0)])
    study.add_trial(optuna.create_trial(state=TrialState.PRUNED, intermediate_values={1: 0.5, 2: 0.9}))
    tables = load_tables(study)
    winner = best(tables)
    assert winner is not None and winner["number"] == 1
    assert tables.trials["value"].tolist() == [3.0, 1.0, 2.0, 0.5]


def test_a_plain_optuna_study_loads() -> None:
    study = optuna.create_study(direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=5)
    study.enqueue_trial({"x": 0.5})
    tables = load_tables(study)
    assert len(tables.trials) == 5  # the waiting one is left out
    assert tables.trials["arm"].isna().all() and tables.trials["best_epoch"].isna().all()
    assert tables.metric is None and tables.regularizers == {} and tables.data == {}
    assert tables.epochs.empty and list(tables.epochs.columns)
    assert best(tables) is not None


def test_an_empty_study_loads() -> None:
    tables = load_tables(optuna.create_study())
    assert tables.trials.empty and tables.epochs.empty and best(tables) is None


def test_best_epoch_of_a_running_trial_comes_from_its_records() -> None:
    study = make_study(4, baseline=3, prune=0)
    attrs = {k: v for k, v in study.trials[3].user_attrs.items() if k == attributes.EPOCHS}
    study.add_trial(optuna.create_trial(state=TrialState.RUNNING, user_attrs=attrs))
    row = load_tables(study).trials.iloc[-1]
    assert row["state"] == "RUNNING" and row["best_epoch"] > 0 and math.isfinite(row["gap_accuracy"])


def test_several_objectives_are_refused() -> None:
    with pytest.raises(StudyError, match="2 objectives"):
        load_tables(optuna.create_study(directions=["minimize", "maximize"]))
