"""Which arms of an ablation run in which repeats: two stages, a look after each, and the rule in between.

A repeat trains its arms with one fresh seed and one fresh split, so that their values can be paired. In the first stage
all arms run. At the look after it, contrasts that are decided leave, and so do hopeless ones: of those left, the set
runs on that promises the most decisions from the runs that remain (`chance`). Both arms of a contrast run together, so
the winner always runs along. The look after the second stage is the last.

Asking for more runs later adds a stage with a look of its own, which spends half of the error that is left. Shares and
sizes were chosen by simulation (`benchmarks/ablation.py`, docs/answer.md).

Everything follows from stored values: the stages so far, and what their runs reached.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from regstudy.analysis.ablation_arms import arms_of
from regstudy.analysis.contrasts import (
    MEASURES,
    Contrast,
    Lost,
    Pairs,
    Results,
    Stage,
    Standing,
    pairs_of,
    standing,
    t_value,
)
from regstudy.analysis.paired import NO_SPREAD, TEST_POWER, pairs_needed
from regstudy.analysis.ranks import SIGNIFICANCE_LEVEL

ALPHAS = (0.005, 0.035)  # error of the first and the second look; of what is left, each later look spends half
FIRST = 0.6  # share of the repeats that all arms could run, which make up the first stage
MIN_REPEATS = 4  # of a first stage that a second one follows
PRIOR_PAIRS = 1.0  # how many pairs the expectation of no effect counts as much as; for planning only


@dataclass(frozen=True)
class ArmRun:
    """A training to be made."""

    arm: str
    repeat: int


@dataclass(frozen=True)
class Request:
    """What is asked for: contrasts, the total number of runs, earlier ones included, and the margin.

    ``always``: arms that run in every repeat, such as a full lattice; then no contrast leaves, and there is one look.
    """

    contrasts: tuple[Contrast, ...]
    runs: int
    margin: float
    always: tuple[str, ...] = ()

    @property
    def arms(self) -> tuple[str, ...]:
        """All arms."""
        return self.always or arms_of(self.contrasts)


def advance(
    request: Request, stages: Sequence[Stage], results: Results, lost: Lost = frozenset()
) -> tuple[tuple[Stage, ...], list[ArmRun]]:
    """The stages so far, and the runs to make now; none at the end. Call it again when these runs have ended.

    ``results`` has the finished runs; ``lost`` are those that were given up, which do not count as runs and are not
    made again. It ends early if everything is decided.
    """
    stages = tuple(stages)
    left = max(0, request.runs - sum(len(row) for row in results.values()))
    while not stages or stages[-1].ended(results, lost):
        further = _further(request, stages, results, lost, left)
        if further == stages:
            return stages, []
        stages = further
    missing = [ArmRun(arm, repeat) for arm, repeat in stages[-1].cells if not _over(arm, repeat, results, lost)]
    return stages, missing[:left]


def _further(request: Request, stages: tuple[Stage, ...], results: Results, lost: Lost, left: int) -> tuple[Stage, ...]:
    """The stages with a further one, with the last one made longer by what lost runs have freed, or as they are."""
    if not stages:
        return (first_stage(request),) if 0 < len(request.arms) <= left else ()
    last = stages[-1]
    able = {arm for arm in request.arms if results.get(arm)}  # the others have always failed
    if request.runs <= last.asked and last.alpha != ALPHAS[0]:  # the last look of what was asked for
        more = left // len(last.arms) if able.issuperset(last.arms) and len(lost) <= request.runs else 0
        longer = replace(last, until={arm: end + more for arm, end in last.until.items()})
        return (*stages[:-1], longer) if more else stages
    if request.always:
        repeats = dict.fromkeys(request.always, left // len(request.always))
    else:
        now = standing(results, request.contrasts, stages, lost, request.margin)
        open_ = [one for one in request.contrasts if able.issuperset(one.arms) and not now.settled(one)]
        found = allotted(open_, results, now, left, request.margin, next_alpha(stages))
        repeats = {arm: found[arm] for arm in request.arms if found.get(arm)}
    if not any(repeats.values()):
        return stages
    until = {arm: last.last + count for arm, count in repeats.items()}
    return (*stages, Stage(last.last + 1, until, request.runs, next_alpha(stages)))


def first_stage(request: Request) -> Stage:
    """The first stage: all repeats if they are too few for two stages, or no arm can leave."""
    repeats = request.runs // len(request.arms)
    first = max(MIN_REPEATS, round(FIRST * repeats))
    if first < repeats and not request.always:
        return Stage(1, dict.fromkeys(request.arms, first), request.runs, ALPHAS[0])
    return Stage(1, dict.fromkeys(request.arms, repeats), request.runs, ALPHAS[-1])


def next_alpha(stages: Sequence[Stage]) -> float:
    """The error that the look after the next stage spends."""
    if [stage.alpha for stage in stages] == [ALPHAS[0]]:
        return ALPHAS[1]
    return (SIGNIFICANCE_LEVEL - sum(stage.alpha for stage in stages)) / 2


def _over(arm: str, repeat: int, results: Results, lost: Lost) -> bool:
    """Whether a run has finished or was given up."""
    return repeat in results.get(arm, {}) or (arm, repeat) in lost


def allotted(
    contrasts: Sequence[Contrast], results: Results, now: Standing, left: int, margin: float, alpha: float
) -> dict[str, int]:
    """How many further repeats each arm runs: they go, step by step, where they promise the most decisions per run.

    Decided and hopeless arms get none, and one that is nearly sure needs only a few.
    """
    more = np.arange(left + 1)
    promise = [_promise(one, results, now, more, alpha, margin) for one in contrasts]
    given = [0] * len(contrasts)
    arms = dict.fromkeys(arms_of(contrasts), 0)
    while True:
        best, most = None, 0.0
        for index, one in enumerate(contrasts):
            to = more[given[index] + 1 :]
            cost = np.sum([np.maximum(0, to - arms[arm]) for arm in one.arms], axis=0)
            gain = (promise[index][to] - promise[index][given[index]]) / np.maximum(cost, 0.1)  # some steps are free
            gain[cost > left] = 0.0
            if len(gain) and gain.max() > most:
                most, best = float(gain.max()), (index, int(to[gain.argmax()]), int(cost[gain.argmax()]))
        if best is None:
            return arms
        index, count, cost_ = best
        given[index], left = count, left - cost_
        for arm in contrasts[index].arms:
            arms[arm] = max(arms[arm], count)


def _promise(
    contrast: Contrast, results: Results, now: Standing, more: NDArray[np.int64], alpha: float, margin: float
) -> NDArray[np.float64]:
    """The expected number of decisions about a contrast that each number of further repeats brings."""
    level = alpha / max(1, now.open.get(contrast.family, 1))
    found = np.zeros(len(more))
    for measure in MEASURES:
        if now.sign(contrast, measure) not in ("higher", "lower", "none"):
            found += chance(pairs_of(results, contrast, measure), more, level, margin)
    return found


def chance(pairs: Pairs, more: NDArray[np.int64], level: float, margin: float) -> NDArray[np.float64]:
    """The chance that so many further pairs decide, given those so far; 0 without any.

    Predictive power (Spiegelhalter et al., 1986) with a normal effect that is drawn toward none by `PRIOR_PAIRS`.
    """
    if pairs.n < 2:
        return np.asarray(1 - 0.9**more, dtype=np.float64)  # nothing is known
    more = np.maximum(more, 1e-9)
    total, sd = pairs.n + more, max(pairs.sd, NO_SPREAD)
    keep = pairs.n / (pairs.n + PRIOR_PAIRS)
    mean = pairs.mean * (pairs.n + more * keep) / total
    spread = more / total * sd * np.sqrt(1 / more + keep / pairs.n)
    error = sd / np.sqrt(total)
    outside = np.maximum(margin, -special.stdtrit(total - 1, level / 2) * error)  # beyond it, a mean is significant
    inside = margin + special.stdtrit(total - 1, level) * error
    found = special.ndtr((mean - outside) / spread) + special.ndtr((-mean - outside) / spread)
    found += np.maximum(0.0, special.ndtr((inside - mean) / spread) - special.ndtr((-inside - mean) / spread))
    return np.asarray(np.where(more < 1, 0.0, np.minimum(found, 1.0)), dtype=np.float64)


def resolution(request: Request, sd: float) -> float:
    """The smallest effect that is detected with a chance of 80 %, if half of the contrasts leave early.

    ``sd``: standard deviation of a paired difference, in the unit of the answer. Infinite with fewer than two repeats.
    """
    pairs, alpha = expected_pairs(request)
    if pairs < 2:
        return math.inf
    level = alpha / (len(MEASURES) * len(request.contrasts))
    return (t_value(pairs - 1, level / 2) + t_value(pairs - 1, 1 - TEST_POWER)) * sd / math.sqrt(pairs)


def half_width(request: Request, sd: float) -> float:
    """Half of the 95 % interval that the last look gives, if half of the contrasts leave early; see `resolution`."""
    pairs, _ = expected_pairs(request)
    return t_value(pairs - 1, SIGNIFICANCE_LEVEL / 2) * sd / math.sqrt(pairs) if pairs > 1 else math.inf


def expected_pairs(request: Request) -> tuple[int, float]:
    """The pairs of a contrast that stays to the last look, if half of them leave early, and the error of that look."""
    arms = len(request.arms)
    if not request.contrasts or request.runs < 2 * arms:
        return 0, 0.0
    stage = first_stage(request)
    if stage.alpha != ALPHAS[0]:
        return stage.last, stage.alpha
    staying = 1 + math.ceil((arms - 1) / 2)
    return stage.last + (request.runs - stage.last * arms) // staying, ALPHAS[1]


def further_pairs(pairs: Pairs, level: float, margin: float) -> float:
    """Further pairs that would decide with a chance of 80 %, were mean and spread to stay; infinite if none would."""
    if pairs.n < 2 or level <= 0:
        return math.inf
    if pairs.sd < NO_SPREAD:
        return max(1.0, math.ceil(1 + math.log2(1 / level)) - pairs.n)
    matters = abs(pairs.mean) > margin
    from_zero = pairs_needed(pairs.sd, abs(pairs.mean), level, TEST_POWER) if matters else math.inf
    into_margin = pairs_needed(pairs.sd, margin - abs(pairs.mean), 2 * level, (1 + TEST_POWER) / 2)
    return max(1.0, min(from_zero, into_margin) - pairs.n)
