"""How the time of an answer is divided, and what resolution that gives."""

from __future__ import annotations

import math

import pytest

from regstudy.analysis.ablation_design import MIN_REPEATS
from regstudy.analysis.answer_plan import (
    FEWEST_CONFIRMED,
    FEWEST_SEARCHED,
    MOST_CONFIRMED,
    MOST_SEARCHED,
    PILOT_RUNS,
    Noise,
    Resources,
    expected_noise,
    least_budget,
    pilot_runs,
    plan_answer,
    runs_for,
)

NOISE = Noise(0.01, 3, 400)
NAMES = ("dropout", "L2", "label smoothing", "augmentation", "mixup")


@pytest.mark.parametrize("hours", [1, 2, 4, 8, 24, 240])
@pytest.mark.parametrize("training", [5.0, 30.0, 120.0])
@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("names", [(), NAMES[:1], NAMES])
def test_a_plan_fits_its_budget_and_has_the_least_of_everything(
    hours: float, training: float, workers: int, names: tuple[str, ...]
) -> None:
    of = Resources(3600 * hours, training, workers, PILOT_RUNS)
    plan = plan_answer(of, names, NOISE, 0.003)
    if plan is None:
        assert least_budget(of) > of.budget
        return
    assert least_budget(of) <= of.budget + training
    assert sum(plan.seconds.values()) <= of.budget
    assert FEWEST_SEARCHED <= plan.runs["search"] <= MOST_SEARCHED
    assert FEWEST_CONFIRMED <= plan.runs["confirm"] <= MOST_CONFIRMED
    arms = {0: 0, 1: 2, 5: 7}[len(names)]
    assert plan.runs["ablate"] == 0 or plan.runs["ablate"] >= MIN_REPEATS * arms
    assert math.isfinite(plan.half_width) == (plan.runs["ablate"] > 0) == math.isfinite(plan.told)
    if plan.runs["ablate"]:
        assert plan.half_width < plan.told


def test_more_time_is_used_and_tells_smaller_effects() -> None:
    plans = [plan_answer(Resources(3600 * hours, 60, 1), NAMES, NOISE, 0.003) for hours in (2, 4, 8, 16, 64)]
    told = [one.told for one in plans if one is not None]
    assert len(told) == 5 and told == sorted(told, reverse=True) and told[-1] < told[0] / 2
    searched = [one.runs["search"] for one in plans if one is not None]
    assert searched == sorted(searched)


@pytest.mark.parametrize("regularizers", [0, 1, 5])
@pytest.mark.parametrize("training", [1.0, 60.0])
def test_the_smallest_budget_is_just_enough(regularizers: int, training: float) -> None:
    asked = Resources(0.0, training, 2, PILOT_RUNS)
    least = least_budget(asked, regularizers)
    names = NAMES[:regularizers]

    def plan(budget: float) -> int | None:
        made = plan_answer(Resources(budget, training, 2, PILOT_RUNS), names, NOISE, 0.003)
        return None if made is None else made.runs["ablate"]

    enough, less = plan(least * 1.001), plan(least * 0.98)
    assert enough is not None and bool(enough) == bool(regularizers)
    assert not less


def test_the_time_for_the_margin_reaches_it() -> None:
    plan = plan_answer(Resources(3600, 20, 1), NAMES, NOISE, 0.003)
    assert plan is not None and plan.half_width > 0.003
    longer = plan_answer(Resources(plan.for_margin * 1.001, 20, 1), NAMES, NOISE, 0.003)
    assert longer is not None and plan.for_margin > 3600
    assert longer.half_width == pytest.approx(0.003, rel=0.5)  # more time is divided among all phases
    assert runs_for(5, 0.01, 0.0) == math.inf and runs_for(5, math.nan, 0.003) == math.inf


@pytest.mark.parametrize(
    ("budget", "training", "workers", "runs"),
    [(3600, 10, 1, 3), (600, 40, 1, 1), (600, 1000, 1, 1), (3600, 10, 4, 4), (3600, 10, 64, 8), (600, 0.0, 1, 3)],
)
def test_a_pilot_takes_at_most_a_tenth(budget: float, training: float, workers: int, runs: int) -> None:
    assert pilot_runs(budget, training, workers) == runs


@pytest.mark.parametrize(
    ("values", "images", "share", "low", "high"),
    [
        ([0.90, 0.90, 0.90], 400, True, 0.008, 0.013),  # three equal values do not make the images' error vanish
        ([0.85, 0.90, 0.95], 400, True, 0.013, 0.025),
        ([0.90, 0.90, 0.90], 40_000, True, 0.0008, 0.0013),
        ([], 400, True, 0.015, 0.025),  # the guess
        ([1.0, 1.0, 1.0], 400, True, 0.0005, 0.004),  # nobody is always right
        ([0.30, 0.32, 0.34], 400, False, 0.015, 0.02),  # nats: only what the runs show
    ],
)
def test_noise(values: list[float], images: int, share: bool, low: float, high: float) -> None:
    noise = expected_noise(values, images, share=share, guess=0.55)
    assert low < noise.paired < high and noise.runs == len(values) and noise.images == images


def test_noise_is_unknown_or_larger_where_images_tell_less() -> None:
    assert math.isnan(expected_noise([0.3], 400, share=False).paired)
    alike = expected_noise([0.9, 0.9], 400, share=True, tested=100)
    assert alike.paired > 1.9 * expected_noise([0.9, 0.9], 400, share=True).paired
