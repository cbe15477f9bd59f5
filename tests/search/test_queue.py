"""Slots: which arm, which seed, which are still to be run, and that none is taken twice."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import optuna
import pytest
from filelock import FileLock
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from regstudy.errors import FileError, StorageError
from regstudy.search import queue
from regstudy.search.queue import GRACE, claim, close, close_orphans, close_owned, count_claimable
from regstudy.space.parsing import parse_space
from regstudy.space.search_space import is_baseline
from regstudy.space.seeds import split_seed, training_seed
from regstudy.study import attributes
from regstudy.study.queue_state import ATTEMPTS, count_finished, queue_state, remaining
from regstudy.study.storage import OpenStudy, open_named, open_storage, sqlite_path, sqlite_url

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
    assert list(queue_state([trial(*each) for each in trials]).missing(3)) == missing


@pytest.mark.parametrize(("fault", "most"), ATTEMPTS.items())
def test_a_slot_is_given_up_after_its_attempts_of_a_kind(fault: str, most: int) -> None:
    failures = [trial(0, TrialState.FAIL, fault)] * most
    assert list(queue_state(failures[1:]).missing(1)) == [0]
    assert list(queue_state(failures).missing(1)) == []
    assert queue_state(failures).given_up(0)
    assert list(queue_state(failures).unfinished(2)) == [1]
    assert not queue_state([*failures, trial(0, TrialState.COMPLETE)]).given_up(0)


def test_slots_whose_attempts_failed_come_last() -> None:
    failures = [
        trial(0, TrialState.FAIL, "error"),
        trial(0, TrialState.FAIL, "error"),
        trial(1, TrialState.FAIL, "error"),
    ]
    assert list(queue_state([*failures, trial(2, TrialState.FAIL)]).missing(5)) == [2, 3, 4, 1, 0]


def test_interruptions_on_purpose_never_use_up_a_slot() -> None:
    assert list(queue_state([trial(1, TrialState.FAIL)] * 100).missing(2)) == [0, 1]


def test_trials_that_are_not_ours_are_passed_over() -> None:
    assert queue_state([create_trial(state=TrialState.COMPLETE, value=1.0)]).finished == frozenset()


def new_study(folder: Path, total: int) -> OpenStudy:
    url = sqlite_url(folder / "study.db")
    study = optuna.create_study(storage=open_storage(url), study_name="s")
    study.set_user_attr(attributes.TRIALS, total)
    return open_named(url, "s")


def claimed(opened: OpenStudy) -> optuna.Trial:
    """A claim that must succeed."""
    trial = claim(opened, SPACE)
    assert trial is not None
    return trial


def test_the_arms_are_asked_for_what_the_space_says(tmp_path: Path) -> None:
    opened = new_study(tmp_path, 4)
    first, searched, other, baseline = [claimed(opened) for _ in range(4)]
    arms = [t.user_attrs[attributes.ARM] for t in (first, searched, other, baseline)]
    assert arms == ["baseline", "search", "search", "baseline"]
    assert SPACE.suggest(first, baseline=True).optimizer.lr == pytest.approx(0.05)
    assert SPACE.suggest(baseline, baseline=True).model.dropout == 0
    assert SPACE.suggest(searched).model.dropout > 0
    assert baseline.params["model.dropout"] == 0


def test_every_slot_is_claimed_once_and_none_beyond_the_total(tmp_path: Path) -> None:
    opened = new_study(tmp_path, 2)
    assert count_claimable(opened.study) == 2
    assert [claimed(opened).user_attrs[attributes.SLOT] for _ in range(2)] == [0, 1]
    assert claim(opened, SPACE) is None and count_claimable(opened.study) == 0
    opened.study.set_user_attr(attributes.TRIALS, 3)
    assert claimed(opened).user_attrs[attributes.SLOT] == 2
    opened.study.set_user_attr(attributes.TRIALS, 1)
    assert claim(opened, SPACE) is None
    assert len(opened.study.trials) == 3
    assert {trial.user_attrs[attributes.OWNER]["pid"] for trial in opened.study.trials} == {os.getpid()}


def test_a_failed_slot_is_claimed_again_with_the_values_it_had(tmp_path: Path) -> None:
    opened = new_study(tmp_path, 2)
    claimed(opened)
    attempt = claimed(opened)
    drawn = SPACE.suggest(attempt)
    opened.study.tell(attempt, state=TrialState.FAIL)
    empty = claimed(opened)  # this attempt ends before it has drawn anything
    assert empty.user_attrs[attributes.SLOT] == 1
    opened.study.tell(empty, state=TrialState.FAIL)
    again = claimed(opened)
    assert again.user_attrs[attributes.SLOT] == 1
    assert SPACE.suggest(again) == drawn


def test_what_an_earlier_version_has_queued_is_taken_first_and_withdrawn_beyond_the_total(tmp_path: Path) -> None:
    opened = new_study(tmp_path, 3)
    for slot in (2, 5, 0):
        opened.study.enqueue_trial({}, user_attrs={attributes.SLOT: slot, attributes.ARM: "search"})
    assert count_claimable(opened.study) == 3
    assert [claimed(opened).user_attrs[attributes.SLOT] for _ in range(3)] == [2, 0, 1]
    assert claim(opened, SPACE) is None
    withdrawn = opened.study.get_trials(states=(TrialState.FAIL,))
    assert [trial.user_attrs[attributes.SLOT] for trial in withdrawn] == [5]
    assert "withdrawn" in withdrawn[0].user_attrs[attributes.REASON]


def test_a_point_that_a_user_has_enqueued_becomes_a_search_trial(tmp_path: Path) -> None:
    opened = new_study(tmp_path, 1)
    opened.study.enqueue_trial({"model.dropout": 0.25})
    trial = claimed(opened)
    assert (trial.user_attrs[attributes.SLOT], trial.user_attrs[attributes.ARM]) == (0, "search")
    assert SPACE.suggest(trial).model.dropout == 0.25
    assert claim(opened, SPACE) is None


def test_trials_of_dead_processes_are_closed_and_those_of_living_ones_are_not(tmp_path: Path) -> None:
    opened = new_study(tmp_path, 4)
    mine, dead, elsewhere, silent = [claimed(opened) for _ in range(4)]
    owner = mine.user_attrs[attributes.OWNER]
    dead.set_user_attr(attributes.OWNER, owner | {"started": owner["started"] - 1})
    for trial in (elsewhere, silent):
        trial.set_user_attr(attributes.OWNER, owner | {"host": "another-machine", "pid": 1})
    elsewhere.set_user_attr(attributes.ALIVE, time.time() - GRACE / 2)
    silent.set_user_attr(attributes.ALIVE, time.time() - GRACE - 1)
    close_orphans(opened)
    states = [t.state for t in opened.study.trials]
    assert states == [TrialState.RUNNING, TrialState.FAIL, TrialState.RUNNING, TrialState.FAIL]
    assert [t.user_attrs.get(attributes.FAULT) for t in opened.study.trials] == [None, "killed", None, "killed"]


def test_closing_a_trial_that_has_ended_changes_nothing(tmp_path: Path) -> None:
    opened = new_study(tmp_path, 1)
    trial = claimed(opened)
    running = opened.study.trials[0]
    opened.study.tell(trial, 0.5)
    close(opened, running, "killed", "its process ended")
    assert opened.study.trials[0].state == TrialState.COMPLETE
    assert attributes.FAULT not in opened.study.trials[0].user_attrs


def test_counting_finished_slots_counts_each_once(tmp_path: Path) -> None:
    study = new_study(tmp_path, 0).study
    for slot, state in [(0, TrialState.COMPLETE), (0, TrialState.COMPLETE), (1, TrialState.FAIL)]:
        study.add_trial(trial(slot, state))
    assert count_finished(study) == 1


def take_all(arguments: tuple[str, str]) -> list[int]:
    """Take trials until none is left, as a worker does, or with Optuna's own queue, filled before."""
    url, way = arguments
    opened = open_named(url, "s")
    taken = []
    while True:
        if way == "ours":
            trial = claim(opened, SPACE)
        else:
            waiting = opened.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
            trial = opened.study.ask() if waiting else None
        if trial is None:
            return taken
        slot = trial.user_attrs.get(attributes.SLOT)  # None for a trial that Optuna had to invent
        taken += [slot] if slot is not None else []
        with contextlib.suppress(UpdateFinishedTrialError):  # of a trial that another process has taken, too
            opened.study.tell(trial, 0.0, skip_if_finished=True)


