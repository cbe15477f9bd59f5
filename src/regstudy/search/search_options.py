"""How a study is run: how many trials, by how many processes, for how long. Nothing here changes a trial's curve."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from regstudy.errors import Problem, argument_error, unknown
from regstudy.search.launcher import Ray
from regstudy.text import counted

PrunerName = Literal["signal", "median", "hyperband", "none"]
PRUNERS: tuple[PrunerName, ...] = get_args(PrunerName)
Until = Literal["trials", "worth"]
UNTILS: tuple[Until, ...] = get_args(Until)
LIMITS = {"trials": 10_000_000, "workers": 256}
MOST_CONFIRMED = 0.9  # share of the trials


@dataclass(frozen=True)
class SearchOptions:
    """What the user asked for; workers get the same object with their own device and threads.

    ``trials`` is the total number of finished trials, including earlier runs. ``budget`` is in seconds: after it no new
    trial is started. ``trial_timeout`` is in seconds, too. Raises ArgumentError that lists every invalid value.
    """

    trials: int
    device: str
    threads: int
    workers: int = 1
    pruner: PrunerName = "signal"
    budget: float = math.inf
    trial_timeout: float | None = None
    confirm: float | None = None  # share of the trials that confirm the winner; None: the default for new studies
    until: Until = "trials"  # when the search ends: after its trials, or once more of them are not worth it
    measure_workers: bool = False  # a measurement at the start decides whether there are more workers
    launcher: Ray | None = None  # None: processes of this machine
    data_dir: Path | None = None  # where the nodes of a cluster read the images; None: they get them from here

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise argument_error(problems)

    @property
    def trains_on(self) -> str:
        """The device and the threads of a worker, in words."""
        if self.launcher is None:
            return f"Device: {self.device}, {counted(self.threads, 'thread')}."
        share = self.launcher.gpus_per_worker
        gpu = f" and {share:g} GPU" if share else " and no GPU"
        return f"Each Ray worker has {counted(self.launcher.cpus_per_worker, 'CPU')}{gpu}."

    def _problems(self) -> Iterator[Problem]:
        for name in ("trials", "threads", "workers"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                yield Problem(name, f"must be a whole number of at least 1, but it is {value!r}.")
            elif value > LIMITS.get(name, value):
                yield Problem(name, f"must be at most {LIMITS[name]:,}, but it is {value:,}.")
        if not self.budget >= 0:
            yield Problem("budget", f"must be a time of at least 0 seconds, but it is {self.budget!r}.")
        share, number = self.confirm, isinstance(self.confirm, int | float) and not isinstance(self.confirm, bool)
        if share is not None and not (number and 0 <= share <= MOST_CONFIRMED):
            yield Problem(
                "confirm", f"must be a share from 0 (off) to {MOST_CONFIRMED}, such as 0.3, but it is {share!r}."
            )
        if self.trial_timeout is not None and not self.trial_timeout > 0:
            yield Problem("trial_timeout", f"must be a time above 0 seconds, but it is {self.trial_timeout!r}.")
        if self.pruner not in PRUNERS:
            yield Problem("pruner", unknown("pruner", str(self.pruner), PRUNERS))
        if self.until not in UNTILS:
            yield Problem("until", unknown("end of the search", str(self.until), UNTILS))
