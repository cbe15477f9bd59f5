"""Whether class balancing moved accuracy and balanced accuracy in opposite directions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from synthetic import make_study

from regstudy.analysis.balance_effect import PATH, balance_effects
from regstudy.records import dump_confusions
from regstudy.study.load_tables import load_tables
from regstudy.study.tables import Tables

Run = tuple[str, int, int]  # balance, and the right answers among 90 healthy and 10 sick images


def tables_of(runs: list[Run]) -> Tables:
    tables = load_tables(make_study(len(runs), baseline=0, epochs=2, prune=0))
    found = {
        number: dump_confusions({"validation": [[healthy, 90 - healthy], [10 - sick, sick]]})
        for number, (_, healthy, sick) in enumerate(runs)
    }
    return replace(tables, trials=tables.trials.assign(**{PATH: [run[0] for run in runs]}), confusions=found)


WITHOUT: list[Run] = [("none", 88, 2), ("none", 89, 1), ("none", 88, 3), ("none", 90, 2)]
TRADED: list[Run] = [("weights", 78, 8), ("weights", 80, 9), ("weights", 79, 8)]


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        (WITHOUT + TRADED, ["weights"]),
        (WITHOUT + TRADED[:2], []),  # two runs prove nothing
        (WITHOUT[:2] + TRADED, []),
        ([*WITHOUT, ("weights", 88, 8), ("weights", 89, 8), ("weights", 90, 9)], []),  # both better
        ([*WITHOUT, ("weights", 60, 2), ("weights", 61, 1), ("weights", 60, 2)], []),  # both worse
        ([*WITHOUT, ("weights", 90, 1), ("weights", 70, 9), ("weights", 86, 2)], []),  # too uncertain
        (WITHOUT + TRADED + [("oversample", n, s) for _, n, s in TRADED], ["weights", "oversample"]),
        (TRADED, []),
    ],
)
def test_only_a_sure_move_in_opposite_directions_is_found(runs: list[Run], expected: list[str]) -> None:
    found = balance_effects(tables_of(runs))
    assert [one.way for one in found] == expected
    assert all(one.accuracy < 0 < one.balanced_accuracy for one in found)


def test_studies_without_balancing_or_matrices_have_no_effect() -> None:
    tables = tables_of(WITHOUT + TRADED)
    assert balance_effects(replace(tables, confusions={})) == []
    assert balance_effects(replace(tables, trials=tables.trials.drop(columns=PATH))) == []
    assert balance_effects(tables, [0, 1, 4]) == []