def taken_by_eight(folder: Path, slots: int, way: str) -> list[int]:
    """What eight processes take of a study's slots, in all; they begin together."""
    opened = new_study(folder, slots)
    if way != "ours":
        for slot in range(slots):
            opened.study.enqueue_trial({}, user_attrs={attributes.SLOT: slot})
    context = multiprocessing.get_context("spawn")
    with context.Pool(8) as pool:
        return list(chain.from_iterable(pool.map(take_all, [(opened.url, way)] * 8, chunksize=1)))


@pytest.mark.table
def test_eight_processes_take_each_of_300_slots_exactly_once(tmp_path: Path) -> None:
    assert sorted(taken_by_eight(tmp_path, 300, "ours")) == list(range(300))


@pytest.mark.table
def test_with_the_queue_of_optuna_itself_some_slots_are_taken_twice(tmp_path: Path) -> None:
    """Shows that the test above can fail: without the lock two processes win the same trial."""
    taken = taken_by_eight(tmp_path, 300, "optuna's")
    assert set(taken) == set(range(300))
    assert len(taken) > 300


@pytest.mark.parametrize(
    "trials",
    [
        [],
        [trial(0, TrialState.COMPLETE), trial(5, TrialState.COMPLETE), trial(2, TrialState.RUNNING)],
        [trial(1, TrialState.FAIL, "error")] * 3 + [trial(1, TrialState.FAIL, "error"), trial(9, TrialState.PRUNED)],
        [trial(3, TrialState.FAIL, "timeout")] * 2 + [trial(3, TrialState.COMPLETE)],
    ],
)
def test_counts_are_those_of_the_slots_themselves(trials: list[FrozenTrial]) -> None:
    state = queue_state(trials)
    for total in range(12):
        assert state.count_missing(total) == len(list(state.missing(total)))
        assert state.count_unfinished(total) == len(list(state.unfinished(total)))


