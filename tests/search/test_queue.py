"""Slots: which arm, which seed, which are still to be run, and that none is taken twice."""

from __future__ import annotations

import contextlib
import multiprocessing
from itertools import chain
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from regstudy.search.queue import close_orphans, top_up
from regstudy.space.parsing import parse_space
from regstudy.space.search_space import is_baseline
from regstudy.space.seeds import split_seed, training_seed
from regstudy.study import attributes
from regstudy.study.queue_state import ATTEMPTS, count_finished, queue_state
from regstudy.study.storage import NoSlotLeft, SlotStorage, open_storage, sqlite_url

SPACE = parse_space(
    {
        "data": {"name": "digits"},
        "model": {"name": "x", "dropout": {"low": 0.0, "high": 0.5}},
        "optimizer": {"name": "sgd", "lr": {"low": 0.01, "high": 0.1}},
    },
    "x",
    "",
)


@pytest.mark.parametrize(("total", "expected"), [(1, 1), (8, 3), (20, 3), (30, 3), (31, 4), (50, 5), (100, 10)])
def test_about_a_tenth_of_the_slots_are_baseline_and_the_first_is(total: int, expected: int) -> None:
    assert is_baseline(0)
    assert sum(map(is_baseline, range(total))) == expected


def test_seeds_differ_between_slots_and_studies_and_stay_the_same() -> None:
    seeds = [training_seed(study, slot) for study in range(3) for slot in range(100)]
    assert len(set(seeds)) == 300
    assert seeds[5] == training_seed(0, 5)
    assert len({split_seed(study) for study in range(100)}) == 100


def trial(slot: int, state: TrialState, fault: str | None = None) -> FrozenTrial:
    attrs: dict[str, Any] = {attributes.SLOT: slot} | ({attributes.FAULT: fault} if fault else {})
    value = 0.5 if state == TrialState.COMPLETE else None
    return create_trial(state=state, value=value, user_attrs=attrs)


@pytest.mark.parametrize(
    ("trials", "missing"),
    [
        ([], [0, 1, 2]),
        ([(0, TrialState.COMPLETE), (1, TrialState.PRUNED)], [2]),
        ([(0, TrialState.WAITING), (1, TrialState.RUNNING)], [2]),
        ([(0, TrialState.FAIL), (1, TrialState.COMPLETE)], [0, 2]),
        ([(0, TrialState.FAIL), (0, TrialState.COMPLETE)], [1, 2]),
        ([(0, TrialState.FAIL), (0, TrialState.WAITING)], [1, 2]),
        ([(7, TrialState.COMPLETE)], [0, 1, 2]),
    ],
)
def test_missing_slots(trials: list[tuple[int, TrialState]], missing: list[int]) -> None:
    assert queue_state([trial(*each) for each in trials]).missing(3) == missing


@pytest.mark.parametrize(("fault", "most"), ATTEMPTS.items())
def test_a_slot_is_given_up_after_its_attempts_of_a_kind(fault: str, most: int) -> None:
    failures = [trial(0, TrialState.FAIL, fault)] * most
    assert queue_state(failures[1:]).missing(1) == [0]
    assert queue_state(failures).missing(1) == []
    assert queue_state(failures).given_up(0)
    assert queue_state(failures).unfinished(2) == [1]
    assert not queue_state([*failures, trial(0, TrialState.COMPLETE)]).given_up(0)


def test_interruptions_on_purpose_never_use_up_a_slot() -> None:
    assert queue_state([trial(1, TrialState.FAIL)] * 100).missing(2) == [0, 1]


def test_trials_that_are_not_ours_are_passed_over() -> None:
    assert queue_state([create_trial(state=TrialState.COMPLETE, value=1.0)]).finished == frozenset()


def new_study(folder: Path, total: int) -> tuple[optuna.Study, str]:
    url = sqlite_url(folder / "study.db")
    study = optuna.create_study(storage=open_storage(url), study_name="s")
    study.set_user_attr(attributes.TRIALS, total)
    top_up(study, SPACE, url)
    return study, url


def waiting(study: optuna.Study) -> list[int]:
    return [t.user_attrs[attributes.SLOT] for t in study.get_trials(states=(TrialState.WAITING,))]


def test_the_arms_are_asked_for_what_the_space_says(tmp_path: Path) -> None:
    study, _ = new_study(tmp_path, 4)
    first, searched, other, baseline = [study.ask() for _ in range(4)]
    arms = [t.user_attrs[attributes.ARM] for t in (first, searched, other, baseline)]
    assert arms == ["baseline", "search", "search", "baseline"]
    assert SPACE.suggest(first, baseline=True).optimizer.lr == pytest.approx(0.05)
    assert SPACE.suggest(baseline, baseline=True).model.dropout == 0
    assert SPACE.suggest(searched).model.dropout > 0
    assert baseline.params["model.dropout"] == 0


