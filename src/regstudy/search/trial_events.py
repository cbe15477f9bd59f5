"""What happens to one trial: it starts, goes on by batches and epochs, and ends."""

from __future__ import annotations

from dataclasses import dataclass

from regstudy.analysis.next_trials import NextTrials
from regstudy.errors import OUT_OF_MEMORY
from regstudy.records import EpochRecord
from regstudy.text import counted


@dataclass(frozen=True)
class TrialStarted:
    """A worker started a trial, or a confirmation run, whose ``arm`` says what it repeats."""

    worker: int
    number: int
    slot: int
    arm: str
    epochs: int  # of a run
    folds: int = 0
    confirms: bool = False

    @property
    def name(self) -> str:
        """What it is called in a line of progress."""
        return self.arm if self.confirms else f"trial {self.number} ({self.arm})"

    def __str__(self) -> str:
        folds = f" in each of {self.folds} folds" if self.folds else ""
        head = f"{self.arm:<18}" if self.confirms else f"trial {self.number:<3} {self.arm:<8}"
        return f"{head} started, up to {counted(self.epochs, 'epoch')}{folds}"


@dataclass(frozen=True)
class StepDone:
    """Progress within an epoch: images trained on so far, and in total."""

    worker: int
    done: int
    total: int

    def __str__(self) -> str:
        return f"worker {self.worker}: {self.done:,} of {counted(self.total, 'image')}"


@dataclass(frozen=True)
class EpochDone:
    """An epoch ended; ``fold`` counts from 1 and is 0 without folds."""

    worker: int
    number: int
    record: EpochRecord
    metric: str = "val_accuracy"  # the series that decides
    fold: int = 0

    def __str__(self) -> str:
        fold = f" fold {self.fold}" if self.fold else ""
        return f"trial {self.number:<3}{fold} epoch {self.record.epoch:>3}: {self.words}"

    @property
    def words(self) -> str:
        """The measurements in one line."""
        return self.record.words(self.metric)


@dataclass(frozen=True)
class TrialEnded:
    """How a trial ended; ``value`` is its objective, NaN if it failed.

    With ``folds``, the number of those that ended, ``best`` is the mean over their best epochs.
    """

    worker: int
    number: int
    slot: int
    arm: str
    outcome: str
    reason: str
    value: float
    best: EpochRecord | None
    epochs: int
    seconds: float
    trace: str = ""  # traceback of what made it fail
    metric: str = "val_accuracy"  # the series that decides
    folds: int = 0
    confirms: bool = False  # a confirmation run, whose arm says what it repeats
    ahead: NextTrials | None = None  # what further trials of the search would gain; None before that can be told
    finished: int | None = None  # trials of the study by now, whoever ran them; None if this one failed

    @property
    def lacked_memory(self) -> bool:
        """Whether it failed because memory was not enough."""
        return self.outcome == "failed" and self.reason.startswith(OUT_OF_MEMORY)

    def __str__(self) -> str:
        head = f"{self.arm:<18}" if self.confirms else f"trial {self.number:<3} {self.arm:<8}"
        head = f"{head} {self.outcome:<8}"
        if self.best is None:
            return f"{head} {self.reason}"
        if self.folds:
            run = f"{counted(self.epochs, 'epoch')} in {counted(self.folds, 'fold')}"
            return f"{head} {run}, mean of their best: {self.best.words(self.metric)}"
        return f"{head} {counted(self.epochs, 'epoch'):>9}, best {self.best.epoch:>2}: {self.best.words(self.metric)}"
