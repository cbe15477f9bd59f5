"""An epoch of a final training in a line."""

from __future__ import annotations

from collections.abc import Sequence

from regstudy.records import EpochRecord
from regstudy.training.early_stopping import Signal


def epoch_line(records: Sequence[EpochRecord], signal: Signal) -> str:
    """The latest epoch, what it measured, and whether it is the best so far."""
    record = records[-1]
    mark = "  best so far" if signal.best_epoch == record.epoch else ""
    planned = round(record.epoch / signal.budget_fraction)
    return f"epoch {record.epoch:>3}/{planned}  {record.in_words}  lr {record.lr:.2g}{mark}"
