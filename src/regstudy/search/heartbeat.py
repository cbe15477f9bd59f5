"""Signs of life of a trial on a server, for machines that cannot look whether its process still lives."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import Trial
from sqlalchemy.exc import SQLAlchemyError

from regstudy.study import attributes
from regstudy.study.storage import OpenStudy, sqlite_path

INTERVAL = 60.0  # seconds between two signs


@contextmanager
def beating(opened: OpenStudy, trial: Trial) -> Iterator[None]:
    """Within this block the trial says every minute that it lives; in a file nobody on another machine would see it."""
    if sqlite_path(opened.url) is not None:
        yield
        return
    stop = Event()
    thread = Thread(target=_beat, args=(opened, trial, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _beat(opened: OpenStudy, trial: Trial, stop: Event) -> None:
    try:
        while True:
            with contextlib.suppress(StorageInternalError, SQLAlchemyError, UpdateFinishedTrialError):
                trial.set_user_attr(attributes.ALIVE, time.time())
            if stop.wait(INTERVAL):
                return
    finally:
        opened.storage.remove_session()
