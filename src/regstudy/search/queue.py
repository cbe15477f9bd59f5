"""Slots: a study of N trials has N slots, numbered from 0, each to be finished once.

A slot decides the arm and the seed of its trial, so a trial that is tried again stays the same trial. What else it
asks for is up to the `Plan`: a space leaves the rest to the sampler, a fixed plan leaves nothing open.

Nothing is queued ahead: a worker that is free asks which slot is next and takes it, one process at a time. Optuna's own
queue is no help there, because on SQLite two processes can take the same waiting trial.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from regstudy.search.known_start import tries_of
from regstudy.space.plan import Plan
from regstudy.study import attributes
from regstudy.study.owner import is_dead, is_elsewhere, this_process
from regstudy.study.queue_state import FINISHED, queue_state
from regstudy.study.storage import OpenStudy, exclusive
from regstudy.study.stored_facts import fact

BEYOND = attributes.WITHDRAWN + "it is beyond the number of trials asked for"
TWICE = attributes.WITHDRAWN + "another process has taken the same slot"
GRACE = 900  # seconds without a sign of life until a trial on another machine counts as dead


def claim(opened: OpenStudy, plan: Plan) -> Trial | None:
    """The next trial for this process, None if there is nothing left to take.

    Trials that wait in Optuna's queue come first: those of earlier versions, and points that a user has enqueued. A
    slot whose attempt failed is queued with the values that it had drawn.
    """

    token, tried = secrets.token_hex(8), False

    def take() -> Trial | None:
        nonlocal tried
        opened.check_present()  # before the lock, whose file would create the folder anew
        with exclusive(opened.url) as check_lock:
            claimed = _claimed(opened, token) if tried else None
            tried = True
            return claimed or _take(opened.study, plan, token, check_lock)

    return opened.patiently(take)


def _claimed(opened: OpenStudy, token: str) -> Trial | None:
    """The trial that an earlier try has taken, of which only the answer was lost with the connection.

    The lock may have been lost with it. If somebody else has taken the slot meanwhile, the trial is withdrawn.
    """
    trials = opened.study.get_trials(deepcopy=False)
    for trial in trials:
        if trial.state != TrialState.RUNNING or trial.user_attrs.get(attributes.CLAIM) != token:
            continue
        slot = trial.user_attrs.get(attributes.SLOT)
        if slot is not None and slot not in _taken([other for other in trials if other.number != trial.number]):
            return Trial(opened.study, opened.trial_id(trial.number))
        number = opened.trial_id(trial.number)
        opened.storage.set_trial_user_attr(number, attributes.REASON, TWICE)
        opened.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
    return None


def _taken(trials: Iterable[FrozenTrial]) -> set[int]:
    """The slots of trials that run or are finished."""
    states = (TrialState.RUNNING, *FINISHED)
    return {trial.user_attrs.get(attributes.SLOT, -1) for trial in trials if trial.state in states}


def _take(study: optuna.Study, plan: Plan, token: str, check_lock: Callable[[], object]) -> Trial | None:
    owner = this_process()
    while True:
        total = _total(study, plan.decided)
        trials = study.get_trials(deepcopy=False)
        state = queue_state(trials)
        waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
        missing = next(state.missing(total), None)
        if missing is None and not any(trial.user_attrs.get(attributes.SLOT, total) < total for trial in waiting):
            return None
        if not waiting:
            assert missing is not None
            check_lock()
            arm, params = plan.order(missing)
            if arm == "search":
                params = dict(tries_of(study).get(missing, params))
            facts = {attributes.SLOT: missing, attributes.ARM: arm, attributes.CLAIM: token, attributes.OWNER: owner}
            study.enqueue_trial({**params, **state.values.get(missing, {})}, user_attrs=facts)
            check_lock()
            return study.ask()
        trial = study.ask()
        tries = tries_of(study)
        free = next((slot for slot in state.missing(total) if slot not in tries), missing)
        slot = trial.user_attrs.get(attributes.SLOT, free if free is not None and plan.adaptive else total)
        if slot < total and slot not in _taken(trials):
            trial.set_user_attr(attributes.OWNER, owner)
            trial.set_user_attr(attributes.CLAIM, token)
            if attributes.SLOT not in trial.user_attrs:  # a point that a user has enqueued
                trial.set_user_attr(attributes.ARM, "search")
                trial.set_user_attr(attributes.SLOT, slot)
            return trial
        trial.set_user_attr(attributes.REASON, BEYOND if slot >= total else TWICE)
        study.tell(trial, state=TrialState.FAIL)


def _total(study: optuna.Study, decided: float) -> int:
    """How many slots there are to take for a plan that knows so many."""
    return int(min(fact(study, attributes.TRIALS, 0), decided))


def count_claimable(study: optuna.Study, decided: float = math.inf) -> int:
    """How many trials could be claimed now; see `Plan.decided`."""
    trials, total = study.get_trials(deepcopy=False), _total(study, decided)
    waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
    ours = sum(trial.user_attrs.get(attributes.SLOT, total) < total for trial in waiting)
    return int(ours) + queue_state(trials).count_missing(total)


def close_orphans(opened: OpenStudy) -> None:
    """Fail trials whose process on this machine is gone, or whose machine is silent, so that their slots come back."""

    def attempt() -> None:
        with exclusive(opened.url):  # a trial that is being claimed has no owner yet
            for trial in opened.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if is_dead(fact(trial, attributes.OWNER)):
                    close(opened, trial, "killed", "its process ended without a word")
                elif is_silent(trial):
                    close(opened, trial, "killed", "its machine gave no sign of life any more")

    opened.patiently(attempt)


def close_own(opened: OpenStudy) -> None:
    """Fail what this process was running when it lost the server, so that the slots come back.

    Only for a process that runs no trial.
    """
    close_owned(opened, this_process(), "killed", "the database server went away")


def close_owned(opened: OpenStudy, owner: Mapping[str, Any], fault: str, reason: str) -> None:
    """Fail what a process that runs no trial any more was running, also a trial that it has not announced."""

    def attempt() -> None:
        for trial in opened.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if fact(trial, attributes.OWNER) == owner:
                close(opened, trial, fault, reason)

    opened.patiently(attempt)


def is_silent(trial: FrozenTrial) -> bool:
    """Whether a trial on another machine has given no sign of life for `GRACE` seconds."""
    if not is_elsewhere(fact(trial, attributes.OWNER)):
        return False
    began = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return time.time() - float(fact(trial, attributes.ALIVE, began)) > GRACE


def close(opened: OpenStudy, trial: FrozenTrial, fault: str, reason: str) -> None:
    """Fail a running trial of which nothing more will be heard; nothing happens if it ended in the meantime."""
    number = opened.trial_id(trial.number)
    with contextlib.suppress(UpdateFinishedTrialError):
        opened.storage.set_trial_user_attr(number, attributes.FAULT, fault)
        opened.storage.set_trial_user_attr(number, attributes.REASON, reason)
        opened.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
