"""Learning curves of known shape, and where the best epoch lies in the budget."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import optuna
import pandas as pd
import pytest

from regstudy.analysis.curves import MIN_EPOCHS, annealed, connected_runs, diagnose, overfitting
from regstudy.records import COLUMNS, EpochRecord, dump_records
from regstudy.report.curve_checks import StudyCheck, budget, look_at_curves
from regstudy.study import attributes
from regstudy.study.load_tables import load_tables

Shape = Callable[[float], float]  # of the share of the run that is over, 0 to 1


def constant(value: float) -> Shape:
    return lambda _: value


def healthy_accuracy(share: float) -> float:
    return 0.9 * (1 - math.exp(-6 * min(share, 0.7)))


def rows(n: int = 40, **series: Shape | list[float]) -> pd.DataFrame:
    """A healthy run of ``n`` epochs with some series replaced."""
    shares = np.linspace(0, 1, n)
    shapes: dict[str, Shape] = {
        "train_loss": lambda s: 0.1 + 2.2 * math.exp(-5 * s),
        "clean_train_loss": lambda s: 0.05 + 2.2 * math.exp(-5 * s),
        "val_loss": lambda s: 0.4 + 2.0 * math.exp(-5 * s),
        "val_accuracy": healthy_accuracy,
        "lr": constant(1e-3),
    }
    frame = pd.DataFrame(dict.fromkeys(COLUMNS, 0.0), index=range(n))
    frame["epoch"] = np.arange(1, n + 1)
    for name, shape in (shapes | series).items():
        frame[name] = shape if isinstance(shape, list) else [shape(share) for share in shares]
    return frame


def overfit(share: float) -> float:
    return 2.0 - 4 * share if share < 0.4 else 0.4 + 0.5 * (share - 0.4)


def rising_at_the_end(share: float) -> float:
    return 0.3 + 0.5 * share


def slowly(rise: float) -> Shape:
    return lambda share: 0.3 + 0.5 * min(share, 0.7) + rise * max(share - 0.7, 0.0)


def bump(share: float) -> float:
    return 0.5 if share < 0.74 else 0.6


zigzag = [0.8 + (0.03 if i % 2 else -0.03) for i in range(40)]
early_loss = [2.4 - 0.2 * i for i in range(10)] + [0.4] * 30


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ({}, set()),
        ({"val_loss": overfit}, {"overfitting"}),
        ({"val_loss": overfit, "clean_train_loss": overfit}, set()),  # training got worse as well
        ({"val_loss": [*early_loss[:-3], 0.55, 0.55, 0.55]}, set()),  # 7.5 % of the fall
        ({"val_loss": [*early_loss[:-3], 0.65, 0.65, 0.65]}, {"overfitting"}),  # 12.5 %
        ({"val_loss": [*early_loss[:-1], math.inf]}, set()),  # an epoch that is not finite is left out
        ({"val_accuracy": zigzag}, {"unsteady", "saturated long before the end"}),
        ({"val_accuracy": rising_at_the_end}, {"still improving at the end"}),
        ({"val_accuracy": slowly(0.035)}, {"still improving at the end"}),  # 0.8 points over the last quarter
        ({"val_accuracy": slowly(0.015)}, set()),  # 0.3 points
        ({"val_accuracy": lambda s: 0.9 * min(1.0, 4 * s)}, {"saturated long before the end"}),
        ({"train_loss": bump}, {"training loss rising"}),
        ({"train_loss": bump, "lr": lambda s: 1e-3 if s < 0.74 else 1e-2}, set()),  # the rate rose
        ({"train_loss": bump, "lr": lambda s: 1e-2 if s < 0.74 else 1e-3}, {"training loss rising"}),
        ({"train_loss": lambda s: 0.52 if s >= 0.74 else 0.5}, set()),  # 4 %
        ({"train_loss": [2.0] + [1e-5] * 29 + [2e-5] * 10}, set()),  # nothing is left of it
        ({"val_accuracy": constant(math.nan), "val_loss": constant(math.nan)}, set()),
    ],
)
def test_diagnoses(series: dict[str, Shape | list[float]], expected: set[str]) -> None:
    found = diagnose(rows(**series))
    assert found is not None and set(found) == expected


def test_the_order_of_the_rows_does_not_matter() -> None:
    shuffled = rows(val_loss=overfit).sample(frac=1, random_state=0)
    assert diagnose(shuffled) == ["overfitting"]


def test_a_run_that_early_stopping_ended_is_not_called_saturated() -> None:
    flat = rows(val_accuracy=lambda s: 0.9 * min(1.0, 4 * s))
    assert diagnose(flat, stopped=True) == []


@pytest.mark.parametrize("epochs", [0, 1, 3, MIN_EPOCHS - 1])
def test_short_runs_are_not_judged(epochs: int) -> None:
    assert diagnose(rows(40).iloc[:epochs]) is None
    assert diagnose(rows(40).iloc[:MIN_EPOCHS]) is not None


def test_annealed() -> None:
    assert annealed(rows(lr=lambda s: 1e-3 * (1 - 0.99 * s)))
    assert not annealed(rows()) and not annealed(rows().iloc[:0])
    assert not annealed(rows(lr=constant(math.nan)))


def study(curves: list[pd.DataFrame], planned: int | None = 40, best_epochs: list[int] | None = None) -> optuna.Study:
    """Trials with these curves, the first the best; their best epochs follow from the curves unless given."""
    made = optuna.create_study(direction="maximize")
    made.set_user_attr(attributes.METRIC, "val_accuracy")
    if planned:
        made.set_user_attr(attributes.EPOCHS_PLANNED, planned)
    for i, frame in enumerate(curves):
        records = [EpochRecord(**{name: row[name] for name in COLUMNS}) for row in frame.to_dict("records")]
        attrs = {attributes.EPOCHS: dump_records(records), attributes.ARM: "search", attributes.OUTCOME: "finished"}
        if best_epochs:
            attrs[attributes.BEST_EPOCH] = best_epochs[i]
        made.add_trial(optuna.create_trial(value=0.9 - 0.01 * i, user_attrs=attrs))
    return made


def only(found: list[StudyCheck], start: str) -> StudyCheck:
    matching = [check for check in found if check.id.startswith(start)]
    assert len(matching) == 1, found
    return matching[0]


def test_a_diagnosis_names_the_trials_it_holds_for_among_the_best_three() -> None:
    sick, well = rows(val_loss=overfit), rows()
    found = list(look_at_curves(load_tables(study([sick, well, sick, rows(train_loss=bump)]))))
    check = only(found, "curve")
    assert (check.id, check.severity) == ("curve:overfitting", "note")
    assert "trials 0, 2 (of the best 3)" in check.finding and check.advice


def test_a_rising_training_loss_is_to_be_acted_on() -> None:
    check = only(list(look_at_curves(load_tables(study([rows(train_loss=bump)])))), "curve")
    assert (check.id, check.severity) == ("curve:training_loss_rising", "act")


def test_healthy_and_short_curves_are_said_to_be_so() -> None:
    check = only(list(look_at_curves(load_tables(study([rows()] * 3)))), "curve")
    assert (check.id, check.severity, check.advice) == ("curve", "fine", "")
    check = only(list(look_at_curves(load_tables(study([rows().iloc[:5]] * 3)))), "curve")
    assert (check.id, check.severity) == ("curve:short", "fine") and "trials 0, 1, 2" in check.finding
    assert not list(look_at_curves(load_tables(optuna.create_study())))


def down(share: float) -> float:
    return 1e-3 * (1 - 0.99 * share)


@pytest.mark.parametrize(
    ("best_epochs", "run_down", "severity", "words"),
    [
        ([20, 20, 20, 20, 20], False, "fine", ""),
        ([30, 30, 30, 30, 30], False, "fine", ""),  # exactly three quarters
        ([31, 31, 31, 20, 20], False, "act", "Raise"),
        ([40, 20, 20, 20, 20], False, "note", "Raise"),
        ([20, 40, 40, 40, 20], False, "note", "Raise"),
        ([40, 40, 40, 40, 40], True, "note", "had decayed"),
        ([4, 4, 4, 20, 20], False, "act", "Lower"),  # exactly a tenth
        ([5, 5, 5, 20, 20], False, "fine", ""),
        ([3, 20, 20, 20, 20], False, "note", "Lower"),
        ([40], False, "note", "Raise"),  # one trial is too little to act on
        ([40] * 5 + [1] * 20, False, "act", "Raise"),  # only the top five count
    ],
)
def test_budget(best_epochs: list[int], run_down: bool, severity: str, words: str) -> None:
    curve = rows(lr=down) if run_down else rows()
    check = only(list(budget(load_tables(study([curve] * len(best_epochs), 40, best_epochs)))), "budget")
    assert check.severity == severity and words in check.advice and bool(check.advice) == (severity != "fine")


def test_the_budget_says_how_many_of_the_top_five() -> None:
    made = study([rows()] * 7, 40, [40, 35, 33, 31, 30, 40, 40])
    check = only(list(budget(load_tables(made))), "budget")
    assert "best trial was 40; median of the top 5: 33 (4 of 5 are in the last quarter of training)" in check.finding


def test_without_a_plan_or_a_best_epoch_there_is_no_budget_to_judge() -> None:
    assert not list(budget(load_tables(study([rows()], None))))
    assert not list(budget(load_tables(study([rows()], 40, [0]))))


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ([0.5, math.nan, math.nan, 0.8], [0.5, 0.6, 0.7, 0.8]),
        ([0.5, math.nan, 0.7, math.nan], [0.5, 0.6, 0.7, math.nan]),  # nothing is known beyond the last one
        ([math.nan, 0.5, 0.6, 0.7], [math.nan, 0.5, 0.6, 0.7]),
        ([math.nan] * 4, [math.nan] * 4),
    ],
)
def test_lines_connect_the_epochs_that_were_measured(measured: list[float], expected: list[float]) -> None:
    run = pd.DataFrame({"number": 7, "epoch": [1, 2, 3, 4], "clean_train_loss": measured})
    other = run.assign(number=8, clean_train_loss=0.1)
    both = connected_runs(pd.concat([run, other]).sort_values("epoch"), ["clean_train_loss"])
    found = both[both["number"] == 7].sort_values("epoch")["clean_train_loss"]
    assert found.tolist() == pytest.approx(expected, nan_ok=True)
    assert (both.loc[both["number"] == 8, "clean_train_loss"] == 0.1).all()


def test_a_run_overfits_however_often_clean_training_was_measured() -> None:
    val = [1.0, 0.8, 0.6, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1]
    clean = [1.0, 0.7, 0.5, 0.4, math.nan, math.nan, 0.25, math.nan, math.nan, 0.1]
    assert overfitting(pd.DataFrame({"epoch": range(1, 11), "val_loss": val, "clean_train_loss": clean}))
