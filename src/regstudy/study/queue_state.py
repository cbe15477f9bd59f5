"""Where the slots of a study stand: finished, open or given up, read from its trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from regstudy.study import attributes

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
ATTEMPTS = {"error": 3, "timeout": 2, "killed": 10}  # failed attempts of each kind before a ticket is given up


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


def remaining(study: optuna.Study, trials: int) -> int:
    """How many of ``trials`` tickets may yet be finished."""
    return len(ledger(study.get_trials(deepcopy=False)).unfinished(trials))