def test_topping_up_is_idempotent_follows_the_total_and_withdraws_beyond_it(tmp_path: Path) -> None:
    study, url = new_study(tmp_path, 3)
    for total, expected in [(3, [0, 1, 2]), (5, [0, 1, 2, 3, 4]), (2, [0, 1]), (3, [0, 1, 2])]:
        study.set_user_attr(attributes.TRIALS, total)
        top_up(study, SPACE, url)
        top_up(study, SPACE, url)
        assert waiting(study) == expected


def test_a_failed_slot_is_queued_again_with_the_values_it_had(tmp_path: Path) -> None:
    study, url = new_study(tmp_path, 2)
    study.ask()
    attempt = study.ask()
    drawn = SPACE.suggest(attempt)
    study.tell(attempt, state=TrialState.FAIL)
    for _ in range(2):  # also when the next attempt ends before it has drawn anything
        top_up(study, SPACE, url)
        again = study.ask()
        assert again.user_attrs[attributes.SLOT] == 1
        if _ == 0:
            study.tell(again, state=TrialState.FAIL)
    assert SPACE.suggest(again) == drawn


def test_trials_of_dead_processes_are_closed_and_those_of_living_ones_are_not(tmp_path: Path) -> None:
    study, _ = new_study(tmp_path, 3)
    mine, dead, elsewhere = [study.ask() for _ in range(3)]
    owner = mine.user_attrs[attributes.OWNER]
    dead.set_user_attr(attributes.OWNER, owner | {"started": owner["started"] - 1})
    elsewhere.set_user_attr(attributes.OWNER, owner | {"host": "another-machine", "pid": 1})
    close_orphans(study)
    assert [t.state for t in study.trials] == [TrialState.RUNNING, TrialState.FAIL, TrialState.RUNNING]
    assert study.trials[1].user_attrs[attributes.FAULT] == "killed"


def test_nothing_but_slots_is_handed_out(tmp_path: Path) -> None:
    study, _ = new_study(tmp_path, 1)
    study.ask()
    with pytest.raises(NoSlotLeft):
        study.ask()
    with pytest.raises(NoSlotLeft):
        study.optimize(lambda _: 0.0, n_trials=1)
    assert len(study.trials) == 1


def test_counting_finished_slots_counts_each_once(tmp_path: Path) -> None:
    study, _ = new_study(tmp_path, 0)
    for slot, state in [(0, TrialState.COMPLETE), (0, TrialState.COMPLETE), (1, TrialState.FAIL)]:
        study.add_trial(trial(slot, state))
    assert count_finished(study) == 1


def take_all(arguments: tuple[str, str]) -> list[int]:
    """Claim slots until none is left, as a worker does, with our claim or with Optuna's own."""
    url, claim = arguments
    if claim == "optuna's":
        SlotStorage.set_trial_state_values = RDBStorage.set_trial_state_values  # type: ignore[method-assign]
    study = optuna.load_study(study_name="s", storage=open_storage(url))
    taken = []
    while True:
        try:
            claimed = study.ask()
        except NoSlotLeft:
            return taken
        taken.append(claimed.user_attrs[attributes.SLOT])
        with contextlib.suppress(UpdateFinishedTrialError):
            study._storage.set_trial_state_values(claimed._trial_id, TrialState.COMPLETE, [0.0])


def claimed_by_eight(folder: Path, slots: int, claim: str) -> list[int]:
    """What eight processes claim of a study's slots, in all; they begin together."""
    _, url = new_study(folder, slots)
    context = multiprocessing.get_context("spawn")
    with context.Pool(8) as pool:
        return list(chain.from_iterable(pool.map(take_all, [(url, claim)] * 8, chunksize=1)))


@pytest.mark.slow
def test_eight_processes_take_each_of_500_slots_exactly_once(tmp_path: Path) -> None:
    assert sorted(claimed_by_eight(tmp_path, 500, "ours")) == list(range(500))


@pytest.mark.slow
def test_with_the_claim_of_optuna_itself_some_slots_are_taken_twice(tmp_path: Path) -> None:
    """Shows that the test above can fail: without the conditional update two processes win the same trial."""
    claimed = claimed_by_eight(tmp_path, 300, "optuna's")
    assert set(claimed) == set(range(300))
    assert len(claimed) > 300