def test_a_million_slots_are_not_listed(tmp_path: Path) -> None:
    opened = new_study(tmp_path, 10**12)  # listing them would never end
    assert count_claimable(opened.study) == 10**12
    assert claimed(opened).user_attrs[attributes.SLOT] == 0
    assert remaining(opened.study, 10**12) == 10**12


def test_a_slot_that_is_taken_twice_because_a_server_dropped_the_lock_is_given_up_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock goes with the connection: what is written after that is undone at the next try."""
    opened, other = new_study(tmp_path, 3), open_named(sqlite_url(tmp_path / "study.db"), "s")
    monkeypatch.setattr("regstudy.study.storage.PATIENCE", (0.0,) * 5)
    monkeypatch.setattr("regstudy.study.storage.connection_lost", lambda error: "lost" in str(error))
    genuine, lost = queue.exclusive, [True]

    @contextmanager
    def dropping(url: str) -> Iterator[Callable[[], object]]:
        if not lost:
            with genuine(url) as check:
                yield check
            return
        lost.pop()
        yield lambda: None
        assert claim(other, SPACE) is not None  # enters, as the lock is free, and takes the next slot
        twin = other.study.trials[-1]
        mine = next(t for t in other.study.trials if t.user_attrs[attributes.SLOT] != twin.user_attrs[attributes.SLOT])
        other.storage.set_trial_user_attr(
            other.trial_id(twin.number), attributes.SLOT, mine.user_attrs[attributes.SLOT]
        )
        raise StorageInternalError("the connection was lost")

    monkeypatch.setattr(queue, "exclusive", dropping)
    assert claim(opened, SPACE) is not None
    running = [t for t in opened.study.trials if t.state == TrialState.RUNNING]
    assert sorted(t.user_attrs[attributes.SLOT] for t in running) == [0, 1]
    (withdrawn,) = (t for t in opened.study.trials if t.state == TrialState.FAIL)
    assert withdrawn.user_attrs[attributes.REASON] == queue.TWICE
    assert queue_state(opened.study.trials).faults[0].total() == 0  # it counts as no failed attempt


def test_a_lock_that_is_held_for_too_long_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regstudy.study.storage.BUSY_TIMEOUT", 0.1)
    opened = new_study(tmp_path, 1)
    with FileLock(tmp_path / "study.lock"), pytest.raises(FileError, match="Another process has held"):
        claim(opened, SPACE)
    assert claim(opened, SPACE) is not None


def delete(opened: OpenStudy) -> None:
    database(opened).unlink()


def replace(opened: OpenStudy) -> None:
    database(opened).rename(database(opened).with_name("old.db"))
    shutil.copy(database(opened).with_name("old.db"), database(opened))


def delete_study(opened: OpenStudy) -> None:
    optuna.delete_study(study_name="s", storage=open_storage(opened.url))


def delete_folder(opened: OpenStudy) -> None:
    shutil.rmtree(database(opened).parent)


def database(opened: OpenStudy) -> Path:
    path = sqlite_path(opened.url)
    assert path is not None
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (delete, "was deleted while the study ran"),
        (replace, "was replaced by another file while"),
        (delete_study, "'s' was deleted from the database"),
        (delete_folder, "was deleted while the study ran"),
    ],
)
def test_a_database_that_goes_away_while_the_study_runs_is_noticed_at_the_next_claim(
    tmp_path: Path, change: Callable[[OpenStudy], None], words: str
) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    opened = new_study(folder, 3)
    trial = claimed(opened)
    change(opened)
    with pytest.raises(StorageError, match=words):
        claim(opened, SPACE)
    with pytest.raises(StorageError, match=words), opened.watched():
        raise KeyError("Record does not exist.")
    assert (folder / "study.db").exists() == (change in (replace, delete_study))
    with contextlib.suppress(KeyError):
        opened.study.tell(trial, 0.5)


def test_only_what_a_process_was_running_is_closed_when_it_is_gone(tmp_path: Path) -> None:
    opened = new_study(tmp_path, 3)
    mine, other, ended = claimed(opened), claimed(opened), claimed(opened)
    gone = {"host": "a", "pid": 7, "started": 1.0}
    for one, owner in ((mine, gone), (other, {**gone, "started": 2.0}), (ended, gone)):
        one.set_user_attr(attributes.OWNER, owner)
    opened.study.tell(ended, 0.5)
    close_owned(opened, gone, "killed", "its node left")
    states = [trial.state for trial in opened.study.trials]
    assert states == [TrialState.FAIL, TrialState.RUNNING, TrialState.COMPLETE]
    assert opened.study.trials[0].user_attrs[attributes.REASON] == "its node left"
