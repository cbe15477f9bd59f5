"""Whether the models of several studies differ: planted truths, in pairs and in independent runs."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from planted_race import Truth, planted_race
from scipy.stats import ttest_ind

from regstudy.analysis.between_studies import Contrast, claims, contrasts, key_of, welch
from regstudy.analysis.confirmation import Confirmation, confirmation
from regstudy.analysis.pareto import pareto_front
from regstudy.study.load_tables import load_tables
from regstudy.study.tables import Tables

Study = tuple[Tables, Confirmation | None]


def study(truth: Truth, seed: int = 1, study_seed: int = 0, **data: Any) -> Study:
    search, fresh = planted_race(truth, seed=seed)
    tables = load_tables(search)
    tables = replace(tables, seed=study_seed, data={**tables.data, **data})
    return tables, confirmation(tables, load_tables(fresh))


def value(found: list[Contrast]) -> Contrast:
    return next(one for one in found if one.outcome == "value")


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        (Truth(winner=0.95), Truth(), "higher"),
        (Truth(), Truth(winner=0.95), "lower"),
        (Truth(noise=1e-9), Truth(noise=1e-9), "no difference"),
        (Truth(), Truth(winner=0.915), "undecided"),
    ],
)
@pytest.mark.parametrize("study_seed", [0, 7])
def test_differences_are_named_in_pairs_and_in_independent_runs(
    first: Truth, second: Truth, verdict: str, study_seed: int
) -> None:
    found = contrasts([study(first), study(second, 2, study_seed)])
    assert {one.outcome for one in found} == {"value", "gap"}
    assert value(found).verdict == verdict
    assert value(found).in_pairs == (study_seed == 0)
    assert all(one.test.tests == 2 for one in found), "value and gap are corrected together"


@pytest.mark.parametrize(
    "change",
    [{"split_hash": "another"}, {"split_hash": None}, {"group": "patient"}, {"folds": 5}],
)
def test_other_images_are_never_compared(change: dict[str, Any]) -> None:
    assert contrasts([study(Truth()), study(Truth(winner=0.95), 2, **change)]) == []


def test_another_metric_is_never_compared() -> None:
    tables, found = study(Truth())
    assert contrasts([(tables, found), (replace(tables, metric="val_loss"), found)]) == []


def test_too_few_rounds_claim_nothing() -> None:
    few = study(Truth(rounds=2, behind=(0.004,), asked=14))
    assert not claims(few[1]) and not claims(None)
    assert contrasts([few, study(Truth())]) == []


def test_where_no_winner_is_better_the_baseline_is_the_model() -> None:
    one = study(Truth(winner=0.83, noise=0.003))
    assert one[1] is not None and one[1].recommended is one[1].baseline
    other = study(Truth(winner=0.95), 2)
    assert value(contrasts([one, other])).test.mean == pytest.approx(0.849 - 0.95, abs=0.02)


def test_all_pairs_are_corrected_together() -> None:
    found = contrasts([study(Truth(), seed) for seed in (1, 2, 3)])
    assert len(found) == 6 and {(one.first, one.second) for one in found} == {(0, 1), (0, 2), (1, 2)}
    assert all(one.test.adjusted >= one.test.p for one in found)


@pytest.fixture(scope="module")
def equal_studies() -> list[Study]:
    """Studies whose models are equally good."""
    return [study(Truth(), seed) for seed in range(1, 13)]


@pytest.mark.parametrize("same_seed", [True, False])
def test_equal_studies_are_rarely_told_apart(same_seed: bool, equal_studies: list[Study]) -> None:
    """Both the paired and the independent comparison keep their error where nothing differs."""
    pool = [(replace(tables, seed=0 if same_seed else i), found) for i, (tables, found) in enumerate(equal_studies)]
    false = sum(value(contrasts(list(pair))).verdict in ("higher", "lower") for pair in combinations(pool, 2))
    assert false <= 9  # of 66 pairs


def test_the_key_needs_a_split() -> None:
    tables, _ = study(Truth())
    assert key_of(tables) is not None and key_of(replace(tables, data={})) is None


@pytest.mark.parametrize(
    ("first", "second"),
    [([1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 5.0]), ([1.0, 2.0, 3.0, 4.0, 5.0], [11.0, 12.0, 13.0, 15.0])],
)
def test_welch_is_that_of_scipy(first: list[float], second: list[float]) -> None:
    found, known = welch(np.array(first), np.array(second)), ttest_ind(first, second, equal_var=False)
    ends = known.confidence_interval()
    assert (found.p, found.low, found.high) == pytest.approx((known.pvalue, ends.low, ends.high))


@pytest.mark.parametrize(("first", "p"), [(1.0, 1.0), (2.0, 2 / 70)])
def test_without_a_spread_a_permutation_decides(first: float, p: float) -> None:
    found = welch(np.full(4, first), np.full(4, 1.0))
    assert (found.mean, found.low, found.p) == (first - 1, first - 1, pytest.approx(p))


@pytest.mark.parametrize(
    ("loss", "gaps", "front"),
    [
        ([], [], []),
        ([1.0], [0.1], [0]),
        ([1.0, 2.0], [0.2, 0.1], [0, 1]),
        ([1.0, 2.0], [0.1, 0.2], [0]),
        ([1.0, 1.0], [0.1, 0.1], [0]),
        ([1.0, 2.0], [-0.1, -0.2], [0]),  # a gap below 0 is no merit
        ([2.0, 1.0, 3.0], [0.1, 0.3, 0.0], [1, 0, 2]),
    ],
)
def test_the_front(loss: list[float], gaps: list[float], front: list[int]) -> None:
    assert pareto_front(np.array(loss), np.array(gaps), np.arange(len(loss))) == front


def test_an_unknown_gap_leaves_the_value() -> None:
    tables, found = study(Truth())
    assert found is not None
    leaders = [replace(one, gaps=dict.fromkeys(one.gaps, math.nan)) for one in found.leaders]
    blank = replace(found, winner=leaders[0], leaders=leaders)
    assert [one.outcome for one in contrasts([(tables, blank), study(Truth(), 2)])] == ["value"]


def test_a_round_that_chose_another_leader_is_read_without_its_own_vote() -> None:
    tables, found = study(Truth(winner=0.93))
    other = study(Truth(), 2)
    assert found is not None
    second = next(one for one in found.leaders if one is not found.winner and 1 in one.values)
    swapped = replace(found, chosen={**dict.fromkeys(found.chosen, found.winner.number), 1: second.number})
    agreeing = replace(found, chosen=dict.fromkeys(found.chosen, found.winner.number))
    plain, read = (value(contrasts([(tables, one), other])).test for one in (agreeing, swapped))
    change = (second.values[1] - found.winner.values[1]) / plain.n
    assert abs(change) > 1e-4
    assert read.mean == pytest.approx(plain.mean + change)
    assert read.low <= plain.low and read.high >= plain.high and read.p >= plain.p, "the interval covers both readings"
