"""Which learning rate each arm takes, from tries alone."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from regstudy.analysis.ablation_arms import arms_of, contrasts_of, lattice
from regstudy.analysis.ablation_rates import FACTORS, arm_at, best_factors, factors_in_words, is_try, tries_of
from regstudy.analysis.contrasts import Result

NAMES = ["dropout", "L2", "label smoothing", "augmentation by flip", "regularization.mixup"]


def results(values: Mapping[str, list[float | None]]) -> dict[str, dict[int, Result]]:
    return {
        arm_at("a", rate): {n: Result(value) for n, value in enumerate(row, start=1) if value is not None}
        for rate, row in values.items()
    }


@pytest.mark.parametrize(
    ("values", "higher", "lower"),
    [
        ({"lr": [0.5, 0.6], "lr / 3": [0.4, 0.5], "lr × 3": [0.7, 0.5]}, 3.0, 1 / 3),
        ({"lr": [0.5, 0.6], "lr / 3": [0.9, 0.3], "lr × 3": [0.5, 0.7]}, 1 / 3, 1.0),  # the mean decides
        ({"lr": [0.5, 0.6], "lr / 3": [0.6, 0.5], "lr × 3": [0.5, 0.6]}, 1.0, 1.0),  # nothing is better: it stays
        ({"lr": [0.8, 0.2], "lr / 3": [0.9, 0.1], "lr × 3": [0.1, 0.9]}, 1.0, 1.0),  # but for the last digits of floats
        ({"lr": [0.5, 0.5], "lr / 3": [0.6, 0.6], "lr × 3": [0.6, 0.6]}, 1 / 3, 1.0),
        # splits differ more than rates: what was given up elsewhere must not count for a rate
        ({"lr": [0.5, 0.9], "lr / 3": [0.4, 0.8], "lr × 3": [0.6, None]}, 3.0, 1 / 3),
        ({"lr": [0.5, 0.9], "lr / 3": [None, 0.8], "lr × 3": [None, 0.8]}, 1.0, 1 / 3),
        ({"lr": [None, None], "lr / 3": [0.9, 0.9], "lr × 3": [0.1, 0.1]}, 1.0, 1.0),  # nothing to compare with
        ({}, 1.0, 1.0),
    ],
)  # fmt: skip
def test_the_best_mean_wins_and_a_tie_changes_nothing(
    values: Mapping[str, list[float | None]], higher: float, lower: float
) -> None:
    tried = results(values)
    assert best_factors(["a"], tried, maximize=True) == {"a": higher}
    assert best_factors(["a"], tried, maximize=False) == {"a": lower}


def test_tries_are_told_from_every_arm_that_is_compared() -> None:
    arms = {*arms_of(contrasts_of(NAMES, add_one_in=True)), *lattice(NAMES[:4])}
    assert not any(map(is_try, arms))
    tries = tries_of(arms)
    assert len(tries) == len(set(tries)) == 2 * 3 * len(arms) and all(is_try(arm) for arm, _ in tries)
    assert {repeat for _, repeat in tries} == {1, 2} and arms.isdisjoint(arm for arm, _ in tries)


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ([0.02], "0.00667 (divided by 3): c; 0.02 (unchanged): winner and without b; 0.06 (times 3): baseline"),
        ([0.02, 0.001], "divided by 3: c; unchanged: winner and without b; times 3: baseline"),
        ([], "divided by 3: c; unchanged: winner and without b; times 3: baseline"),
    ],
)
def test_rates_are_said_with_their_arms(rates: list[float], said: str) -> None:
    assert factors_in_words({"winner": 1.0, "without b": 1.0, "c": 1 / 3, "baseline": 3.0}, rates) == said


def test_the_rates_are_half_a_decade_apart_and_that_of_the_winner_comes_first() -> None:
    assert list(FACTORS) == ["lr", "lr / 3", "lr × 3"] and sorted(FACTORS.values()) == [1 / 3, 1.0, 3.0]
