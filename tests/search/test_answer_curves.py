"""The rules of benchmarks/answer_curves.py on planted curves whose answers are known."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("answer_curves")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], []),
        ([(1, 0, 0.2), (2, 0, 0.3), (3, 1, 0.25), (4, 1, 0.4)], [(1, 0), (4, 1)]),  # a running trial counts
        ([(1, 0, 0.4), (2, 1, 0.4), (3, 2, 0.4)], [(1, 0)]),  # of equals, the first trial
        ([(1, 0, 0.4), (2, 0, 0.1), (3, 1, 0.3)], [(1, 0)]),  # a trial has its best epoch, not its last
        ([(1, 0, 0.3), (2, 1, 0.5), (3, 1, None)], [(1, 0), (2, 1), (3, 0)]),  # a pruned trial is no answer
        ([(1, 0, 0.3), (2, 0, None), (3, 1, 0.1)], [(1, 0), (3, 1)]),
        ([(3, 1, 0.5), (1, 0, 0.3)], [(1, 0), (3, 1)]),  # side by side, read trial by trial
    ],
)
def test_the_leader_has_the_best_value_so_far(rules: ModuleType, events: list[Any], expected: list[Any]) -> None:
    assert rules.leaders(rules.Event(*event) for event in events) == expected


@pytest.mark.parametrize(("moment", "expected"), [(0.9, 0.0), (1, 0.2), (1.9, 0.2), (2, 0.6), (2.5, 0.6), (99, 0.5)])
def test_a_curve_keeps_its_value_until_the_next(rules: ModuleType, moment: float, expected: float) -> None:
    assert rules.value_at([(1, 0.2), (2, 0.3), (2, 0.6), (3, 0.5)], moment) == expected


def test_the_median_is_taken_over_seeds_at_every_change(rules: ModuleType) -> None:
    curves = [[(1, 0.1), (4, 0.4)], [(2, 0.2)], [(3, 0.3), (5, 0.1)]]
    assert rules.median_curve(curves) == [(1, 0.0), (2, 0.1), (3, 0.2), (4, 0.3), (5, 0.2)]


UP_AND_DOWN = [(1, 0.30), (2, 0.50), (3, 0.47), (4, 0.50), (5, 0.44), (6, 0.52), (7, 0.49)]


@pytest.mark.parametrize(
    ("curve", "target", "slack", "expected"),
    [
        (UP_AND_DOWN, 0.50, 0.02, 6),
        (UP_AND_DOWN, 0.50, 0.06, 2),  # a deeper fall is allowed
        (UP_AND_DOWN, 0.50, 0.00, math.inf),  # it ends below
        (UP_AND_DOWN, 0.53, 0.10, math.inf),  # never there, though near
        (UP_AND_DOWN, 0.30, 0.00, 1),
        ([], 0.1, 0.0, math.inf),
    ],
)
def test_reaching_counts_only_where_it_lasts(
    rules: ModuleType, curve: list[Any], target: float, slack: float, expected: float
) -> None:
    assert rules.reached(curve, target, slack) == expected


TRUTH = {"low": 0.30, "middle": 0.40, "high": 0.50}


def contest(rules: ModuleType, seed: int, seconds: float, answers: list[Any], claims: list[Any] = []) -> Any:  # noqa: B006
    return rules.Contest("one", seed, seconds, seconds, 10, answers, [rules.Claim(*claim) for claim in claims])


def test_the_share_is_that_of_the_peers_median_time(rules: ModuleType) -> None:
    peer = [contest(rules, seed, 90 + 10 * seed, [(5, "low"), (80, "middle")]) for seed in range(3)]
    mine = [contest(rules, seed, 70, [(2, "low"), (20 + 5 * seed, "high"), (60, "middle")]) for seed in range(3)]
    found = rules.catch(mine, peer, TRUTH)
    assert (found.target.median, found.target.error, found.whole) == (0.40, 0.0, 100)
    assert (found.moment, found.share, found.near) == (25, 0.25, 25)  # when the second of three seeds is there
    assert rules.shares_without_one(mine, peer, TRUTH) == (0.2, 25 / 105)  # of two curves, the mean
    assert math.isinf(rules.catch(peer, [contest(rules, 0, 100, [(1, "high")])], TRUTH).share)


def test_near_is_within_one_standard_error(rules: ModuleType) -> None:
    peer = [contest(rules, seed, 100, [(50, name)]) for seed, name in enumerate(("low", "high", "high"))]
    found = rules.catch([contest(rules, 0, 100, [(10, "low"), (30, "middle")])], peer, TRUTH)
    assert found.target.median == 0.50 and found.target.error == pytest.approx(0.2 / 3)
    assert math.isinf(found.moment) and math.isinf(found.near)  # 0.40 is below 0.50 − 0.067
    again = rules.catch([contest(rules, 0, 100, [(10, "low"), (30, "near")])], peer, TRUTH | {"near": 0.44})
    assert math.isinf(again.moment) and again.near == 30


def test_a_claim_is_held_against_the_configuration_that_it_is_about(rules: ModuleType) -> None:
    claims = [("best value of the search", "low", 0.45), ("confirmed", "high", 0.49)]
    found = rules.overstatements([contest(rules, seed, 1, [(0, "high")], claims) for seed in range(2)], TRUTH)
    assert found == {"best value of the search": [(0.45, 0.30)] * 2, "confirmed": [(0.49, 0.50)] * 2}
    assert contest(rules, 0, 1, [(0, "middle")], claims).configurations() == {"low", "middle", "high"}


def test_one_seed_has_no_standard_error(rules: ModuleType) -> None:
    one = rules.spread([0.4])
    assert (one.mean, one.median, one.low, one.high) == (0.4,) * 4 and math.isnan(one.error)
    many = rules.spread([0.1, 0.2, 0.6])
    assert (many.mean, many.median, many.low, many.high) == pytest.approx((0.3, 0.2, 0.1, 0.6))
    assert many.error == pytest.approx(0.152753, abs=1e-6)
