"""How far beyond its budget an answer can get, by simulated trainings: what the last runs take longer than expected."""

from __future__ import annotations

import math
import random

import pytest

from regstudy.analysis.answer_deadlines import final_start, last_start, pilot_end, search_last_start
from regstudy.analysis.answer_plan import (
    FEWEST_SEARCHED,
    PILOT_SHARE,
    PRUNED_COST,
    Noise,
    Resources,
    least_budget,
    pilot_runs,
    plan_answer,
)

NAMES = ("dropout", "L2")
PACE = 60.0  # seconds of a training, as expected


class Machine:
    """Workers that look at the clock before each run, never during one; ``cost`` draws what a run takes."""

    def __init__(self, workers: int, least: float, most: float) -> None:
        self.workers, self.least, self.most = workers, least, most
        self.draw = random.Random(workers)
        self.now = 0.0
        self.started = 0

    def run(self, last: float, most_runs: float, cheaper: float = 1.0) -> float:
        """Run until nothing may start any more; returns when the last run has ended."""
        free, self.started = [self.now] * self.workers, 0
        while self.started < most_runs and min(free) < last:
            at = free.index(min(free))
            free[at] += PACE * cheaper * self.draw.uniform(self.least, self.most)
            self.started += 1
        self.now = max(self.now, *free)
        return self.now


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 16])
@pytest.mark.parametrize("times", [1.0, 1.7, 5.0, 40.0])  # the smallest budget
@pytest.mark.parametrize(("least", "most"), [(1.0, 1.0), (0.3, 1.0), (0.8, 1.5), (0.9, 3.0)])
def test_no_phase_ends_later_than_its_last_run_is_slow(workers: int, times: float, least: float, most: float) -> None:
    budget = times * least_budget(Resources(0.0, PACE, workers, 3))
    machine, slow = Machine(workers, least, most), PACE * most
    pilot = machine.run(pilot_end(0.0, budget), pilot_runs(budget, PACE, workers))
    assert pilot <= PILOT_SHARE * budget + slow
    plan = plan_answer(Resources(budget - pilot, PACE, workers), NAMES, Noise(0.01, 3, 400), 0.003)
    if plan is None:  # too small, which is said after the pilot
        return
    search = search_last_start(pilot, plan.seconds["search"], PACE, workers)
    assert machine.run(search, plan.runs["search"], PRUNED_COST) <= search + slow
    assert machine.started >= min(FEWEST_SEARCHED, workers)
    final = final_start(budget, PACE)
    for phase in ("confirm", "ablate"):
        last = last_start(final, PACE)
        before = machine.now
        assert machine.run(last, plan.runs[phase]) <= max(before, final + (slow - PACE)), phase  # type: ignore[index]
    end = machine.run(math.inf, 1) if workers == 1 else machine.now + PACE * machine.draw.uniform(least, most)
    over = end - budget
    late = max(0.0, search + slow - final)  # of a search that had to be made in any case
    assert over <= 2 * (slow - PACE) + late
    if most == 1.0 and not late:
        assert over < 0


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 8, 10, 64])
@pytest.mark.parametrize("planned", [0.0, 7.0])
def test_the_smallest_search_is_made_with_any_number_of_workers(workers: int, planned: float) -> None:
    machine = Machine(workers, 1.0, 1.0)
    machine.run(search_last_start(0.0, planned * PACE / workers, PACE, workers), math.inf, PRUNED_COST)
    assert machine.started >= FEWEST_SEARCHED


@pytest.mark.parametrize("slower", [1.0, 1.2, 1.6])
def test_the_smallest_budget_is_kept_within_five_percent_if_the_last_two_runs_are_not_much_slower(
    slower: float,
) -> None:
    budget = least_budget(Resources(0.0, PACE, 1, 1))
    last = last_start(final_start(budget, PACE), PACE)
    assert last + 2 * slower * PACE <= 1.05 * budget
