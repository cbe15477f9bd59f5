"""What the next trials would gain: planted sequences, noise from repeats and from a number of images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from regstudy.analysis import next_trials as rules
from regstudy.analysis.next_trials import (
    IN_A_ROW,
    MIN_TRIALS,
    NextTrials,
    next_trials,
    noise_of_repeats,
    noise_of_share,
)

NOISE = 0.01


def flat(trials: int, seed: int = 0) -> np.ndarray:
    """Trials that differ by noise alone."""
    return 0.6 + np.random.default_rng(seed).normal(0, NOISE, trials)


def climbing(trials: int) -> np.ndarray:
    """Each trial is truly better than the last one, by half of the noise."""
    return flat(trials) + 0.5 * NOISE * np.arange(trials)


def known(values: Sequence[float] | np.ndarray, noise: float | None = NOISE, *, maximize: bool = True) -> NextTrials:
    found = next_trials(values, noise, maximize=maximize)
    assert found is not None
    return found


@pytest.mark.parametrize("trials", [40, 100, 1_000])
def test_where_all_is_noise_nothing_is_gained(trials: int) -> None:
    found = [known(flat(trials, seed)) for seed in range(20)]
    gains = np.array([one.gain for one in found])
    assert abs(gains.mean()) < 0.15 * NOISE and gains.max() < 0.6 * NOISE
    assert all(0 <= one.error < 2 * NOISE for one in found)
    assert all(abs(one.gain) <= one.error + 1e-12 for one in found)  # 0 is within what is announced


@pytest.mark.parametrize("trials", [30, 60])
def test_a_climb_goes_on(trials: int) -> None:
    found = known(climbing(trials))
    assert found.worth and found.gain > NOISE and found.gain > 4 * known(flat(trials)).gain


def test_more_spread_than_noise_is_worth_more_trials() -> None:
    values = 0.6 + np.random.default_rng(1).normal(0, 5 * NOISE, 30)
    assert known(values).worth and known(values).gain > known(values, 5 * NOISE).gain


@pytest.mark.parametrize("values", [flat(40), climbing(40)])
def test_a_loss_is_an_accuracy_upside_down(values: np.ndarray) -> None:
    assert known(-values, maximize=False) == known(values)
    assert known(-values) != known(values)


@pytest.mark.parametrize("noise", [NOISE, None])
def test_equal_values_end_a_search_after_as_many_looks_as_it_takes(noise: float | None) -> None:
    first = MIN_TRIALS + IN_A_ROW - 1
    found = {trials: known([0.7] * trials, noise) for trials in range(MIN_TRIALS, first + 3)}
    assert all((one.gain, one.error) == (0, 0) for one in found.values())
    assert [trials for trials, one in found.items() if one.worth] == list(range(MIN_TRIALS, first))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([0.5] * (MIN_TRIALS - 1), "too few"),
        ([], "none"),
        ([math.nan] * 60, "none may win"),
        ([0.5] * 4 + [math.nan] * 11, "too few may win"),
        ([*flat(10), *[math.nan] * 40], "the latest tell nothing"),
        ([1e308, -1e308] * 20, "beyond what a computer can add up"),
    ],
)
def test_nothing_is_said_without_enough_trials(values: list[float], why: str) -> None:
    assert next_trials(values, NOISE) is None, why


def test_trials_that_cannot_win_take_their_turn_and_win_nothing() -> None:
    """Half of the trials pruned: half as many chances; what Optuna calls infinite counts as pruned, too."""
    values = 0.6 + np.random.default_rng(2).normal(0, 4 * NOISE, 15)
    some = np.repeat(values, 2)
    some[::2] = math.nan
    dense, half = known(values), known(some)
    assert half.trials == 30 and 0.3 * dense.gain < half.gain < 0.8 * dense.gain
    assert known(np.where(np.isnan(some), math.inf, some)) == half
    assert known(np.where(np.isnan(some), -math.inf, some)) == half


def test_one_good_look_is_enough_to_go_on() -> None:
    """A search whose next trials were worth it within the last looks is not ended yet."""
    values = [*flat(30), 0.7, *[0.6] * 60]
    ends = [trials for trials in range(MIN_TRIALS, len(values)) if not known(values[:trials]).worth]
    little = [
        trials for trials in range(MIN_TRIALS, len(values)) if known(values[:trials]).gain <= rules.TOO_LITTLE * NOISE
    ]
    assert ends and ends[0] >= little[0] + IN_A_ROW - 1
    assert all(set(range(end - IN_A_ROW + 1, end + 1)) <= set(little) for end in ends)


@pytest.mark.parametrize("given", [None, math.nan, 0.0, -1.0, math.inf])
def test_an_unknown_noise_is_assumed_from_the_spread(given: float | None) -> None:
    found = known(flat(50), given)
    latest = flat(50)[-rules.LATEST :]
    better = latest[latest >= np.median(latest)] - np.median(latest)
    assert not found.measured and found.noise == pytest.approx(math.sqrt(0.5 * (better**2).mean()))
    assert known(flat(50)).measured and known(flat(50)).noise == NOISE


def test_the_same_values_give_the_same_answer_and_stay_as_they_are() -> None:
    values = flat(30)
    before = values.copy()
    assert known(values) == known(list(values)) and (values == before).all()


@pytest.mark.parametrize(
    ("share", "images", "effect", "error"),
    [
        (0.5, 100, 1.0, 0.05),
        (0.5, 100, 4.0, 0.1),
        (1.0, 100, 1.0, math.sqrt(0.005 * 0.995 / 100)),  # not 0: a hundred right answers are no certainty
        (0.0, 100, 1.0, math.sqrt(0.005 * 0.995 / 100)),
        (0.5, 0, 1.0, None),
        (1.5, 100, 1.0, None),
        (math.nan, 100, 1.0, None),
    ],
)
def test_noise_of_a_share(share: float, images: int, effect: float, error: float | None) -> None:
    found = noise_of_share(share, images, effect)
    assert found == (None if error is None else pytest.approx(error))


def test_noise_of_repeats_leaves_out_what_a_round_does_to_all() -> None:
    rng = np.random.default_rng(0)
    rounds = rng.normal(0, 0.2, 40)
    runs = [
        {n: level + rounds[n] + rng.normal(0, NOISE) for n in range(40 - 9 * one)}
        for one, level in enumerate((0.5, 0.6, 0.7))
    ]
    assert noise_of_repeats(runs) == pytest.approx(NOISE, rel=0.2)


@pytest.mark.parametrize(
    "runs", [[], [{}], [{1: 0.5}], [dict.fromkeys(range(50), 0.5)], [{1: 0.5, 2: 0.6}, {1: 0.4, 2: math.nan}]]
)
def test_too_few_repeats_tell_no_noise(runs: list[dict[int, float]]) -> None:
    assert noise_of_repeats(runs) is None
