"""Which arms of an ablation run in which repeats: as tables, and that it never makes more runs than it may."""

from __future__ import annotations

import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_ablation import ACTIVE, conducted, noisy, request

from regstudy.analysis.ablation_arms import BASELINE_NAME, EVERYTHING, WINNER, arm_name, arms_of, contrasts_of, lattice
from regstudy.analysis.ablation_design import (
    ALPHAS,
    MIN_REPEATS,
    ArmRun,
    Request,
    advance,
    chance,
    first_stage,
    further_pairs,
    next_alpha,
    resolution,
)
from regstudy.analysis.contrasts import Pairs, Result, Stage, standing
from regstudy.analysis.ranks import SIGNIFICANCE_LEVEL


@pytest.mark.parametrize(
    ("active", "add_one_in", "expected"),
    [
        ([], False, []),
        (["a"], True, [("a", WINNER, BASELINE_NAME)]),
        (
            ["a", "b"],
            False,
            [("a", WINNER, "without a"), ("b", WINNER, "without b"), (EVERYTHING, WINNER, BASELINE_NAME)],
        ),
        (
            ["a", "b"],
            True,
            [
                ("a", WINNER, "without a"),
                ("b", WINNER, "without b"),
                (EVERYTHING, WINNER, BASELINE_NAME),
                ("only a", "without b", BASELINE_NAME),  # the same arm, which runs once
                ("only b", "without a", BASELINE_NAME),
            ],
        ),
    ],
)
def test_contrasts(active: list[str], add_one_in: bool, expected: list[tuple[str, str, str]]) -> None:
    found = contrasts_of(active, add_one_in)
    assert [(one.name, one.on, one.off) for one in found] == expected
    assert [one.family for one in found] == ["secondary" if one.name.startswith("only") else "primary" for one in found]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_lattice_has_every_subset_once(count: int) -> None:
    arms = lattice(ACTIVE[:count])
    assert len(arms) == len(set(arms.values())) == 2**count
    assert (next(iter(arms)), [*arms][-1]) == (WINNER, BASELINE_NAME)
    assert set(arms) >= set(arms_of(contrasts_of(ACTIVE[:count], add_one_in=True)))


def test_names_of_arms() -> None:
    assert arm_name({"c", "a"}, ["a", "b", "c", "d"]) == "only a and c"


@pytest.mark.parametrize(
    ("runs", "active", "repeats", "alpha"),
    [
        (70, 5, 6, ALPHAS[0]),
        (140, 5, 12, ALPHAS[0]),
        (35, 5, 4, ALPHAS[0]),
        (34, 5, 4, ALPHAS[1]),  # too few for two stages: all of it, with the larger look
        (14, 5, 2, ALPHAS[1]),
        (10, 1, 4, ALPHAS[0]),
        (20, 1, 6, ALPHAS[0]),
    ],
)
def test_the_first_stage(runs: int, active: int, repeats: int, alpha: float) -> None:
    stage = first_stage(request(runs, ACTIVE[:active]))
    assert (stage.first, stage.last, stage.alpha) == (1, repeats, alpha)
    assert len(stage.cells) == repeats * (2 if active == 1 else active + 2) <= runs


def test_two_stages() -> None:
    """What is clear leaves, what is hopeless leaves, and the rest runs on with the winner."""
    effects = {"augmentation": 9.0, "dropout": 1.4}
    stages, results, _, made = conducted(request(70), noisy(effects))
    assert [stage.alpha for stage in stages] == list(ALPHAS)
    assert stages[0].arms == (WINNER, *(f"without {name}" for name in ACTIVE), BASELINE_NAME)
    assert WINNER in stages[1].arms and "without dropout" in stages[1].arms
    assert not {"without augmentation", BASELINE_NAME} & set(stages[1].arms)
    assert max(results["without dropout"]) <= stages[1].last == stages[1].until[WINNER]
    assert 68 <= len(made) <= 70


def test_it_ends_early_if_everything_is_decided() -> None:
    effects = dict.fromkeys(ACTIVE, 9.0)
    stages, _, _, made = conducted(request(70), noisy(effects))
    assert len(stages) == 1 and len(made) == 42


