"""An ablation as it is stored, and its next runs: stages, seeds, and runs that were given up or diverged."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from tiny import make_config

from regstudy.analysis.ablation_tables import results_in
from regstudy.search.ablation_facts import (
    AblationFacts,
    ablation_in,
    ablation_plan,
    names_of,
    next_runs,
    parse_ablation,
    winner_config,
)
from regstudy.search.ablation_words import spare_words
from regstudy.space.round_plan import ROUND, TRIAL, RoundPlan
from regstudy.space.seeds import round_seeds
from regstudy.space.study_section import StudySection
from regstudy.study import attributes
from regstudy.study.queue_state import ATTEMPTS
from regstudy.study.tables import load_tables

optuna.logging.set_verbosity(optuna.logging.WARNING)
ON = {
    "model.dropout": 0.2, "regularization.label_smoothing": 0.1,
    "augmentation.strength": 0.5, "augmentation.ops": ["flip", "crop"], "data.split_seed": 7,
}  # fmt: skip
WINNER = make_config(ON)
NEW = AblationFacts(0, 60, 0.003, tuple(names_of(WINNER, fine=False)))
Run = tuple[str, int]


def search() -> optuna.Study:
    study = optuna.create_study(study_name="s", direction="maximize")
    facts = {attributes.ARM: "search", attributes.CONFIG: WINNER.model_dump(mode="json")}
    study.add_trial(create_trial(value=0.5, user_attrs={**facts, attributes.OUTCOME: "finished"}))
    return study


def fresh() -> optuna.Study:
    study = optuna.create_study(study_name="s/ablation", direction="maximize")
    study.set_user_attr(attributes.METRIC, "val_accuracy")
    return study


def ended(run: Run, slot: int, value: float, outcome: str = "finished") -> optuna.trial.FrozenTrial:
    numbers: dict[str, Any] = {TRIAL: 0, ROUND: run[1]}
    distributions = {key: optuna.distributions.IntDistribution(n, n) for key, n in numbers.items()}
    kept = {attributes.SLOT: slot, attributes.ARM: run[0], attributes.OUTCOME: outcome, attributes.BEST_EPOCH: 1}
    return create_trial(value=value, params=numbers, distributions=distributions, user_attrs=kept)


def run_all(
    facts: AblationFacts,
    value: Callable[[Run], float],
    lost: Callable[[Run], bool] = lambda _: False,
    study: optuna.Study | None = None,
) -> AblationFacts:
    """Run what is planned until nothing more is; a run that is lost fails as often as it is tried."""
    study = study if study is not None else fresh()
    for _ in range(100):
        after = next_runs(facts, study)
        if after == facts:
            assert next_runs(after, study) == after
            return after
        assert after.planned[: len(facts.planned)] == facts.planned, "slots that were decided have changed"
        for slot in range(len(facts.planned), len(after.planned)):
            run = after.planned[slot]
            if lost(run):
                failed = {attributes.SLOT: slot, attributes.FAULT: "error"}
                study.add_trials([create_trial(state=TrialState.FAIL, user_attrs=failed)] * ATTEMPTS["error"])
            else:
                study.add_trial(ended(run, slot, value(run)))
        facts = after
    raise AssertionError("the ablation does not end")


def noise(run: Run) -> float:
    """The same for the same run, and unlike any other."""
    return 0.5 + 0.1 * math.sin(97 * run[1] + 31 * len(run[0]) + ord(run[0][-1]))


@pytest.mark.parametrize(
    "facts",
    [
        NEW,
        replace(NEW, fine=True, add_one_in=True, margin=0.01),
        replace(NEW, interactions=True),
        replace(NEW, planned=(("winner", 1), ("baseline", 1)), lost=(("baseline", 1),)),
    ],
)
def test_what_is_stored_is_read_again(facts: AblationFacts) -> None:
    study = fresh()
    if facts is NEW:
        facts = run_all(facts, noise, study=study)
    stored = json.loads(json.dumps(facts.plain(search())))
    assert parse_ablation(stored) == facts
    assert ablation_in(study) is None
    study.set_user_attr(attributes.ABLATION, stored)
    assert ablation_in(study) == facts


@pytest.mark.parametrize(
    ("changes", "arms"),
    [
        ({}, ["winner", "without dropout", "without label smoothing", "without augmentation", "baseline"]),
        ({"active": ("a",)}, ["winner", "baseline"]),
        ({"active": ("a",), "add_one_in": True}, ["winner", "baseline"]),
        ({"active": ("a", "b")}, ["winner", "without a", "without b", "baseline"]),
        ({"active": ("a", "b"), "add_one_in": True}, ["winner", "without a", "without b", "baseline"]),
        ({"active": ("a", "b"), "interactions": True}, ["winner", "without a", "without b", "baseline"]),
        (
            {"active": ("a", "b", "c"), "add_one_in": True},
            ["winner", "without a", "without b", "without c", "baseline", "only a", "only b", "only c"],
        ),
    ],
)
def test_identical_arms_are_one(changes: dict[str, Any], arms: list[str]) -> None:
    facts = replace(NEW, **changes)
    assert sorted(facts.arms) == sorted(arms)
    assert len(set(facts.arms.values())) == len(arms)
    planned = run_all(facts, noise).planned
    assert len(set(planned)) == len(planned) <= facts.runs


def test_many_regularizers_do_not_list_their_subsets() -> None:
    many = replace(NEW, active=tuple(f"r{n}" for n in range(40)), runs=400)
    assert len(many.arms) == 42 and many.least == 168
    assert many.arms["without r7"] == set(many.active) - {"r7"}


def planned(**changes: Any) -> tuple[AblationFacts, RoundPlan]:
    facts = run_all(replace(NEW, **changes), noise)
    return facts, ablation_plan(facts, search(), StudySection(seed=5), fresh_splits=True)


@pytest.mark.parametrize("fine", [False, True])
def test_an_arm_is_the_winner_without_what_is_off(fine: bool) -> None:
    _, plan = planned(fine=fine, active=tuple(names_of(WINNER, fine=fine)), add_one_in=True)
    assert plan.arms["winner"] == winner_config(search(), 0) == WINNER
    assert plan.arms["baseline"] == WINNER.without_regularizers()
    assert plan.arms["without dropout"] == WINNER.replaced({"model.dropout": 0.0})
    only = plan.arms["only dropout"]
    assert names_of(only, fine=fine) == ["dropout"] and only.model == WINNER.model
    if fine:
        assert plan.arms["without augmentation by crop"].augmentation.ops == ("flip",)
    configs = [str(config) for config in plan.arms.values()]
    assert len(set(configs)) == len(configs)


def test_seeds_are_those_of_the_repeat_and_of_nothing_else() -> None:
    facts, plan = planned()
    seeds: dict[int, set[tuple[int, int]]] = {}
    for arm, repeat in facts.planned:
        config = plan.in_round(arm, repeat)
        seeds.setdefault(repeat, set()).add((config.training.seed, config.data.split_seed))
    assert len(seeds) >= 8 and all(len(each) == 1 for each in seeds.values())
    used = [next(iter(each)) for each in seeds.values()]
    confirmed = [round_seeds(5, round_, 1) for round_ in range(1, 200)]
    assert len({n for pair in [*used, *confirmed] for n in pair}) == 2 * (len(used) + len(confirmed))
    assert plan.label(0) == "winner, repeat 1"


def test_the_users_own_validation_part_stays() -> None:
    facts, _ = planned()
    plan = ablation_plan(facts, search(), StudySection(seed=5), fresh_splits=False)
    assert {plan.in_round(*run).data.split_seed for run in facts.planned} == {7}


@pytest.mark.parametrize("runs", [20, 24, 25, 41, 60, 70])
def test_as_many_runs_as_are_asked_for_or_it_is_said_why_not(runs: int) -> None:
    facts = run_all(replace(NEW, runs=runs), noise)
    words = spare_words(facts, runs)
    assert len(facts.planned) <= runs
    assert bool(words) == (len(facts.planned) < runs), words
    if runs == 24:
        assert words == "4 runs of the 24 are left over: too few for a further repeat, which has 5 runs."


def test_no_more_runs_than_are_needed() -> None:
    facts = run_all(NEW, lambda run: 0.5 if run[0] == "baseline" else 0.9 + 0.0001 * noise(run))
    assert len(facts.planned) <= NEW.runs
    alike = run_all(NEW, lambda _: 0.5)
    assert not spare_words(alike, NEW.runs) or "runs" in spare_words(alike, NEW.runs)


def test_more_runs_later_keep_what_is_there() -> None:
    study = fresh()
    first = run_all(replace(NEW, runs=24), noise, study=study)
    later = run_all(replace(first, runs=60), noise, study=study)
    assert later.planned[: len(first.planned)] == first.planned and later.stages[0] == first.stages[0]
    assert len(set(later.planned)) == len(later.planned) > len(first.planned)
    assert math.isclose(sum(stage.alpha for stage in later.stages), 0.05, abs_tol=0.02)


@pytest.mark.parametrize(
    "lost",
    [
        lambda run: run == ("without dropout", 2),
        lambda run: run[0] == "without dropout",
        lambda run: run[1] == 1,
        lambda _: True,
    ],
    ids=["one", "an arm", "a repeat", "all"],
)
def test_runs_that_are_given_up_end_nothing(lost: Callable[[Run], bool]) -> None:
    facts = run_all(NEW, noise, lost)
    assert set(facts.lost) == {run for run in facts.planned if lost(run)}
    assert len(set(facts.planned)) == len(facts.planned)
    assert facts.made <= NEW.runs and len(facts.planned) <= 2 * NEW.runs
    assert facts.made == NEW.runs or spare_words(facts, NEW.runs)


def test_open_runs_are_waited_for() -> None:
    study = fresh()
    facts = next_runs(NEW, study)
    assert facts.planned and next_runs(facts, study) == facts
    study.add_trials([ended(run, slot, noise(run)) for slot, run in enumerate(facts.planned[:-1])])
    assert next_runs(facts, study) == facts


def test_a_run_that_diverged_has_a_value_and_no_gap() -> None:
    study = fresh()
    study.add_trial(ended(("winner", 1), 0, 0.7))
    study.add_trial(ended(("baseline", 1), 1, 0.1, outcome="diverged"))
    found = results_in(load_tables(study))
    assert found["winner"][1].value == 0.7
    diverged = found["baseline"][1]
    assert diverged.value == 0.1 and math.isnan(diverged.gap) and math.isnan(diverged.fit)
