"""What a worker stores of the epochs of a trial while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from optuna import Trial

from regstudy.records import EpochRecord, dump_folds, dump_records
from regstudy.study import attributes
from regstudy.study.storage import OpenStudy
from regstudy.training.time_share import TimeShare

STORING_SHARE = 0.005  # of the time of a training is spent at most on storing its epochs before it ends


class EpochLog:
    """Stores the epochs of a trial: while it runs, as often as that takes little of the time, and all by `flush`.

    ``total`` is the number of epochs of all runs of the trial; ``at_once``: store every epoch at once, for a pruner
    that reads them.
    """

    def __init__(self, opened: OpenStudy, trial: Trial, *, at_once: bool = False) -> None:
        self._opened, self._trial, self._at_once = opened, trial, at_once
        self._storing = TimeShare(STORING_SHARE)
        self._runs: Sequence[Sequence[EpochRecord]] = ()
        self._stored, self._reported, self._restored, self._trained = 0, 0, 0, 0  # epochs; Optuna knows the reported
        self.total = 0
        self.metric, self.folds = "", False

    def add(self, runs: Sequence[Sequence[EpochRecord]], trained: int = 0) -> None:
        """The epochs of all runs so far, the last ``trained`` of which are new and not from a checkpoint."""
        self._runs, self.total = runs, sum(map(len, runs))
        self._trained += trained
        if self._at_once or self._storing.due:
            with self._storing.measured():
                self.flush()

    def flush(self) -> None:
        """Store what is not stored yet; Optuna gets the values of the first run."""
        if self.total == self._stored:
            return
        if self.total - self._trained > self._restored:
            self._restored = self.total - self._trained
            self._keep(attributes.RESUMED, self._restored)
        self._keep(attributes.EPOCHS, dump_folds(self._runs) if self.folds else dump_records(self._runs[0]))
        first = self._runs[0]
        for one in first[self._reported :]:
            if one.finite:
                self._opened.patiently(partial(self._trial.report, one.value(self.metric), step=one.epoch))
        self._reported, self._stored = len(first), self.total

    def _keep(self, name: str, value: object) -> None:
        self._opened.patiently(lambda: self._trial.set_user_attr(name, value))
