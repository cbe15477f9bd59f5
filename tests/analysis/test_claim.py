"""What is claimed from the values of a race: tables of small cases, and studies simulated on planted truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from regstudy.analysis.claim import (
    MANY_RUNS,
    Estimate,
    Status,
    claim_of,
    corrected,
    deficits,
    interval,
    more_rounds,
    residual_spread,
    status_of,
)
from regstudy.analysis.race import BASELINE, Entrant, advance, most_runs, start

BASE = Entrant(BASELINE, 0.5, dict.fromkeys(range(1, 9), 0.5))


def entrant(number: int, searched: float, *values: float) -> Entrant:
    return Entrant(number, searched, dict(enumerate(values, start=1)))


@pytest.mark.parametrize(
    ("values", "mean", "half"),
    [
        ([], math.nan, math.nan),
        ([0.4], 0.4, math.nan),
        ([0.4, 0.6], 0.5, 12.706 * 0.1),
        ([0.4, 0.4, 0.6, 0.6], 0.5, 3.182 * 0.11547 / 2),
        ([0.5, 0.5, 0.5], 0.5, 0.0),
    ],
)
def test_interval(values: list[float], mean: float, half: float) -> None:
    found = interval(values)
    assert (found.mean, found.half) == pytest.approx((mean, half), abs=1e-4, nan_ok=True)
    assert found.n == len(values)


def test_the_corrected_interval_covers_both_readings() -> None:
    found = corrected([0.5, 0.6, 0.7], [0.5, 0.6, 0.4])
    assert found.mean == pytest.approx(0.5)
    assert found.high == interval([0.5, 0.6, 0.7]).high and found.low == interval([0.5, 0.6, 0.4]).low
    assert corrected([0.5], [0.4]).mean == 0.4 and math.isnan(corrected([0.5], [0.4]).low)


@pytest.mark.parametrize(
    ("low", "high", "n", "status"),
    [
        (0.0031, 0.02, 4, "confirmed"),
        (0.0029, 0.02, 4, "undecided"),
        (-0.01, 0.02, 40, "undecided"),
        (-0.01, 0.0031, 4, "undecided"),
        (-0.01, 0.0030, 4, "no better"),
        (-0.02, -0.01, 4, "no better"),
        (0.01, 0.02, 3, "too few rounds"),
        (math.nan, math.nan, 1, "too few rounds"),
        (0.02, 0.02, 4, "undecided"),  # the same gain in all rounds: no spread to judge by
        (0.02, 0.02, 5, "undecided"),
        (0.02, 0.02, 6, "confirmed"),
        (0.0, 0.0, 4, "no better"),
    ],
)
def test_statuses(low: float, high: float, n: int, status: Status) -> None:
    assert status_of(Estimate((low + high) / 2, low, high, n), 0.003) == status


@pytest.mark.parametrize(
    ("differences", "margin", "more"),
    [
        ([], 0.0, math.nan),
        ([0.01], 0.0, math.nan),
        ([0.01, 0.03], 0.0, 5),  # mean 0.02, sd 0.014: seven pairs
        ([0.01, 0.02, 0.01, 0.02, 0.01, 0.02], 0.0, 1),  # decided already
        ([0.02] * 4, 0.0, 2),
        ([0.02] * 2, 0.0, 4),
        ([0.0] * 2, 0.003, 2),
        ([0.0] * 3, 0.0, 1),
        ([-0.1, 0.1], 0.0, math.inf),
        ([-0.1, 0.1], 0.001, math.inf),
    ],
)
def test_more_rounds(differences: list[float], margin: float, more: float) -> None:
    mean = float(np.mean(differences)) if differences else math.nan
    assert more_rounds(differences, mean, margin) == pytest.approx(more, nan_ok=True)


@pytest.mark.parametrize("mean", [0.001, 0.002, 0.005, 0.02, 0.1])
def test_more_rounds_are_few_enough_to_name_or_infinite(mean: float) -> None:
    spread = np.array([-0.02, 0.0, 0.02, 0.0])
    found = more_rounds(list(mean + spread), mean, 0.0)
    assert found == math.inf or 1 <= found <= MANY_RUNS / 2


@pytest.mark.parametrize(
    ("entrants", "baseline"),
    [([], BASE), ([entrant(1, 0.9)], BASE), ([entrant(1, 0.9, 0.8)], Entrant(BASELINE, 0.5, {2: 0.5}))],
    ids=["nobody", "no runs", "no round in common"],
)
def test_no_claim(entrants: list[Entrant], baseline: Entrant) -> None:
    assert claim_of(entrants, baseline, 0.5) is None


def test_each_round_is_read_without_its_own_vote() -> None:
    """Trial 1 wins by its first round alone; without it trial 2 would have been chosen."""
    one, two = entrant(1, 0.6, 0.95, 0.6, 0.6), entrant(2, 0.62, 0.70, 0.62, 0.62)
    found = claim_of([one, two], BASE, 0.5)
    assert found is not None
    assert (found.winner.number, found.rounds) == (1, [1, 2, 3])
    assert found.chosen == {1: 2, 2: 1, 3: 1}
    assert found.differences == pytest.approx([0.45, 0.1, 0.1])
    assert found.level.mean == pytest.approx((0.70 + 0.6 + 0.6) / 3)
    assert found.gain.mean == pytest.approx((0.20 + 0.1 + 0.1) / 3)
    assert found.gain.high == pytest.approx(interval([0.45, 0.1, 0.1]).high)


def test_the_winner_shares_the_most_rounds_with_the_baseline() -> None:
    stayed, dropped, unpaired = entrant(1, 0.6, 0.6, 0.6, 0.6), entrant(2, 0.99, 0.99), Entrant(3, 0.99, {9: 0.9})
    found = claim_of([dropped, unpaired, stayed], BASE, 0.5)
    assert found is not None and [one.number for one in found.entrants] == [1, 2, 3]


def test_a_round_that_the_baseline_lost_does_not_count() -> None:
    found = claim_of([entrant(1, 0.6, 0.7, 0.9, 0.7)], Entrant(BASELINE, 0.5, {1: 0.5, 3: 0.6}), 0.5)
    assert found is not None
    assert (found.rounds, found.gain.mean) == ([1, 3], pytest.approx(0.15))


def test_residual_spread_takes_out_configurations_and_rounds() -> None:
    rng = np.random.default_rng(0)
    rounds, sd = rng.normal(0, 5, 40), 0.5
    runs = [{n: 10 * arm + rounds[n] + rng.normal(0, sd) for n in range(40 // (arm + 1))} for arm in range(4)]
    found, degrees = residual_spread(runs)
    assert found == pytest.approx(sd, rel=0.15)
    assert degrees == 40 + 20 + 13 + 10 - 4 - 40 + 1
    assert residual_spread([{1: 0.5}, {1: 0.6}])[1] == 0


def test_deficits() -> None:
    winner, near = entrant(1, 0.9, 0.9, 0.91, 0.9, 0.89), entrant(2, 0.9, 0.89, 0.91)
    far, unpaired = entrant(3, 0.9, 0.7, 0.72), Entrant(4, 0.1, {9: 0.1})
    baseline = entrant(BASELINE, 0.5, 0.6, 0.61, 0.61, 0.59)
    found = claim_of([winner, near, far, unpaired], baseline, 0.5)
    assert found is not None
    behind = deficits(found, baseline)
    assert set(behind) == {2, 3, 4}
    assert behind[2].mean == pytest.approx(0.005) and behind[2].low < 0 < behind[2].high
    assert behind[3].mean == pytest.approx(0.195) and behind[3].low > 0
    assert (behind[4].n, behind[4].low) == (0, -math.inf)


def test_without_a_spread_nothing_can_be_told_apart() -> None:
    baseline = entrant(BASELINE, 0.5, 0.5)
    found = claim_of([entrant(1, 0.9, 0.9), entrant(2, 0.8, 0.1)], baseline, 0.5)
    assert found is not None
    assert deficits(found, baseline)[2].low == -math.inf


def studies(count: int, trials: int, spread: float, seed: int) -> list[tuple[Estimate, Estimate, float, float]]:
    """Level and gain claimed, and what they truly are; one run has a standard deviation of 1, a split of 1."""
    rng = np.random.default_rng(seed)
    runs, found = most_runs(round(0.3 * trials)), []
    for _ in range(count):
        truth = {**dict(enumerate(rng.normal(0, spread, trials - runs))), BASELINE: -0.5 * spread}
        split = rng.normal(0, 1, 40)
        entrants = {n: Entrant(n, t + split[0] + rng.normal(), {}) for n, t in truth.items()}
        baseline, leaders = entrants[BASELINE], [one for one in entrants.values() if one.number != BASELINE]
        race = start(leaders, baseline, runs)
        while True:
            race, wanted = advance(race, leaders, baseline)
            if not wanted:
                break
            for run in wanted:
                entrants[run.number].fresh[run.round] = truth[run.number] + split[run.round] + rng.normal()  # type: ignore[index]
        claim = claim_of(leaders, baseline, race.center)
        assert claim is not None
        found.append((claim.level, claim.gain, truth[claim.winner.number], truth[BASELINE]))
    return found


@pytest.mark.parametrize(("trials", "spread"), [(50, 1.0), (50, 0.5), (100, 1.0)])
def test_claims_are_right_on_average_and_intervals_cover_the_truth(trials: int, spread: float) -> None:
    found = studies(1500, trials, spread, seed=1)
    assert abs(np.mean([level.mean - own for level, _, own, _ in found])) < 0.12
    assert abs(np.mean([gain.mean - (own - base) for _, gain, own, base in found])) < 0.12
    for covered in (
        [level.low <= own <= level.high for level, _, own, _ in found],
        [gain.low <= own - base <= gain.high for _, gain, own, base in found],
    ):
        assert 0.93 < np.mean(covered) < 0.985


@pytest.mark.parametrize("trials", [30, 50, 100])
def test_equal_configurations_are_rarely_called_confirmed(trials: int) -> None:
    """At most 5 % and two Monte-Carlo errors, even without a margin."""
    found = studies(1500, trials, 0.0, seed=2)
    confirmed = np.mean([status_of(gain, 0.0) == "confirmed" for _, gain, _, _ in found])
    assert confirmed < 0.05 + 2 * math.sqrt(0.05 * 0.95 / len(found))
    assert np.mean([gain.mean for _, gain, _, _ in found]) < 0.05  # and never overstated
