"""How `regstudy answer` divides its time: from the cost of one training and its noise to numbers and a resolution.

The unit is a whole training. What every answer needs comes first: a small search, the shortest race, and the final
training. If four repeats of each arm fit, too, an ablation is planned. What is left then is divided by `SHARES`. A
search trial counts as `PRUNED_COST` of a training, more than pruning usually leaves, so that the search ends in time;
what it does not use goes to the phases after it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from regstudy.analysis.ablation_arms import contrasts_of
from regstudy.analysis.ablation_design import MIN_REPEATS, Request, half_width, resolution
from regstudy.analysis.race import MIN_ROUNDS, most_runs

Phase = Literal["pilot", "search", "confirm", "ablate", "train"]
PHASES: tuple[Phase, ...] = ("pilot", "search", "confirm", "ablate", "train")

PILOT_RUNS, PILOT_SHARE = 3, 0.1  # the runs of a pilot, and the share of the budget that they may take
FEWEST_SEARCHED = 10  # trials
FEWEST_CONFIRMED = 2 * MIN_ROUNDS  # runs
MOST_SEARCHED, MOST_CONFIRMED = 150, 60  # beyond, the ablation makes better use of the time
MOST_ABLATED = 5_000  # runs; beyond, nobody waits
PRUNED_COST = 0.7  # of a whole training; 0.4 to 0.55 in docs/pruning.md
SHARES = {"search": 0.45, "confirm": 0.15}  # of what is left once everything has its least; the rest: the ablation
SHARES_WITHOUT = {"search": 0.7, "confirm": 0.3}  # without an ablation
UNUSED = 0.02  # share of the budget that is not planned: reading images, the doctor, reports
UNUSED_SECONDS = 5.0
SLACK = 1.15  # times the least of an ablation, which is planned only if it fits also where trainings take longer

# Of the noise; see docs/answer.md, "One command to the answer".
LESS_WRONG = 0.6  # the winner makes so many of the mistakes that the default configuration makes
TRAINING_NOISE = 1.1  # standard deviation of a value over seeds and splits, in standard errors of its images
PAIRED = 0.9  # standard deviation of a paired difference, in that of a value
PRIOR_RUNS = 8.0  # runs that the standard error of the images counts as much as


@dataclass(frozen=True)
class Noise:
    """The standard deviation of a paired difference that is expected in the ablation, in the metric's unit.

    ``runs``: how many runs of the pilot it rests on, besides the number of ``images`` in validation.
    """

    paired: float
    runs: int
    images: int


@dataclass(frozen=True)
class Resources:
    """Seconds in all and of one training, how many run side by side, and the pilot runs that are still to come."""

    budget: float
    training: float
    workers: int = 1
    pilot: int = 0

    @property
    def units(self) -> float:
        """Trainings that fit between the pilot and the final one."""
        usable = self.budget * (1 - UNUSED) - UNUSED_SECONDS - self.training
        return usable * self.workers / self.training - self.pilot

    def seconds(self, units: float) -> float:
        """Seconds of so many trainings."""
        return units * self.training / self.workers


@dataclass(frozen=True)
class AnswerPlan:
    """The numbers of trainings and the seconds of each phase, and what the ablation can tell.

    ``runs["ablate"]`` is 0 where there is no time for an ablation; ``for_ablation`` are the seconds that allow one.
    ``half_width`` is that of a 95 % interval of the ablation, ``told`` the smallest effect that it finds with a chance
    of 80 %; infinite without one. ``for_margin``: seconds of the whole command with which the half-width would shrink
    to the margin.
    """

    runs: Mapping[Phase, int]
    seconds: Mapping[Phase, float]
    half_width: float = math.inf
    told: float = math.inf
    for_margin: float = math.inf
    for_ablation: float = math.inf
    regularizers: Sequence[str] = field(default_factory=tuple)


def expected_noise(
    values: Sequence[float], images: int, *, share: bool, guess: float = math.nan, tested: float | None = None
) -> Noise:
    """The noise of paired differences from the values of a pilot and the number of validation images.

    ``share``: whether values are shares of right answers (0..1), whose standard error is known: with few runs, their
    own spread counts little beside it. ``guess``: the value that is expected where no run has ended. ``tested``: the
    number of images that the standard error rests on, if they are not independent.
    """
    n = len(values)
    mean = math.fsum(values) / n if n else guess
    own = math.fsum((value - mean) ** 2 for value in values)
    known = PRIOR_RUNS if share and images and 0 <= mean <= 1 else 0.0
    if not known:
        return Noise(PAIRED * math.sqrt(own / (n - 1)) if n > 1 else math.nan, n, images)
    effective = max(tested or images, 1)
    least = 1 / (effective + 2)  # nobody is always right
    wrong = min(max(1 - mean, least), 1 - least)
    now, then = (math.sqrt(part * (1 - part) / effective) for part in (wrong, LESS_WRONG * wrong))
    prior = (TRAINING_NOISE * now) ** 2
    degrees = max(n - 1, 0)
    variance = (known * prior + own) / (known + degrees)
    return Noise(PAIRED * math.sqrt(variance) * then / now, n, images)


def pilot_runs(budget: float, training: float, workers: int) -> int:
    """How many runs a pilot makes: three, or one for each worker, as far as a tenth of the budget allows; at least one.

    >>> pilot_runs(3600, 60, 1), pilot_runs(600, 40, 1)
    (3, 1)
    """
    most = int(PILOT_SHARE * budget * workers / training) if training > 0 else PILOT_RUNS
    return max(1, min(most, max(PILOT_RUNS, min(workers, 8))))


def least_units(regularizers: int = 0) -> float:
    """The fewest trainings between the pilot and the final one; with the ablation of so many regularizers."""
    arms = len(_request(regularizers, 0).arms) if regularizers else 0
    return PRUNED_COST * FEWEST_SEARCHED + FEWEST_CONFIRMED + SLACK * MIN_REPEATS * arms


def least_budget(of: Resources, regularizers: int = 0) -> float:
    """The smallest budget, in seconds, that would do."""
    trainings = (least_units(regularizers) + of.pilot) / of.workers + 1
    return (trainings * of.training + UNUSED_SECONDS) / (1 - UNUSED)


def plan_answer(of: Resources, regularizers: Sequence[str], noise: Noise, margin: float) -> AnswerPlan | None:
    """The plan; None if the budget is too small for any answer (see `least_budget`).

    ``regularizers``: names of those that may be on in the winner; ``margin`` is in the metric's unit.
    """
    count = len(regularizers)
    ablates = bool(count) and of.units >= least_units(count)
    spare = of.units - least_units(count if ablates else 0)
    if spare < 0:
        return None
    shares = SHARES if ablates else SHARES_WITHOUT
    search = min(FEWEST_SEARCHED + int(shares["search"] * spare / PRUNED_COST), MOST_SEARCHED)
    confirm = most_runs(min(FEWEST_CONFIRMED + int(shares["confirm"] * spare), MOST_CONFIRMED))
    units = {"search": PRUNED_COST * search, "confirm": float(confirm)}
    ablate = min(int(of.units - sum(units.values())), MOST_ABLATED) if ablates else 0
    runs: dict[Phase, int] = {
        "pilot": of.pilot, "search": search, "confirm": confirm, "ablate": ablate, "train": 1,
    }  # fmt: skip
    seconds: dict[Phase, float] = {
        "pilot": of.seconds(of.pilot),
        "search": of.seconds(units["search"]),
        "confirm": of.seconds(confirm),
        "ablate": of.seconds(ablate),
        "train": of.training,
    }
    if not ablates:
        longer = least_budget(of, count) if count else math.inf
        return AnswerPlan(runs, seconds, for_ablation=longer, regularizers=tuple(regularizers))
    request = _request(count, ablate)
    wide = half_width(request, noise.paired)
    more = runs_for(count, noise.paired, margin) - ablate
    return AnswerPlan(
        runs,
        seconds,
        wide,
        resolution(request, noise.paired),
        of.budget + of.seconds(max(more, 0)) / (1 - UNUSED),
        of.budget,
        tuple(regularizers),
    )


def runs_for(regularizers: int, paired: float, margin: float) -> float:
    """Ablation runs with which the half-width of the intervals would shrink to the margin; infinite if none would."""
    if not (margin > 0 and math.isfinite(paired)):
        return math.inf
    low, high = 1, 2
    while half_width(_request(regularizers, high), paired) > margin:
        low, high = high, 2 * high
        if high > 10**9:
            return math.inf
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if half_width(_request(regularizers, middle), paired) > margin else (low, middle)
    return float(high)


def _request(regularizers: int, runs: int) -> Request:
    names = [str(number) for number in range(regularizers)]
    return Request(tuple(contrasts_of(names)), runs, 0.0)
