"""The claim about the winner of a race, from the values of its rounds alone; larger is better, in any unit.

The winner is the leader with the highest belief at the end. Its plain mean over the rounds is still somewhat too good,
because the same rounds helped to choose it. So each round is also read without its own vote: the value of a round is
that of the configuration which the search and the *other* rounds would have chosen among those that ran in it. The mean
of these values is what is claimed; its interval covers the 95 % t-intervals of both readings.

`benchmarks/confirm.py` measures on recorded trainings how far the claim is off, and how often its interval is right
(docs/answer.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import scipy  # scipy.stats is loaded where it is first used: it takes a third of a second
from numpy.typing import NDArray

from regstudy.analysis.paired import NO_SPREAD, TEST_POWER, pairs_needed
from regstudy.analysis.race import MIN_ROUNDS, Entrant, by_belief
from regstudy.analysis.ranks import SIGNIFICANCE_LEVEL

MANY_RUNS = 400  # more than these are not worth naming: the difference is too small to matter
SURE_ROUNDS = math.ceil(1 + math.log2(1 / SIGNIFICANCE_LEVEL))  # from which on a sign test can decide; see `status_of`

Values = Sequence[float] | NDArray[np.float64]
Status = Literal["confirmed", "no better", "undecided", "too few rounds", "nothing learned"]


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` rounds with its 95 % interval, which is NaN with fewer than two rounds."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def half(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2


UNKNOWN = Estimate(math.nan, -math.inf, math.inf, 0)


@dataclass(frozen=True)
class Claim:
    """What a race shows. ``entrants``: those that ran, the winner first, then by belief.

    ``rounds`` are those that winner and baseline share, ``chosen`` the trial that is read in each, ``differences`` the
    winner's lead over the baseline in each. ``level`` is the winner's, ``gain`` its lead, both corrected.
    """

    entrants: list[Entrant]
    rounds: list[int]
    chosen: Mapping[int, int]
    differences: list[float]
    level: Estimate
    gain: Estimate

    @property
    def winner(self) -> Entrant:
        """The winner."""
        return self.entrants[0]


def claim_of(entrants: Sequence[Entrant], baseline: Entrant, center: float) -> Claim | None:
    """The claim after a race; None without a round that the baseline and an entrant have both finished.

    The winner is the entrant with the highest belief among those that share the most rounds with the baseline.
    """
    ran = [one for one in entrants if one.fresh]
    shared = {one.number: len(set(one.fresh) & set(baseline.fresh)) for one in ran}
    most = max(shared.values(), default=0)
    if most == 0:
        return None
    ranked = by_belief(ran, center)
    winner = next(one for one in ranked if shared[one.number] == most)
    rounds = sorted(set(winner.fresh) & set(baseline.fresh))
    of = {one.number: one for one in ran}
    chosen = {number: chosen_without(number, ran, center) for number in rounds}
    plain = np.array([winner.fresh[number] for number in rounds])
    blind = np.array([of[chosen[number]].fresh[number] for number in rounds])
    base = np.array([baseline.fresh[number] for number in rounds])
    return Claim(
        entrants=[winner, *(one for one in ranked if one is not winner)],
        rounds=rounds,
        chosen=chosen,
        differences=list(map(float, plain - base)),
        level=corrected(plain, blind),
        gain=corrected(plain - base, blind - base),
    )


def chosen_without(round_: int, entrants: Sequence[Entrant], center: float) -> int:
    """The trial that would have been chosen among those of a round without its values."""
    return by_belief([one for one in entrants if round_ in one.fresh], center, without=round_)[0].number


def corrected(plain: Values, blind: Values) -> Estimate:
    """The mean of ``blind`` with an interval that covers the 95 % t-intervals of both.

    ``plain`` has the winner's value of each round, ``blind`` that of the configuration that would have been chosen
    without the round. They are equal, and so are the intervals, unless the choice was close.
    """
    one, other = interval(plain), interval(blind)
    return Estimate(other.mean, min(one.low, other.low), max(one.high, other.high), other.n)


def interval(values: Values) -> Estimate:
    """The mean of values with its 95 % t-interval (Student, 1908)."""
    n = len(values)
    mean = float(np.mean(values)) if n else math.nan
    if n < 2:
        return Estimate(mean, math.nan, math.nan, n)
    reach = t_quantile(n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return Estimate(mean, mean - reach, mean + reach, n)


def status_of(gain: Estimate, margin: float) -> Status:
    """What the gain over the baseline shows: confirmed only if the whole interval is above the margin.

    Where the gain is the same in all rounds, as happens on few validation images, there is no spread to judge by. Then
    it is confirmed only with so many rounds that a sign test would be sure, too, as in `regstudy.analysis.paired`.
    """
    if gain.n < MIN_ROUNDS:
        return "too few rounds"
    if gain.high <= margin:
        return "no better"
    if gain.low > margin and (gain.half > NO_SPREAD or gain.n >= SURE_ROUNDS):
        return "confirmed"
    return "undecided"


def more_rounds(differences: Sequence[float], mean: float, margin: float) -> float:
    """Further rounds after which the interval would be clear of the margin with a chance of 80 %.

    Infinite if more than `MANY_RUNS` runs would be needed, NaN with fewer than two rounds.
    """
    if len(differences) < 2:
        return math.nan
    sd = float(np.std(differences, ddof=1))
    if sd < NO_SPREAD:
        needed: float = SURE_ROUNDS if mean > margin else MIN_ROUNDS
    else:
        needed = max(MIN_ROUNDS, pairs_needed(sd, abs(mean - margin), SIGNIFICANCE_LEVEL, TEST_POWER))
    more = max(1.0, needed - len(differences))
    return more if 2 * more <= MANY_RUNS else math.inf


def deficits(found: Claim, baseline: Entrant) -> dict[int, Estimate]:
    """By how much each entrant but the winner is worse than it, over the rounds that both ran, by number of the trial.

    The spread is that of all runs together, so that one shared round suffices for an interval; without any, or without
    a spread, the interval is infinite.
    """
    sd, degrees = residual_spread([baseline.fresh, *(one.fresh for one in found.entrants)])
    return {one.number: _deficit(found.winner, one, sd, degrees) for one in found.entrants[1:]}


def _deficit(winner: Entrant, other: Entrant, sd: float, degrees: int) -> Estimate:
    shared = sorted(set(winner.fresh) & set(other.fresh))
    if not shared:
        return UNKNOWN
    mean = float(np.mean([winner.fresh[number] - other.fresh[number] for number in shared]))
    reach = t_quantile(degrees) * sd * math.sqrt(2 / len(shared)) if degrees >= 1 else math.inf
    return Estimate(mean, mean - reach, mean + reach, len(shared))


def residual_spread(runs: Sequence[Mapping[int, float]]) -> tuple[float, int]:
    """The standard deviation of a run, given its configuration and its round, and its degrees of freedom.

    ``runs`` has the values of each configuration by round. Least squares with an effect of each configuration and of
    each round (two-way analysis of variance without interaction), which also fits leaders that ran in few rounds only.
    """
    cells = [(arm, round_, value) for arm, row in enumerate(runs) for round_, value in row.items()]
    rounds = sorted({round_ for _, round_, _ in cells})
    design = np.zeros((len(cells), len(runs) + len(rounds)))
    for i, (arm, round_, _) in enumerate(cells):
        design[i, arm] = design[i, len(runs) + rounds.index(round_)] = 1.0
    y = np.array([value for _, _, value in cells])
    residuals = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    degrees = len(y) - int(np.linalg.matrix_rank(design))
    return (math.sqrt(float(residuals @ residuals) / degrees) if degrees > 0 else math.nan), degrees


@cache
def t_quantile(degrees: int) -> float:
    """Student's t that both tails of a 95 % interval lie beyond."""
    return float(scipy.stats.t.isf(SIGNIFICANCE_LEVEL / 2, degrees))
