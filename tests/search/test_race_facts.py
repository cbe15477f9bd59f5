"""The race among the leaders of planted studies: who takes part, and that as many runs are made as asked for."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState, create_trial
from tiny import make_config

from regstudy.analysis.race import BASELINE, MIN_ROUNDS, Race, Run
from regstudy.search.race_facts import (
    RaceFacts,
    best_baseline,
    challengers,
    facts_in,
    next_round,
    parse_facts,
    round_plan,
)
from regstudy.space.round_plan import RoundPlan
from regstudy.space.study_section import StudySection
from regstudy.study import attributes
from regstudy.study.queue_state import ATTEMPTS

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
NEW = RaceFacts(14, 0, Race(()))
optuna.logging.set_verbosity(optuna.logging.WARNING)


@cache
def _config(dropout: float) -> dict[str, Any]:
    return make_config({"model.dropout": dropout, "data.split_seed": 5}).model_dump(mode="json")


def trial(
    value: float | None,
    dropout: float = 0.0,
    arm: str = "search",
    state: TrialState = COMPLETE,
    outcome: str = "stopped",
) -> FrozenTrial:
    """A trial of the search; trials with the same dropout have the same configuration and other seeds."""
    config = _config(dropout)
    config = {**config, "training": {**config["training"], "seed": random.randrange(2**32)}}
    facts = {attributes.ARM: arm, attributes.OUTCOME: outcome, attributes.CONFIG: config}
    return create_trial(value=value, state=state, user_attrs=facts)


def study_of(trials: Iterable[FrozenTrial], direction: str = "maximize") -> optuna.Study:
    study = optuna.create_study(direction=direction)
    study.add_trials(trials)
    return study


def with_challengers(count: int, direction: str = "maximize") -> optuna.Study:
    """A baseline and as many other configurations, the first of them the best."""
    sign = 1 if direction == "maximize" else -1
    others = [trial(0.5 - sign * 0.01 * place, 0.01 * (place + 1)) for place in range(count)]
    return study_of([trial(0.5, arm="baseline"), *others], direction)


def run_all(
    facts: RaceFacts, search: optuna.Study, value: Callable[[Run], float], lost: Callable[[int], bool] = lambda _: False
) -> RaceFacts:
    """Run what the race plans until it plans nothing more; a slot that is lost fails as often as is tried."""
    ended: list[FrozenTrial] = []
    for _ in range(1000):
        after = next_round(facts, search, ended)
        if after == facts:
            return after
        assert after.planned[: len(facts.planned)] == facts.planned, "slots that were decided have changed"
        for slot in range(len(facts.planned), len(after.planned)):
            kept: dict[str, Any] = {attributes.SLOT: slot}
            if lost(slot):
                failed = create_trial(state=FAIL, user_attrs={**kept, attributes.FAULT: "error"})
                ended += [failed] * ATTEMPTS["error"]
            else:
                ended.append(create_trial(value=value(after.planned[slot]), user_attrs=kept))
        facts = after
    raise AssertionError("the race does not end")


def test_the_best_usable_baseline_is_taken() -> None:
    study = study_of([
        trial(0.9, 0.1),
        trial(0.5, arm="baseline"),
        trial(0.8, arm="baseline", outcome="diverged"),
        trial(0.6, arm="baseline"),
        trial(None, arm="baseline", state=FAIL),
        create_trial(value=0.99, user_attrs={attributes.ARM: "baseline"}),  # its configuration is unknown
    ])  # fmt: skip
    found = best_baseline(study)
    assert found is not None and found.number == 3
    assert best_baseline(study_of([trial(0.9, 0.1)])) is None


@pytest.mark.parametrize(("direction", "expected"), [("maximize", [3, 1, 9]), ("minimize", [9, 1, 3])])
def test_challengers_are_the_distinct_usable_configurations_best_first(direction: str, expected: list[int]) -> None:
    sign = 1 if direction == "maximize" else -1
    better, worse = 0.5 + sign * 0.2, 0.5 - sign * 0.2
    study = study_of([
        trial(0.5, arm="baseline"),
        trial(0.5, 0.1),
        trial(worse, 0.1),  # the same configuration as trial 1 with another seed
        trial(0.7, 0.2),
        trial(better, 0.0),  # that of the baseline
        trial(better, 0.3, outcome="diverged"),
        trial(None, 0.4, state=PRUNED),
        trial(None, 0.5, state=FAIL),
        trial(better, arm="baseline"),
        trial(0.3, 0.6),
        create_trial(value=better),  # of plain Optuna
    ], direction)  # fmt: skip
    assert [one.number for one in challengers(study, 0)] == expected


def test_a_race_takes_the_leaders_whatever_direction_is_better() -> None:
    for direction in ("maximize", "minimize"):
        first = next_round(NEW, with_challengers(10, direction), [])
        assert first.race.leaders == (1, 2, 3, 4)
        assert first.planned == (Run(BASELINE, 1), *(Run(number, 1) for number in (1, 2, 3, 4)))


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_better_in_the_fresh_runs_wins(direction: str) -> None:
    sign = 1 if direction == "maximize" else -1
    ended = run_all(NEW, with_challengers(10, direction), lambda run: 0.5 + sign * 0.2 * (run.number == 3))
    assert ended.race.leaders == (3,) and len(ended.planned) == 14
    pairs = {run.round for run in ended.planned if run.number == 3}
    assert pairs == {run.round for run in ended.planned if run.number == BASELINE} == {1, 2, 3, 4, 5}


def test_nothing_is_planned_while_a_run_is_open() -> None:
    search = with_challengers(10)
    first = next_round(NEW, search, [])
    some = [create_trial(value=0.5, user_attrs={attributes.SLOT: slot}) for slot in range(4)]
    assert next_round(first, search, some) == first
    interrupted = create_trial(state=FAIL, user_attrs={attributes.SLOT: 4})  # it comes back
    assert next_round(first, search, [*some, interrupted]) == first
    last = create_trial(value=0.5, user_attrs={attributes.SLOT: 4})
    assert next_round(first, search, [*some, interrupted, last]).race.round == 2


@settings(max_examples=40)
@given(st.integers(1, 12), st.integers(1, 40), st.randoms(use_true_random=False))
def test_exactly_as_many_runs_as_asked_for_and_pairs_hold(count: int, runs: int, chance: random.Random) -> None:
    """Also with fewer leaders than a race of so many runs would have, and when more are asked for later."""
    search, facts = with_challengers(count), RaceFacts(runs, 0, Race(()))
    values: dict[Run, float] = {}
    value = lambda run: values.setdefault(run, chance.random())  # noqa: E731
    ended = run_all(facts, search, value)
    assert len(ended.planned) == runs == len(set(ended.planned))
    baseline = {run.round for run in ended.planned if run.number == BASELINE}
    assert runs < 2 or all(run.round in baseline for run in ended.planned)


@settings(max_examples=25)
@given(st.integers(1, 8), st.integers(8, 30), st.integers(0, 30), st.randoms(use_true_random=False))
def test_raised_later_it_runs_what_is_missing(count: int, runs: int, more: int, chance: random.Random) -> None:
    search, ended = with_challengers(count), []
    facts = RaceFacts(runs, 0, Race(()))
    for total in (runs, runs + more):
        facts = RaceFacts(total, 0, facts.race, facts.planned)
        while (after := next_round(facts, search, ended)) != facts:
            new = range(len(facts.planned), len(after.planned))
            ended += [create_trial(value=chance.random(), user_attrs={attributes.SLOT: slot}) for slot in new]
            facts = after
    assert len(facts.planned) == runs + more == len(set(facts.planned))
    baseline = {run.round for run in facts.planned if run.number == BASELINE}
    assert baseline == set(range(1, max(baseline) + 1))
    for run in facts.planned:
        assert run.round in baseline
    shared = Counter(run.number for run in facts.planned if run.number != BASELINE)
    assert max(shared.values()) >= MIN_ROUNDS
    if more >= 8:  # whoever leads in the end has run all rounds that were decided for it
        mine = {run.round for run in facts.planned if run.number == facts.race.leaders[0]}
        assert mine == set(range(1, facts.race.round + 1))


@settings(max_examples=25)
@given(st.integers(1, 8), st.integers(8, 30), st.sets(st.integers(0, 30)))
def test_runs_that_are_given_up_do_not_hold_it_up(count: int, runs: int, lost: set[int]) -> None:
    ended = run_all(RaceFacts(runs, 0, Race(())), with_challengers(count), lambda _: 0.5, lambda slot: slot in lost)
    assert len(ended.planned) == runs and len(set(ended.planned)) == runs


def test_every_run_given_up_ends_it_too() -> None:
    ended = run_all(RaceFacts(14, 0, Race(())), with_challengers(5), lambda _: 0.5, lambda _: True)
    assert len(ended.planned) == 14


def test_the_facts_are_stored_as_one_well_formed_attribute() -> None:
    search = with_challengers(10)
    facts = run_all(NEW, search, lambda run: run.round / 10)
    plain = json.loads(json.dumps(facts.plain(search)))
    assert parse_facts(plain) == facts
    fresh = optuna.create_study()
    assert facts_in(fresh) is None
    fresh.set_user_attr(attributes.RACE, plain)
    assert facts_in(fresh) == facts
    fresh.set_user_attr(attributes.RACE, {**plain, "planned": [[1]]})
    assert facts_in(fresh) is None


def plan_of(facts: RaceFacts, search: optuna.Study) -> RoundPlan:
    return round_plan(facts, search, StudySection(), fresh_splits=True)


def test_runs_have_the_configurations_of_their_trials() -> None:
    search = with_challengers(10)
    first = next_round(NEW, search, [])
    plan = plan_of(first, search)
    assert plan.runs == [("baseline", 1), *((f"trial {number}", 1) for number in (1, 2, 3, 4))]
    assert plan.trials == {"baseline": 0, "trial 1": 1, "trial 2": 2, "trial 3": 3, "trial 4": 4}
    assert [plan.arms[f"trial {number}"].model.dropout for number in (1, 2, 3, 4)] == [0.01, 0.02, 0.03, 0.04]
    assert plan.decided == 5 and plan_of(NEW, search).decided == 0
