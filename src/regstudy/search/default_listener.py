"""What happens to events that nobody asked for: they go to the logger `regstudy`."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from regstudy.records import EpochRecord
from regstudy.search.events import EpochDone, Event, Examining, Notice, Progress, StepDone, SubstituteData
from regstudy.training.early_stopping import Signal
from regstudy.training.run import OnEpoch


def log(event: Event) -> None:
    """Write an event to the logger at the level that it deserves.

    Substitute data, skipped files and the doctor's findings are warnings, progress within a task is for debugging, and
    all else is information.
    """
    level = logging.INFO
    if isinstance(event, SubstituteData) or (isinstance(event, Notice) and event.warning):
        level = logging.WARNING
    elif isinstance(event, Progress | StepDone | EpochDone | Examining):
        level = logging.DEBUG
    logging.getLogger("regstudy").log(level, "%s", event)


def log_epoch(planned: int) -> OnEpoch:
    """What `train` calls after each epoch where nobody listens."""

    def on_epoch(records: Sequence[EpochRecord], _signal: Signal) -> None:
        log(Notice(f"epoch {records[-1].epoch}/{planned}  {records[-1].in_words}"))

    return on_epoch