def test_more_runs_go_on_where_it_ended() -> None:
    effects = {"augmentation": 0.7, "dropout": 0.6}
    before, results, lost, made = conducted(request(70), noisy(effects))
    after, more, _, further = conducted(request(110), noisy(effects), before, results, lost)
    assert after[: len(before)] == before
    assert after[2].first == before[-1].last + 1
    assert after[2].alpha == pytest.approx((SIGNIFICANCE_LEVEL - sum(ALPHAS)) / 2)
    assert 70 < len(made) + len(further) <= 110
    assert all(more[arm][n] == row for arm, rows in results.items() for n, row in rows.items())
    assert conducted(request(110), noisy(effects), after, more)[3] == []


@pytest.mark.parametrize(("runs", "left"), [(50, 40), (15, 5), (10, 0), (3, 0)])
def test_asking_for_fewer_runs_half_way(runs: int, left: int) -> None:
    """Ten runs of the first stage of 70 are made when the total is reduced."""
    stages, todo = advance(request(70), (), {})
    value = noisy({})
    results: dict[str, dict[int, Result]] = {}
    for run in todo[:10]:
        results.setdefault(run.arm, {})[run.repeat] = value(run)
    assert len(todo) == 42
    assert len(advance(request(runs), stages, results)[1]) == min(left, 32)


def test_all_looks_together_spend_at_most_five_percent() -> None:
    stages: tuple[Stage, ...] = ()
    for _ in range(30):
        stages = (*stages, Stage(1, {"winner": 1}, 1, next_alpha(stages)))
    assert sum(stage.alpha for stage in stages) <= SIGNIFICANCE_LEVEL
    assert all(stage.alpha > 0 for stage in stages)


def test_a_lattice_runs_whole_in_one_stage() -> None:
    active = ACTIVE[:3]
    of = Request(tuple(contrasts_of(active)), 50, 0.3, always=tuple(lattice(active)))
    stages, results, _, made = conducted(of, lambda run: Result(9.0 * (run.arm == WINNER) + run.repeat, 0.0))
    assert len(stages) == 1 and len(made) == 48
    assert {len(rows) for rows in results.values()} == {6}


def test_an_arm_that_always_fails_leaves_and_the_others_go_on() -> None:
    value = noisy({"dropout": 1.2})
    stages, results, lost, made = conducted(request(70), lambda run: None if run.arm == "without l2" else value(run))
    assert "without l2" not in results and "without l2" not in stages[1].arms
    assert sum(arm == "without l2" for arm, _ in lost) == stages[0].last
    assert len(made) - len(lost) == sum(map(len, results.values())) <= 70


def test_lost_runs_make_room_for_others() -> None:
    value = noisy({"dropout": 1.2, "mixup": 0.9})
    _, results, lost, _ = conducted(request(70), lambda run: None if run.repeat in (7, 8) else value(run))
    assert lost and 66 <= sum(map(len, results.values())) <= 70


def test_stages_survive_being_stored() -> None:
    stages = conducted(request(70), noisy({"dropout": 1.0}))[0]
    assert tuple(Stage.parse(json.loads(json.dumps(stage.record()))) for stage in stages) == stages


@pytest.mark.parametrize(
    ("mean", "sd", "margin", "low", "high"),
    [
        (2.0, 1.0, 0.0, 0.95, 1.0),  # nearly sure
        (0.0, 1.0, 0.0, 0.0, 0.02),  # hopeless
        (0.0, 0.01, 0.3, 0.95, 1.0),  # sure to be within the margin
        (0.8, 1.0, 0.0, 0.15, 0.7),
        (0.0, 0.0, 0.3, 0.95, 1.0),  # no spread at all
    ],
)
def test_chance(mean: float, sd: float, margin: float, low: float, high: float) -> None:
    for sign in (1, -1):
        found = chance(Pairs(6, sign * mean, sd), np.array([0, 10]), 0.004, margin)
        assert found[0] == 0 and low <= found[1] <= high


