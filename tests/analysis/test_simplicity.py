"""How simple a trial is, and the rule of one standard error."""

from __future__ import annotations

import pytest
from synthetic import make_study

from regstudy.analysis.simplicity import one_error_rule, simplicity
from regstudy.study.load_tables import load_tables
from regstudy.study.tables import Tables


def tables_of(values: list[float], dropout: list[float], smoothing: list[float]) -> Tables:
    tables = load_tables(make_study(len(values), baseline=len(values), prune=0.0))
    tables.trials["value"] = values
    tables.trials["model.dropout"], tables.trials["regularization.label_smoothing"] = dropout, smoothing
    return tables


def test_strength_is_relative_to_the_strongest_of_the_study() -> None:
    tables = tables_of([0.9, 0.8], [0.5, 0.25], [0.0, 0.1])
    assert simplicity(tables, 0).order == (1, 1.0)
    assert simplicity(tables, 1).order == (2, 1.5)
    assert list(simplicity(tables, 0).active) == ["model.dropout"]


@pytest.mark.parametrize(
    ("values", "dropout", "smoothing", "equals", "simplest"),
    [  # 400 validation images: the standard error at 90 % is 1.5 points
        ([0.90, 0.89, 0.88], [0.5, 0.5, 0.0], [0.1, 0.0, 0.0], (0, 1), 1),
        ([0.90, 0.89, 0.89], [0.5, 0.4, 0.3], [0.0, 0.0, 0.0], (0, 1, 2), 2),
        ([0.90, 0.80, 0.70], [0.5, 0.0, 0.0], [0.1, 0.0, 0.0], (0,), 0),
        ([0.90, 0.90, 0.70], [0.2, 0.2, 0.0], [0.0, 0.0, 0.0], (0, 1), 0),
    ],
)
def test_the_simplest_within_one_standard_error(
    values: list[float], dropout: list[float], smoothing: list[float], equals: tuple[int, ...], simplest: int
) -> None:
    rule = one_error_rule(tables_of(values, dropout, smoothing))
    assert rule is not None
    assert rule.error == pytest.approx((0.9 * 0.1 / 400) ** 0.5)
    assert (rule.best, rule.equals, rule.simplest) == (0, equals, simplest)


def test_the_error_of_other_metrics_is_that_of_the_folds_if_there_are_any() -> None:
    tables = tables_of([0.5, 0.49, 0.4], [0.1, 0.0, 0.0], [0.0, 0.0, 0.0])
    object.__setattr__(tables, "metric", "val_auroc")
    assert one_error_rule(tables) is None
    rule = one_error_rule(tables, [0.48, 0.5, 0.52])
    assert rule is not None
    assert rule.error == pytest.approx(0.02 / 3**0.5)
    assert rule.simplest == 1


def test_an_empty_study_has_none() -> None:
    assert one_error_rule(load_tables(make_study(0))) is None
