"""What a worker tells whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from regstudy.records import EpochRecord


@dataclass(frozen=True)
class TrialStarted:
    """A worker took a ticket."""

    worker: int
    number: int
    ticket: int
    arm: str
    epochs: int


@dataclass(frozen=True)
class StepDone:
    """Images trained on in the current epoch, of how many."""

    worker: int
    done: int
    total: int


@dataclass(frozen=True)
class EpochDone:
    """An epoch's record."""

    worker: int
    number: int
    record: EpochRecord


@dataclass(frozen=True)
class TrialEnded:
    """How a trial ended; ``value`` is its objective, NaN if it failed."""

    worker: int
    number: int
    ticket: int
    arm: str
    outcome: str
    reason: str
    value: float
    best: EpochRecord | None
    epochs: int
    seconds: float


Event = TrialStarted | StepDone | EpochDone | TrialEnded
Listener = Callable[[Event], None]
