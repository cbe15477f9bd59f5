"""Whether the models of several studies differ: planted truths, pairs and independent runs, and what may be compared."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from planted_race import Truth, planted_race

from regstudy.analysis.between_studies import Contrast, claims, contrasts, key_of, welch
from regstudy.analysis.confirmation import Confirmation, confirmation
from regstudy.analysis.pareto import pareto_front
from regstudy.study.tables import Tables, load_tables

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


@pytest.mark.parametrize("same_seed", [True, False])
def test_equal_studies_are_rarely_told_apart(same_seed: bool) -> None:
    """Both the paired and the independent comparison keep their error where nothing differs."""
    rng, false, tries = np.random.default_rng(0), 0, 60
    for _ in range(tries):
        seeds = rng.integers(1, 1_000, 2)
        found = contrasts([study(Truth(trials_noise), int(s), 0 if same_seed else i) for i, (s, trials_noise) in
                           enumerate(zip(seeds, (0.849, 0.849), strict=True))])  # fmt: skip
        false += value(found).verdict in ("higher", "lower")
    assert false <= 8  # 5 % of 60 are 3; more than 8 have a chance of 0.5 %


def test_the_key_needs_a_split() -> None:
    tables, _ = study(Truth())
    assert key_of(tables) is not None and key_of(replace(tables, data={})) is None


@pytest.mark.parametrize(
    ("first", "second", "mean", "p"),
    [
        ([1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], 0.0, 1.0),
        ([2.0, 2.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0], 1.0, 2 / 70),
        ([1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 5.0], -1.0, 0.3153),
        ([1.0, 2.0, 3.0, 4.0, 5.0], [11.0, 12.0, 13.0, 14.0], -9.5, 0.0000334),
    ],
)
def test_welch(first: list[float], second: list[float], mean: float, p: float) -> None:
    found = welch(np.array(first), np.array(second))
    assert found.mean == mean and found.p == pytest.approx(p, rel=0.02)
    assert found.low <= mean <= found.high


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
