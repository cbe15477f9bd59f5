from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial
from synthetic import make_study

from regstudy.analysis.isolation import RangePart, best_part, clear_best, isolation, settings
from regstudy.report.setting_figures import metric_against
from regstudy.study import attributes
from regstudy.study.load_tables import load_tables


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


GOOD, FAIR, POOR = ([level + 0.001 * i for i in range(12)] for level in (0.9, 0.8, 0.7))


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize(
    ("levels", "clear", "title"),
    [
        ([POOR, FAIR, GOOD, FAIR], 2, "works best at 0.5 – 0.75"),
        ([POOR, FAIR, GOOD, [value - 0.0005 for value in GOOD]], None, "no clear best value (best mean at 0.5 – 0.75"),
        ([GOOD, FAIR, [value - 0.0005 for value in GOOD], POOR], None, "no clear best value (best mean at 0 – 0.25"),
        ([POOR, FAIR, GOOD[:4], FAIR], 2, "works best at 0.5 – 0.75"),
        ([POOR[:4], FAIR[:4], GOOD[:4], FAIR[:4]], None, "no clear best value"),  # 4 against 4: six pairs prove nothing
        ([POOR, FAIR, GOOD[:3], FAIR], None, "no clear best value"),  # of three trials nothing is said
        ([[0.8] * 12] * 4, None, "no clear best value"),
        ([GOOD, [], [], []], None, "no clear best value"),
        ([GOOD[:3], FAIR[:3], [], []], None, "too few trials in every part"),
    ],
)
def test_a_best_part_must_be_better_than_all_others(
    levels: list[list[float]], clear: int | None, title: str, direction: str
) -> None:
    maximize = direction == "maximize"
    values = {0.1 + 0.25 * i: [v if maximize else -v for v in level] for i, level in enumerate(levels)}
    tables = load_tables(plain_study(values, direction))
    parts = isolation(tables, "x")
    if not parts:  # a single value
        return
    best = clear_best(parts, maximize=maximize)
    assert best is (None if clear is None else parts[clear])
    assert metric_against(tables, "x", parts).title.startswith(f"x: {title}")


def switched(nuisances: list[str]) -> optuna.Study:
    """Switches of a regularizer and of another setting, as `{or: 0, …}` makes them."""
    study = optuna.create_study(direction="maximize")
    study.set_user_attr(attributes.REGULARIZERS, {"regularization.l2": 0.0, "model.dropout": 0.0})
    study.set_user_attr(attributes.NUISANCES, nuisances)
    spans: dict[str, BaseDistribution] = {
        "regularization.l2.on": CategoricalDistribution([False, True]),
        "regularization.l2": FloatDistribution(1e-5, 1e-2, log=True),
        "model.resnet.dropout": FloatDistribution(0.0, 0.5),
        "training.patience.on": CategoricalDistribution([False, True]),
        "training.patience": FloatDistribution(2.0, 9.0),
        "training.nesterov": CategoricalDistribution([False, True]),
    }
    for i in range(20):
        on, patient = i % 2 == 0, i % 3 == 0
        params: dict[str, Any] = {"regularization.l2.on": on, "training.patience.on": patient}
        params |= {"regularization.l2": 1e-4 * (i + 1)} if on else {}
        params |= {"training.patience": 3.0 + i % 6} if patient else {}
        params |= {"model.resnet.dropout": 0.02 * i, "training.nesterov": i % 4 == 0}
        config = {
            "regularization": {"l2": params.get("regularization.l2", 0.0)},
            "model": {"dropout": 0.02 * i},
            "training": {"patience": params.get("training.patience", 0.0), "nesterov": i % 4 == 0},
        }
        kept = {attributes.ARM: "search", attributes.CONFIG: config}
        given = {name: spans[name] for name in params}
        study.add_trial(create_trial(value=0.8 + 0.001 * i, params=params, distributions=given, user_attrs=kept))
    return study


@pytest.mark.parametrize("nuisances", [[], ["training.patience", "training.nesterov"]])
def test_a_switch_belongs_to_its_number_and_a_regularizer_is_no_other_setting(nuisances: list[str]) -> None:
    tables = load_tables(switched(nuisances))
    assert set(settings(tables)) == {"training.patience", "training.nesterov"}


def test_yes_and_no_are_written_alike_on_the_axis_and_in_the_parts() -> None:
    tables = load_tables(switched([]))
    parts = isolation(tables, "training.nesterov")
    figure = metric_against(tables, "training.nesterov", parts).figure
    assert [part.label for part in parts] == ["no", "yes"] == list(figure.layout.xaxis.categoryarray)
    assert {x for trace in figure.data for x in trace.x} == {"no", "yes"}
