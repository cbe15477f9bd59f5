"""When to cut a trial short, asked after each epoch."""

from __future__ import annotations

import math

from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.trial import Trial

from regstudy.plans import Agenda, Plan
from regstudy.records import Verdict

FULL_TRIALS_FIRST = 10
PEERS = 5  # full trials that reached the same epoch
WARM_UP = 0.25  # share of the epochs in which nothing is cut


def make_pruner(agenda: Agenda) -> BasePruner:
    """Median rule that waits for enough full trials, enough peers at the same epoch, and a warm-up; none for a plan."""
    if isinstance(agenda, Plan):
        return NopPruner()
    return MedianPruner(
        n_startup_trials=FULL_TRIALS_FIRST,
        n_warmup_steps=math.ceil(WARM_UP * agenda.defaults().planned_epochs),
        interval_steps=1,
        n_min_trials=PEERS,
    )


def judge(trial: Trial, epoch: int) -> Verdict:
    """The verdict on a trial whose value at this epoch has just been reported."""
    if trial.should_prune():
        return Verdict(True, f"its best value so far was worse than the median of full trials at epoch {epoch}")
    return Verdict(False, "not behind the median of full trials")
