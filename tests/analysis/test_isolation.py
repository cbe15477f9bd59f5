from __future__ import annotations

import math

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from synthetic import make_study

from regstudy.analysis.isolation import RangePart, best_part, isolation, settings
from regstudy.study.tables import load_tables


def plain_study(values: dict[float, list[float]], direction: str = "maximize") -> optuna.Study:
    """Trials at given places of one parameter in 0..1 with given objectives."""
    study = optuna.create_study(direction=direction)
    span = {"x": optuna.distributions.FloatDistribution(0, 1)}
    for place, outcomes in values.items():
        for value in outcomes:
            study.add_trial(create_trial(value=value, params={"x": place}, distributions=span))
    return study


@pytest.mark.parametrize(("direction", "best", "top"), [("maximize", 8.0, 7.5), ("minimize", 1.0, 1.5)])
def test_best_and_best_quarter_of_a_part(direction: str, best: float, top: float) -> None:
    study = plain_study({0.1: [1, 2, 3, 4, 5, 6, 7, 8], 0.6: [1, 1], 0.2: [], 0.9: [9], 0.3: [0], 0.35: [0]}, direction)
    first, second, third, fourth = isolation(load_tables(study), "x")
    assert (first.best, first.top_quarter, first.observed) == (best, top, 8)
    assert [part.observed for part in (second, third, fourth)] == [2, 2, 1]
    assert (first.low, fourth.high) == (0.0, 1.0)


def test_the_parts_of_a_log_range_are_equally_wide_on_its_scale_and_off_comes_first() -> None:
    parts = isolation(load_tables(make_study(60)), "regularization.l2")
    assert [part.label for part in parts] == [
        "off",
        "1e-06 – 1e-05",
        "1e-05 – 0.0001",
        "0.0001 – 0.001",
        "0.001 – 0.01",
    ]


def test_every_search_trial_is_in_one_part_and_no_baseline_trial_in_any() -> None:
    tables = load_tables(make_study(60, baseline=10, diverged=1))
    search = tables.trials["arm"] != "baseline"
    for path in [*tables.searched(), *settings(tables)]:
        parts = isolation(tables, path)
        assert sum(part.observed for part in parts) == int((tables.observed() & search).sum()), path
        assert sum(part.pruned for part in parts) == int((tables.trials["state"] == "PRUNED").sum()), path


def test_a_choice_has_a_part_per_value_and_a_setting_that_never_varied_none() -> None:
    tables = load_tables(make_study(60))
    assert {part.label for part in isolation(tables, "schedule.name")} == {"constant", "step", "cosine"}
    assert isolation(tables, "training.epochs") == []
    assert isolation(tables, "no.such.path") == []


def test_nuisances_are_settings_and_regularizers_are_not() -> None:
    tables = load_tables(make_study(60))
    assert settings(tables) == ["optimizer.lr", "training.batch_size", "schedule.name"]
    assert settings(load_tables(plain_study({0.1: [1, 2], 0.6: [1, 1]}))) == ["x"]


def test_a_part_in_which_everything_was_pruned_has_no_objective() -> None:
    study = plain_study({0.1: [1, 2], 0.6: [1, 1], 0.3: [0]})
    span = {"x": optuna.distributions.FloatDistribution(0, 1)}
    study.add_trial(
        create_trial(state=TrialState.PRUNED, params={"x": 0.9}, distributions=span, intermediate_values={1: 0.1})
    )
    study.add_trial(create_trial(value=1.0, params={"x": 0.4}, distributions=span))
    last = isolation(load_tables(study), "x")[-1]
    assert (last.observed, last.pruned) == (0, 1)
    assert math.isnan(last.best) and math.isnan(last.top_quarter)


def test_the_best_part_needs_enough_trials() -> None:
    def part(observed: int, top: float) -> RangePart:
        return RangePart("x", 0.0, 1.0, observed, 0, top, top, math.nan)

    few, many, worse = part(2, 0.9), part(5, 0.8), part(5, 0.7)
    assert best_part([few, many, worse], maximize=True) is many
    assert best_part([few, many, worse], maximize=False) is worse
    assert best_part([few], maximize=True) is None


def test_few_values_drawn_from_a_range_are_still_put_into_its_parts() -> None:
    parts = isolation(load_tables(plain_study({0.1: [1, 2], 0.6: [1, 1]})), "x")
    assert [part.observed for part in parts] == [2, 0, 2, 0]
    assert (parts[0].low, parts[-1].high) == (0.0, 1.0)
