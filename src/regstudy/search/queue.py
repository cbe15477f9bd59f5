"""Tickets: a study of N trials is N tickets, numbered from 0, each to be finished once.

A ticket decides the arm and the seed of its trial, so a trial that is tried again stays the same trial. What else it
asks for is up to the agenda: a space leaves the rest to the sampler, a plan leaves nothing open.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages._heartbeat import BaseHeartbeat, is_heartbeat_enabled
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from regstudy.space.fixed_plan import Agenda, Plan
from regstudy.space.ranges import Scalar
from regstudy.study import attributes
from regstudy.study.owner import is_dead
from regstudy.study.storage import PATIENCE, connection_lost, exclusive, storage_error

FIRST_BASELINES = (0, 3, 7)
BASELINE_EVERY = 10
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
ATTEMPTS = {"error": 3, "timeout": 2, "killed": 10}  # failed attempts of each kind before a ticket is given up


def is_baseline(ticket: int) -> bool:
    """Whether a ticket belongs to the baseline arm: three of the first eight, then every tenth from the thirtieth."""
    return ticket in FIRST_BASELINES or (ticket >= 30 and ticket % BASELINE_EVERY == 0)


def order(agenda: Agenda, ticket: int) -> tuple[str, dict[str, Scalar]]:
    """The arm of a ticket and the parameter values that it is queued with."""
    if isinstance(agenda, Plan):
        return agenda.task(ticket).arm, agenda.parameters(ticket)
    if not is_baseline(ticket):
        return "search", {}
    return "baseline", agenda.start() if ticket == 0 else agenda.nulls()


def training_seed(study_seed: int, ticket: int) -> int:
    """The seed of a ticket's run, the same at every attempt."""
    return int(np.random.SeedSequence([study_seed, ticket]).generate_state(1)[0])


def split_seed(study_seed: int) -> int:
    """The seed of the split that all trials of a study share: on one split their values can be compared."""
    return int(np.random.SeedSequence(study_seed).generate_state(1)[0])


@dataclass(frozen=True)
class Ledger:
    """Where the tickets of a study stand, from its trials."""

    finished: frozenset[int]
    open: frozenset[int]  # waiting or running
    faults: Mapping[int, Counter[str]]  # of tickets with failed attempts, by kind
    attempts: Mapping[int, FrozenTrial]  # the last failed attempt of a ticket

    def given_up(self, ticket: int) -> bool:
        """Whether an unfinished ticket has used up its attempts."""
        used = self.faults.get(ticket, Counter())
        return ticket not in self.finished and any(used[kind] >= most for kind, most in ATTEMPTS.items())

    def missing(self, total: int) -> list[int]:
        """Tickets below ``total`` that nobody has finished, holds, or has given up, ascending."""
        taken = self.finished | self.open
        return [ticket for ticket in range(total) if ticket not in taken and not self.given_up(ticket)]

    def unfinished(self, total: int) -> list[int]:
        """Tickets below ``total`` that may yet be finished, held ones included."""
        return [t for t in range(total) if t not in self.finished and not self.given_up(t)]


def ledger(trials: Iterable[FrozenTrial]) -> Ledger:
    """The ledger of a study's trials; trials without a ticket, which are not ours, are passed over."""
    finished, held = set(), set()
    faults: dict[int, Counter[str]] = {}
    attempts = {}
    for trial in trials:
        ticket = trial.user_attrs.get(attributes.TICKET)
        if ticket is None:
            continue
        if trial.state in FINISHED:
            finished.add(ticket)
        elif trial.state == TrialState.FAIL:
            attempts[ticket] = trial
            fault = trial.user_attrs.get(attributes.FAULT)  # an attempt interrupted on purpose has none
            faults.setdefault(ticket, Counter()).update([fault] if fault else [])
        else:
            held.add(ticket)
    return Ledger(frozenset(finished), frozenset(held), faults, attempts)


def count_finished(study: optuna.Study) -> int:
    """Tickets whose outcome is known."""
    return len(ledger(study.get_trials(deepcopy=False)).finished)


def top_up(study: optuna.Study, agenda: Agenda, url: str) -> None:
    """Queue every ticket that is neither finished nor queued nor running, up to the total asked for, and no other.

    A ticket that failed before is queued with the values it had then. May be called at any time by anyone: what is
    queued already is not queued again.
    """
    for wait in PATIENCE:
        try:
            with exclusive(url):
                return _top_up(study, agenda, int(study.user_attrs[attributes.TRIALS]))
        except (StorageInternalError, SQLAlchemyError) as error:
            if not connection_lost(error):
                raise storage_error(url, error) from None
            time.sleep(wait)
    raise storage_error(url, ConnectionError("the server could not be reached for several minutes"))


def _top_up(study: optuna.Study, agenda: Agenda, total: int) -> None:
    trials = study.get_trials(deepcopy=False)
    book = ledger(trials)
    for trial in trials:  # a smaller total than last time withdraws what is still waiting beyond it
        beyond = trial.user_attrs.get(attributes.TICKET, 0) >= total
        if trial.state == TrialState.WAITING and beyond:
            study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    for ticket in book.missing(total):
        attempt = book.attempts.get(ticket)
        arm, params = order(agenda, ticket)
        study.enqueue_trial(
            {**params, **(_values(attempt) if attempt else {})},
            user_attrs={attributes.TICKET: ticket, attributes.ARM: arm},
        )


def _values(attempt: FrozenTrial) -> dict[str, Scalar]:
    """The parameter values of an attempt: what it was queued with, and what it had drawn when it ended."""
    return {**attempt.system_attrs.get("fixed_params", {}), **attempt.params}


def close_orphans(study: optuna.Study) -> None:
    """Fail trials whose process on this machine is gone, or whose machine is silent, so that their tickets come back.

    Optuna looks for silent machines too, but only before a worker's next trial: too late for the last ticket.
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
