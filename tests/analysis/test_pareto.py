"""Which trials no other one beats in both metric and gap."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from synthetic import make_study

from regstudy.analysis.pareto import pareto_set
from regstudy.study.load_tables import load_tables
from regstudy.study.tables import Tables


def tables_of(values: list[float], gaps: list[float], *, minimize: bool = False) -> Tables:
    tables = load_tables(make_study(len(values), baseline=0, prune=0.0))
    tables.trials["value"], tables.trials["gap_accuracy"] = values, gaps
    if minimize:
        object.__setattr__(tables, "direction", "minimize")
    return tables


@pytest.mark.parametrize(
    ("values", "gaps", "expected"),
    [
        ([0.9, 0.8, 0.7], [0.1, 0.05, 0.2], [0, 1]),
        ([0.9, 0.9], [0.1, 0.05], [1]),
        ([0.9, 0.9], [0.1, 0.1], [0]),
        ([0.7, 0.9], [-0.2, -0.1], [1]),  # a gap below 0 is no merit
        ([0.9, 0.8], [math.nan, 0.1], [1]),
        ([math.nan, 0.8], [0.0, 0.1], [1]),
        ([0.5], [0.3], [0]),
    ],
)
def test_the_pareto_set(values: list[float], gaps: list[float], expected: list[int]) -> None:
    assert [one.number for one in pareto_set(tables_of(values, gaps))] == expected


def test_of_a_loss_less_is_better() -> None:
    assert [one.number for one in pareto_set(tables_of([0.3, 0.9], [0.1, 0.2], minimize=True))] == [0]


def test_no_other_trial_beats_one_of_the_set_and_every_other_is_beaten() -> None:
    tables, rng = load_tables(make_study(60)), np.random.default_rng(0)
    tables.trials["gap_accuracy"] = rng.normal(0.1, 0.1, len(tables.trials)).round(2)
    chosen = {one.number for one in pareto_set(tables)}
    rows = tables.trials[tables.observed()]

    def beaten(row: pd.Series) -> bool:
        gaps = rows["gap_accuracy"].clip(lower=0)
        gap = max(row["gap_accuracy"], 0)
        better = (rows["value"] >= row["value"]) & (gaps <= gap) & ((rows["value"] > row["value"]) | (gaps < gap))
        return bool(better.any())

    assert 1 < len(chosen) < len(rows)
    assert chosen == {int(row["number"]) for _, row in rows.iterrows() if not beaten(row)}
