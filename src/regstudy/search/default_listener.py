"""The default listener: events go to the logger `regstudy`."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from regstudy.records import EpochRecord
from regstudy.search.events import EpochDone, Event, Examining, Notice, Progress, StepDone, SubstituteData
from regstudy.training.early_stopping import Signal
from regstudy.training.run import OnEpoch


def log(event: Event) -> None:
    """Log an event at the appropriate level.

    Substitute data, skipped files and the doctor's findings are warnings, progress within a task is debug output, and
    everything else is info.
    """
    level = logging.INFO
    if isinstance(event, SubstituteData) or (isinstance(event, Notice) and event.warning):
        level = logging.WARNING
    elif isinstance(event, Progress | StepDone | EpochDone | Examining):
        level = logging.DEBUG
    logging.getLogger("regstudy").log(level, "%s", event)


def log_epoch(planned: int) -> OnEpoch:
    """What `train` calls after each epoch if no callback is given."""

    def on_epoch(records: Sequence[EpochRecord], _signal: Signal) -> None:
        log(Notice(f"epoch {records[-1].epoch}/{planned}  {records[-1].in_words}"))

    return on_epoch
