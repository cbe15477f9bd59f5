"""Runs of a round share their seeds, rounds differ, and a plan orders only what has been decided."""

from __future__ import annotations

import math

import optuna
import pytest
from tiny import make_config

from regstudy.space.plan import Slot
from regstudy.space.round_plan import ROUND, TRIAL, RoundPlan
from regstudy.space.seeds import fold_seed, repeat_seed, round_seeds, split_seed, training_seed
from regstudy.space.study_section import StudySection

RUNS = [("baseline", 1), ("trial 7", 1), ("baseline", 2), ("trial 7", 2), ("trial 9", 1)]
CONFIGS = {
    "baseline": make_config({"training.seed": 1, "data.split_seed": 5}),
    "trial 7": make_config({"training.seed": 2, "data.split_seed": 5, "training.epochs": 4}),
    "trial 9": make_config({"training.seed": 3, "data.split_seed": 5}),
}


def plan(*, fresh_splits: bool = True, seed: int = 0) -> RoundPlan:
    trials = {"baseline": 0, "trial 7": 7, "trial 9": 9}
    return RoundPlan("s", CONFIGS, RUNS, StudySection(seed=seed), trials, fresh_splits)


@pytest.mark.parametrize("fresh_splits", [True, False])
def test_a_round_shares_its_seeds_and_rounds_differ(fresh_splits: bool) -> None:
    one = plan(fresh_splits=fresh_splits)
    configs = {run: one.in_round(*run) for run in RUNS}
    seeds = {run: (config.training.seed, config.data.split_seed) for run, config in configs.items()}
    assert seeds["baseline", 1] == seeds["trial 7", 1] == seeds["trial 9", 1]
    assert seeds["baseline", 2] == seeds["trial 7", 2]
    assert seeds["baseline", 1][0] != seeds["baseline", 2][0]
    assert (seeds["baseline", 1][1] != seeds["baseline", 2][1]) is fresh_splits
    if not fresh_splits:
        assert {split for _, split in seeds.values()} == {5}
    for (arm, _), config in configs.items():  # and nothing else differs from the configuration of the search
        back = {"training.seed": CONFIGS[arm].training.seed, "data.split_seed": 5}
        assert config.replaced(back) == CONFIGS[arm]


def test_no_other_run_of_a_study_has_the_seeds_of_a_round() -> None:
    fresh = [seed for number in range(1, 40) for seed in round_seeds(0, number)]
    others = [split_seed(0), *(f(0, n) for f in (training_seed, repeat_seed) for n in range(200))]
    others += [fold_seed(training_seed(0, slot), fold) for slot in range(40) for fold in range(1, 6)]
    assert len(set(fresh)) == len(fresh) and not set(fresh) & set(others)
    assert round_seeds(0, 1) != round_seeds(1, 1)


def test_tries_have_numbers_and_seeds_of_their_own() -> None:
    configs = {**CONFIGS, "trial 7 at lr": CONFIGS["trial 7"], "trial 9 at lr": CONFIGS["trial 9"]}
    tries = frozenset(configs) - frozenset(CONFIGS)
    one = RoundPlan("s", configs, RUNS, StudySection(), dict.fromkeys(configs, 7), kind="ablation", tries=tries)
    seeds = [{(c.training.seed, c.data.split_seed) for arm in arms for c in [one.in_round(arm, number)]}
             for arms in (tries, CONFIGS) for number in range(1, 40)]  # fmt: skip
    assert all(len(each) == 1 for each in seeds)  # shared
    known = {seed for each in seeds for pair in each for seed in pair}
    confirming = {seed for number in range(1, 40) for seed in round_seeds(0, number)}
    assert len(known) == 2 * len(seeds) and not known & confirming


@pytest.mark.parametrize("slot", range(len(RUNS)))
def test_a_slot_is_ordered_and_configured_alike(slot: int) -> None:
    one, (arm, number) = plan(), RUNS[slot]
    study = optuna.create_study()
    assert one.order(slot) == (arm, {TRIAL: one.trials[arm], ROUND: number})
    study.enqueue_trial(one.order(slot)[1])
    trial = study.ask()
    assert one.configure(trial, Slot(slot, arm, len(RUNS))) == one.in_round(arm, number)
    assert trial.params == {TRIAL: one.trials[arm], ROUND: number}
    assert one.label(slot) == f"{arm}, round {number}"
    assert not one.prunable(arm)


def test_it_orders_what_is_decided_and_the_plans_of_searches_anything() -> None:
    from regstudy.space.arms import plan_of
    from regstudy.space.parsing import parse_space

    space = parse_space({"data": {"name": "digits"}, "model": {"name": "x"}, "optimizer": {"name": "sgd"}}, "x", "")
    assert plan().decided == len(RUNS)
    assert space.decided == plan_of("c", {"x": space}).decided == math.inf


def test_its_fingerprint_tells_whatever_decides_a_run() -> None:
    longer = RoundPlan("s", CONFIGS, [*RUNS, ("trial 9", 2)], StudySection(), plan().trials)
    other = RoundPlan("s", {**CONFIGS, "trial 9": CONFIGS["baseline"]}, RUNS, StudySection(), plan().trials)
    prints = [one.fingerprint for one in (plan(), plan(seed=1), longer, other)]
    assert len(set(prints)) == 4 and plan().fingerprint == prints[0]
    assert plan().planned_epochs == 4 and plan().kind == "confirmation" and plan().nuisances() == []
    assert plan().plain()["runs"] == [list(run) for run in RUNS]
