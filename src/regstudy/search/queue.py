"""Slots: a study of N trials is N slots, numbered from 0, each to be finished once.

A slot decides the arm and the seed of its trial, so a trial that is tried again stays the same trial. What else it
asks for is up to the `Plan`: a space leaves the rest to the sampler, a fixed plan leaves nothing open.
"""

from __future__ import annotations

import contextlib
import time

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages._heartbeat import BaseHeartbeat, is_heartbeat_enabled
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from regstudy.space.plan import Plan
from regstudy.space.ranges import Scalar
from regstudy.study import attributes
from regstudy.study.owner import is_dead
from regstudy.study.queue_state import queue_state
from regstudy.study.storage import PATIENCE, connection_lost, exclusive, storage_error


def top_up(study: optuna.Study, plan: Plan, url: str) -> None:
    """Queue every slot that is neither finished nor queued nor running, up to the total asked for, and no other.

    A slot that failed before is queued with the values it had then. May be called at any time by anyone: what is
    queued already is not queued again.
    """
    for wait in PATIENCE:
        try:
            with exclusive(url):
                return _top_up(study, plan, int(study.user_attrs[attributes.TRIALS]))
        except (StorageInternalError, SQLAlchemyError) as error:
            if not connection_lost(error):
                raise storage_error(url, error) from None
            time.sleep(wait)
    raise storage_error(url, ConnectionError("the server could not be reached for several minutes"))


def _top_up(study: optuna.Study, plan: Plan, total: int) -> None:
    trials = study.get_trials(deepcopy=False)
    state = queue_state(trials)
    for trial in trials:  # a smaller total than last time withdraws what is still waiting beyond it
        beyond = trial.user_attrs.get(attributes.SLOT, 0) >= total
        if trial.state == TrialState.WAITING and beyond:
            study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    for slot in state.missing(total):
        attempt = state.attempts.get(slot)
        arm, params = plan.order(slot)
        study.enqueue_trial(
            {**params, **(_values(attempt) if attempt else {})},
            user_attrs={attributes.SLOT: slot, attributes.ARM: arm},
        )


def _values(attempt: FrozenTrial) -> dict[str, Scalar]:
    """The parameter values of an attempt: what it was queued with, and what it had drawn when it ended."""
    return {**attempt.system_attrs.get("fixed_params", {}), **attempt.params}


def close_orphans(study: optuna.Study) -> None:
    """Fail trials whose process on this machine is gone, or whose machine is silent, so that their slots come back.

    Optuna looks for silent machines too, but only before a worker's next trial: too late for the last slot.
    """
    storage = study._storage
    silent: set[int] = set()
    if isinstance(storage, BaseHeartbeat) and is_heartbeat_enabled(storage):
        silent.update(storage._get_stale_trial_ids(study._study_id))
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if is_dead(trial.user_attrs.get(attributes.OWNER)):
            close(study, trial, "killed", "its process ended without a word")
        elif trial._trial_id in silent:
            close(study, trial, "killed", "its machine gave no sign of life any more")


def close(study: optuna.Study, trial: FrozenTrial, fault: str, reason: str) -> None:
    """Fail a running trial of which nothing more will be heard; nothing happens if it ended in the meantime."""
    storage = study._storage
    with contextlib.suppress(UpdateFinishedTrialError):
        storage.set_trial_user_attr(trial._trial_id, attributes.FAULT, fault)
        storage.set_trial_user_attr(trial._trial_id, attributes.REASON, reason)
        storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
