"""Learning-rate schedules: the rate of every step as a pure function, so that a resumed run needs no state of its own.

Time is counted in epochs from the end of the warm-up: whole ones with `interval: epoch`, fractions with `step`. The
formulas are those of torch.optim.lr_scheduler (https://docs.pytorch.org/docs/stable/optim.html) in closed form.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from numbers import Real

from regstudy.config import schema
from regstudy.config.plugins import call_problems, is_plugin, load_plugin
from regstudy.config.run_config import RunConfig
from regstudy.config.user_code import returned, user_code
from regstudy.errors import ConfigError, Problem
from regstudy.metrics import metric
from regstudy.records import EpochRecord


def learning_rate(run: RunConfig, values: Sequence[float], step: int = 0, steps: int = 1) -> float:
    """The rate of step `step` (from 0) of `steps` in the epoch that follows the monitored values, one per epoch.

    With `interval: epoch` it is the same for every step. During the warm-up it rises linearly and reaches the base rate
    at the end. Only a plateau schedule uses the values; all others only use their number.

    Raises ConfigError if a user-defined function returns anything but a finite number of at least 0.
    """
    schedule, base = run.schedule, run.optimizer.lr
    if schedule.interval == "epoch":
        step, steps = 0, 1
    done, warmup = len(values) * steps + step, schedule.warmup_epochs * steps
    if done < warmup:
        return base * (done + 1) / (warmup + 1)
    if isinstance(schedule, schema.Plateau):
        return base * schedule.factor ** _plateaus(run, schedule, values)
    planned = run.training.epochs - schedule.warmup_epochs
    return base * _factor(schedule, (done - warmup) / steps, planned)


def learning_rates(run: RunConfig, records: Sequence[EpochRecord], steps: int) -> list[float]:
    """The rates of all steps of the epoch that follows the records."""
    values = [record.value(run.training.monitor) for record in records]
    if run.schedule.interval == "epoch":
        return [learning_rate(run, values)] * steps
    return [learning_rate(run, values, step, steps) for step in range(steps)]


def first_decay(run: RunConfig) -> int:
    """Number of first epochs that do not count against patience: until the learning rate has clearly decayed once.

    For step schedules that is the first step, for linear and cosine ones half of the epochs; the others decay from the
    start, when the run stalls, or never.
    """
    schedule = run.schedule
    rest = run.training.epochs - schedule.warmup_epochs
    match schedule:
        case schema.Step():
            wait = schedule.step_size
        case schema.MultiStep():
            wait = schedule.milestones[0]
        case schema.Linear() | schema.Cosine():
            wait = rest // 2
        case _:
            wait = 0
    return schedule.warmup_epochs + (wait if wait < rest else 0)


def problems(run: RunConfig) -> Iterable[Problem]:
    """Problems of milestones or user-defined functions, in the schedule of the run or of its phases."""
    if not run.phases:
        yield from _schedule_problems(run)
        return
    for number, phase in enumerate(run.in_phases(), start=1):
        for problem in _schedule_problems(phase):
            yield Problem("phases", f"phase {number}: {problem}")


def _factor(schedule: schema.Schedule, elapsed: float, planned: int) -> float:
    """Share of the base rate after `elapsed` of `planned` epochs, both counted without the warm-up."""
    match schedule:
        case schema.Step():
            return math.pow(schedule.gamma, elapsed // schedule.step_size)
        case schema.MultiStep():
            return math.pow(schedule.gamma, sum(milestone <= elapsed for milestone in schedule.milestones))
        case schema.Exponential():
            return math.pow(schedule.gamma, elapsed)
        case schema.Linear():
            return schedule.final + (1 - schedule.final) * (1 - elapsed / planned)
        case schema.Cosine():
            share = (1 + math.cos(math.pi * elapsed / planned)) / 2
            return schedule.final + (1 - schedule.final) * share
        case schema.Lambda():
            return _own_factor(schedule.function, elapsed)
    return 1.0


def _plateaus(run: RunConfig, schedule: schema.Plateau, values: Sequence[float]) -> int:
    """How often the monitored series has gone more than `patience` epochs without a gain above the tolerance."""
    sign = -1.0 if metric(run.training.monitor).maximize else 1.0
    best, waited, found = math.inf, 0, 0
    for value in values[schedule.warmup_epochs :]:
        loss = sign * value
        if loss < best - run.training.tolerance:
            best, waited = loss, 0
        else:
            waited += 1
        if waited > schedule.patience:
            found, waited = found + 1, 0
    return found


def _own_factor(name: str, elapsed: float) -> float:
    """The result of a user-defined function, if it is a finite number of at least 0."""
    call = f"'{name}' (schedule.function), called with {elapsed:g} epochs after the warm-up,"
    remedy = "It must take one float and return a finite number of at least 0: the share of the base rate."
    function = load_plugin(name)
    with user_code(call, remedy=remedy):
        value = function(elapsed)
        factor = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not math.isfinite(factor) or factor < 0:
        shown = repr(value) if isinstance(value, int | float | complex | str) else returned(value)
        raise ConfigError(f"{call} returned {shown}. {remedy}")
    return factor


def _schedule_problems(run: RunConfig) -> Iterable[Problem]:
    if isinstance(run.schedule, schema.Lambda):
        yield from _function_problems(run.schedule, run.training.epochs)
    if isinstance(run.schedule, schema.MultiStep):
        yield from _milestone_problems(run.schedule, run.training.epochs)


def _function_problems(schedule: schema.Lambda, epochs: int) -> Iterable[Problem]:
    """Try the function at the first and the last epoch, where most mistakes show before the run starts."""
    if not is_plugin(schedule.function):
        yield Problem("schedule.function", f"must be package.module:function, but it is '{schedule.function}'.")
        return
    try:
        for sentence in call_problems(load_plugin(schedule.function), ["epochs"], by_name=False):
            yield Problem("schedule.function", f"'{schedule.function}' {sentence}")
            return
        for elapsed in (0, epochs - schedule.warmup_epochs - 1):
            _own_factor(schedule.function, float(elapsed))
    except ConfigError as error:
        yield Problem("schedule.function", str(error), error)


def _milestone_problems(schedule: schema.MultiStep, epochs: int) -> Iterable[Problem]:
    """Milestones out of order, and those that the planned epochs do not reach."""
    milestones, last = schedule.milestones, epochs - schedule.warmup_epochs - 1
    if any(first >= second for first, second in pairwise(milestones)):
        yield Problem(
            "schedule.milestones", f"must be in ascending order, but they are {', '.join(map(str, milestones))}."
        )
    late = [str(milestone) for milestone in milestones if milestone > last]
    if late:
        warmup = f", {schedule.warmup_epochs} of them warm-up" if schedule.warmup_epochs else ""
        yield Problem(
            "schedule.milestones",
            f"{', '.join(late)} would never be reached: training.epochs is {epochs}{warmup}, so a milestone can be at"
            " most"
            f" {last}. Remove later milestones or increase training.epochs.",
        )