@pytest.mark.parametrize(
    ("pairs", "level", "expected"),
    [
        (Pairs(1, 5.0, math.nan), 0.01, math.inf),
        (Pairs(6, 0.31, 1.0), 0.01, 119.0),  # above the margin: it can be told from none
        (Pairs(40, 0.25, 0.2), 0.01, 171.0),  # below it, though significant: it can only be shown not to matter
        (Pairs(4, 1.0, 0.0), 0.01, 4.0),  # no spread: as many as a sign test needs
    ],
)
def test_further_pairs(pairs: Pairs, level: float, expected: float) -> None:
    assert further_pairs(pairs, level, 0.3) == expected


def test_resolution_gets_finer_with_runs_and_coarser_with_arms_and_noise() -> None:
    told = [resolution(request(runs), 1.0) for runs in (35, 70, 140, 700)]
    assert told == sorted(told, reverse=True) and 0.2 < told[-1] < 0.5
    assert resolution(request(70), 2.0) == pytest.approx(2 * told[1])
    assert resolution(request(70, ACTIVE[:2]), 1.0) < told[1]
    assert resolution(request(13), 1.0) == math.inf == resolution(request(70, []), 1.0)


@settings(max_examples=60)
@given(
    st.integers(0, 10),
    st.booleans(),
    st.lists(st.integers(0, 150), min_size=1, max_size=3),
    st.sampled_from([0.0, 0.05, 0.3]),
    st.randoms(use_true_random=False),
)
def test_no_more_runs_than_asked(count, add_one_in, totals, margin, random) -> None:  # type: ignore[no-untyped-def]
    """Whatever the values, whatever fails, and however often more or fewer are asked for."""
    active = [f"r{i}" for i in range(count)]

    def value(run: ArmRun) -> Result | None:
        if random.random() < 0.1:
            return None
        reached = random.choice([0.1, 0.5, 0.5, 0.9]) + 0.4 * (run.arm == WINNER)
        return Result(reached, random.choice([0.1, 0.1, 0.3, math.nan]))

    stages, results, lost, made = (), {}, frozenset(), []  # type: ignore[var-annotated]
    for step, total in enumerate(totals, start=1):
        of = request(total, active, margin, add_one_in=add_one_in)
        before, had = stages, {arm: dict(rows) for arm, rows in results.items()}
        stages, results, lost, runs = conducted(of, value, stages, results, lost)
        made += runs
        assert sum(map(len, results.values())) <= max(totals[:step])
        assert len(stages) >= len(before)
        assert all(results[arm][n] == row for arm, rows in had.items() for n, row in rows.items())
        assert advance(of, stages, results, lost) == (stages, [])
    assert not [run for run, times in Counter(made).items() if times > 1]
    contrasts = request(0, active, add_one_in=add_one_in).contrasts
    for stage in stages:
        ran = [one for one in contrasts if set(one.arms) <= set(stage.arms)]
        assert set(arms_of(ran)) == set(stage.arms)  # no arm runs without the one that it is compared with
        assert max((min(stage.until[arm] for arm in one.arms) for one in ran), default=0) == stage.last
    assert sum(stage.alpha for stage in stages) <= SIGNIFICANCE_LEVEL + 1e-12
    now = standing(results, contrasts, stages, lost, margin)
    assert now.looks == len(stages) or not stages[now.looks].ended(results, lost)


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(0, 120), st.integers(0, 1000))
def test_killed_anywhere_it_goes_on_to_the_same_end(count: int, runs: int, seed: int) -> None:
    """Runs that end one by one, in any order, and a new call after each, make the same runs as calls after all."""
    active = ACTIVE[: min(count, 5)]
    of, value = request(runs, active), noisy({"augmentation": 1.5, "dropout": 0.8}, seed, active=active)
    whole = conducted(of, value)
    stages, results = (), {}  # type: ignore[var-annotated]
    rng = np.random.default_rng(seed)
    while True:
        stages, todo = advance(of, stages, results)
        if not todo:
            break
        run = todo[rng.integers(len(todo))]
        results.setdefault(run.arm, {})[run.repeat] = value(run)
    assert (stages, {arm: dict(sorted(rows.items())) for arm, rows in results.items()}) == whole[:2]


@pytest.mark.parametrize("runs", range(0, 60, 3))
def test_few_runs_are_used_up(runs: int) -> None:
    made = conducted(request(runs), noisy({"dropout": 0.5}))[3]
    left = runs - len(made)
    assert left < (2 if runs > 7 * MIN_REPEATS + 7 else 7)
