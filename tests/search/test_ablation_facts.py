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

from regstudy.analysis.ablation_rates import FACTORS, arm_at, is_try
from regstudy.analysis.ablation_tables import compared, results_in, tries_in
from regstudy.search.ablation_facts import (
    AblationFacts,
    ablation_in,
    ablation_plan,
    names_of,
    next_runs,
    parse_ablation,
    winner_config,
)
from regstudy.search.ablation_words import plan_words, rates_words, spare_words, stage_words
from regstudy.space.round_plan import ROUND, TRIAL, RoundPlan
from regstudy.space.seeds import round_seeds
from regstudy.space.study_section import StudySection
from regstudy.study import attributes
from regstudy.study.load_tables import load_tables
from regstudy.study.queue_state import ATTEMPTS

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
        replace(NEW, retune_lr=True, factors={"winner": 1.0, "baseline": 1 / 3}),
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


def test_an_ablation_of_an_earlier_version_retunes_nothing() -> None:
    study = search()
    stored = run_all(NEW, noise).plain(study)
    del stored["retune_lr"], stored["factors"]
    found = parse_ablation(stored)
    assert not found.retune_lr and not found.factors and not found.tried
    assert {key: value for key, value in found.plain(study).items() if key in stored} == stored


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


RETUNED = replace(NEW, retune_lr=True, runs=90)  # of which 30 choose the rates of five arms
TAKEN = {"without dropout": 3.0, "baseline": 1 / 3}


def at_best(run: Run) -> float:
    """`TAKEN` are the best rates of these arms; tries of the others are best where they are."""
    for rate, factor in FACTORS.items():
        if run[0].endswith(f" at {rate}"):
            arm = run[0].removesuffix(f" at {rate}")
            return noise((arm, run[1])) + (0.05 if factor == TAKEN.get(arm, 1.0) else 0.0)
    return noise(run)


def test_learning_rates_are_chosen_first_and_their_tries_enter_nothing() -> None:
    study = fresh()
    facts = run_all(RETUNED, at_best, study=study)
    tries, rest = facts.planned[:30], facts.planned[30:]
    assert set(tries) == {(arm_at(arm, rate), n) for arm in facts.arms for rate in FACTORS for n in (1, 2)}
    assert not any(is_try(arm) for arm, _ in rest) and len(facts.planned) <= 90
    assert facts.factors == {**dict.fromkeys(facts.arms, 1.0), **TAKEN}
    plain = run_all(replace(NEW, runs=60), noise)
    assert rest == plain.planned and facts.stages == plain.stages  # the comparison is that without the tries

    tables = load_tables(study)
    assert results_in(tables).keys() == facts.arms.keys() and len(tries_in(tables)) == 15
    assert set(compared(tables).trials["arm"]) == facts.arms.keys()
    assert len(tables.trials) == len(compared(tables).trials) + 30

    plan = ablation_plan(facts, search(), StudySection(seed=5), fresh_splits=True)
    bare = ablation_plan(plain, search(), StudySection(seed=5), fresh_splits=True)
    for arm, number in rest:
        expected = bare.in_round(arm, number)
        rate = facts.factors[arm] * expected.optimizer.lr
        assert plan.in_round(arm, number) == expected.replaced({"optimizer.lr": rate})
    seeds = {plan.in_round(*run).training.seed for run in tries}
    assert len(seeds) == 2 and seeds.isdisjoint(plan.in_round(*run).training.seed for run in rest)
    rates = {run[0]: plan.in_round(*run).optimizer.lr for run in tries}
    for rate, factor in FACTORS.items():
        assert rates[arm_at("winner", rate)] == factor * WINNER.optimizer.lr


def test_what_is_said_about_learning_rates() -> None:
    study = fresh()
    first = next_runs(RETUNED, study)
    before = plan_words(first, search(), None, "on a fresh split", "the best trial")
    assert (
        "30 runs of these come first: each arm is tried at the learning rates 0.00333, 0.01 and 0.03, 2 times" in before
    )
    assert "no comparison, which has the other 60 runs." in before
    assert stage_words(first, search()) == "Learning rates: 30 runs to choose them."
    plain = plan_words(replace(NEW, runs=60), search(), None, "on a fresh split", "the best trial")
    assert before.rpartition("Effects")[2] == plain.rpartition("Effects")[2]  # no smaller effects than its runs detect
    study.add_trials([ended(run, slot, at_best(run)) for slot, run in enumerate(first.planned)])
    then = next_runs(first, study)
    said = (
        " Learning rates, chosen by runs that enter no comparison: 0.00333 (divided by 3): baseline; 0.01 (unchanged):"
        " winner, without label smoothing and without augmentation; 0.03 (times 3): without dropout."
    )
    assert rates_words(then, search()) == said and stage_words(then, search()).endswith(said)
    assert said in plan_words(then, search(), None, "on a fresh split", "the best trial")
    assert not rates_words(NEW, search())


@pytest.mark.parametrize(
    "lost",
    [
        lambda run: run == ("without dropout at lr × 3", 2),
        lambda run: run[0] == "winner at lr",
        lambda run: run[0].startswith("without dropout"),
        lambda run: is_try(run[0]),
    ],
    ids=["one", "the winner's", "an arm", "all tries"],
)
def test_tries_that_are_given_up_leave_their_runs_to_the_comparison(lost: Callable[[Run], bool]) -> None:
    study = fresh()
    facts = run_all(RETUNED, at_best, lost, study)
    gone = sum(lost(run) for run in facts.planned if is_try(run[0]))
    assert facts.tried == 30 - gone and facts.made <= 90 and facts.factors.keys() == facts.arms.keys()
    assert facts.made == 90 or spare_words(facts, 90)
    if gone == 30:
        assert set(facts.factors.values()) == {1.0}
        assert facts.stages[0].first == 1 and facts.request.runs == 90


def test_rates_stay_when_more_runs_are_asked_for() -> None:
    study = fresh()
    first = run_all(replace(RETUNED, runs=50), at_best, study=study)
    later = run_all(replace(first, runs=90), at_best, study=study)
    assert later.factors == first.factors and later.planned[: len(first.planned)] == first.planned
    assert sum(is_try(arm) for arm, _ in later.planned) == 30 and len(later.planned) > 50


@pytest.mark.parametrize("changes", [{}, {"interactions": True}, {"add_one_in": True}, {"active": ("a",)}])
def test_the_least_number_of_runs_has_room_for_the_tries(changes: dict[str, Any]) -> None:
    facts = replace(NEW, **changes)
    retuned = replace(facts, retune_lr=True)
    assert retuned.least == facts.least + 6 * len(facts.arms)
    ran = run_all(replace(retuned, runs=retuned.least), noise)
    assert len(ran.planned) == retuned.least and {run[1] for run in ran.planned} == {1, 2, 3, 4}
