"""Where the slots of a study stand: finished, open or given up, read from its trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from regstudy.study import attributes
from regstudy.study.stored_facts import fact

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
ATTEMPTS = {"error": 3, "timeout": 2, "killed": 10}  # failed attempts of each kind before a slot is given up


@dataclass(frozen=True)
class QueueState:
    """Where the slots of a study stand, from its trials."""

    finished: frozenset[int]
    open: frozenset[int]  # waiting or running
    faults: Mapping[int, Counter[str]]  # of slots with failed attempts, by kind
    values: Mapping[int, Mapping[str, Any]]  # what failed attempts at a slot have drawn, by parameter

    def given_up(self, slot: int) -> bool:
        """Whether an unfinished slot has used up its attempts."""
        used = self.faults.get(slot, Counter())
        return slot not in self.finished and any(used[kind] >= most for kind, most in ATTEMPTS.items())

    def missing(self, total: int) -> Iterator[int]:
        """Slots below ``total`` that nobody has finished, holds, or has given up, ascending.

        Slots with failed attempts come last: what made them fail may have passed by then. Nothing here takes time in
        proportion to ``total``, which may be a million where the time is limited by a budget; see `count_missing`.
        """
        taken = self.finished | self.open
        yield from (slot for slot in range(total) if slot not in taken and not self.faults.get(slot))
        failed = (slot for slot, faults in self.faults.items() if faults and slot < total)
        again = [slot for slot in failed if slot not in taken and not self.given_up(slot)]
        yield from sorted(again, key=lambda slot: (self.faults[slot].total(), slot))

    def unfinished(self, total: int) -> Iterator[int]:
        """Slots below ``total`` that may yet be finished, held ones included, ascending."""
        return (slot for slot in range(total) if slot not in self.finished and not self.given_up(slot))

    def count_missing(self, total: int) -> int:
        """How many slots `missing` has."""
        return total - sum(slot < total for slot in self.finished | self.open | self.lost)

    def count_unfinished(self, total: int) -> int:
        """How many slots `unfinished` has."""
        return total - sum(slot < total for slot in self.finished | self.lost)

    @cached_property
    def lost(self) -> frozenset[int]:
        """Slots that were given up."""
        return frozenset(slot for slot in self.faults if self.given_up(slot))


def queue_state(trials: Iterable[FrozenTrial]) -> QueueState:
    """Where the slots of a study's trials stand; trials without a slot, which are not ours, are passed over."""
    finished, held = set(), set()
    faults: dict[int, Counter[str]] = {}
    values: dict[int, dict[str, Any]] = {}
    for trial in trials:
        slot = fact(trial, attributes.SLOT)
        if slot is None:
            continue
        if trial.state in FINISHED:
            finished.add(slot)
        elif trial.state == TrialState.FAIL:
            values.setdefault(slot, {}).update(trial.params)
            fault = fact(trial, attributes.FAULT)  # an attempt interrupted on purpose has none
            faults.setdefault(slot, Counter()).update([fault] if fault else [])
        else:
            held.add(slot)
    return QueueState(frozenset(finished), frozenset(held), faults, values)


def count_finished(study: optuna.Study) -> int:
    """Slots whose outcome is known."""
    return len(queue_state(study.get_trials(deepcopy=False)).finished)


def remaining(study: optuna.Study, trials: int) -> int:
    """How many of ``trials`` slots may yet be finished."""
    return queue_state(study.get_trials(deepcopy=False)).count_unfinished(trials)
