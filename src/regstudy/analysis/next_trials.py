"""What the next trials of a search would truly gain, and whether they are worth it.

The best of many noisy values is partly luck, and a further trial replaces it only with more luck or more quality. What
counts is the true quality of what would be handed over: that of the trial with the best value.

The model is empirical Bayes. True qualities of new trials are normal; their mean is the median of the latest values,
and their variance is the mean square of the better half of these around it, less the noise of one value. Only the
better half counts because poor trials have a long tail that decides nothing. How uncertain that variance is with so few
values is drawn along (scaled inverse chi-square). The same distribution says how much of the best value is luck.
Draws of the next trials, measured with noise, then tell how often one of them takes the lead and what it truly gains.
`benchmarks/worth.py` calibrates all this on searches with a planted truth; docs/answer.md has its figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

NEXT = 10  # trials that are looked ahead
MIN_TRIALS = 15  # finished ones, before anything is said
MIN_VALUES = 5  # of trials that may win, among the latest
LATEST = 30  # trials that tell what the next ones are like
TOO_LITTLE = 0.015  # of the noise of one value: an expected gain that is not worth it
TOO_LITTLE_ASSUMED = 0.05  # the same where the noise is assumed, which comes out smaller than a standard error
IN_A_ROW = 5  # times that the gain must be too little, one trial after another
NOISE_SHARE = 0.5  # of the variance of the better half, where the noise of one value is not known
MEDIAN_ERROR = 1.25  # standard error of a median, relative to that of a mean
DRAWS = 5_000
MIN_FREEDOM = 6  # degrees of freedom from which on repeats tell the noise


@dataclass(frozen=True)
class NextTrials:
    """What `NEXT` further trials would truly gain, in the unit of the metric; positive is better, also of a loss.

    ``error`` is the standard deviation of the gain, chance in what these trials find included. ``noise`` is the
    standard deviation of one value; ``measured`` tells whether it is known, or assumed from the spread of the values.
    ``worth`` is false once the expected gain has been too little `IN_A_ROW` times, see `TOO_LITTLE`.
    """

    trials: int  # finished so far
    gain: float
    error: float
    noise: float
    measured: bool
    worth: bool


@np.errstate(over="ignore", invalid="ignore")  # anybody's values may be huge
def next_trials(values: Sequence[float], noise: float | None = None, *, maximize: bool = True) -> NextTrials | None:
    """What the next trials would gain after those with these values, in the order in which they were made.

    A trial that cannot win has NaN: it was pruned, diverged or exceeds the limit on the gap. ``noise``: the standard
    deviation of one value, if it is known. None with too few trials, or too few of them that may win.
    """
    signed = np.asarray(values, dtype=float) * (1.0 if maximize else -1.0)
    signed[~np.isfinite(signed)] = math.nan
    known = noise is not None and math.isfinite(noise) and noise > 0
    given, least = (noise, TOO_LITTLE) if known else (None, TOO_LITTLE_ASSUMED)
    latest = _estimate(signed, given)
    if latest is None:
        return None
    earlier = (_estimate(signed[:end], given) for end in range(len(signed) - 1, len(signed) - IN_A_ROW, -1))
    looks = chain([latest], earlier)
    worth = any(found is None or found[0] > least * found[2] for found in looks)  # no further back than needed
    gain, error, used = latest
    return NextTrials(len(signed), gain, error, used, known, worth)


def noise_of_share(share: float, images: float, design_effect: float = 1.0) -> float | None:
    """The standard error of a share of right answers; None where it cannot be told.

    A single training has further noise, that of its seed. On the other hand all trials share their validation images.
    On the recorded trainings of `benchmarks/repeats`, what is left is 0.65 to 0.8 of this error.
    """
    if not (images > 0 and 0 <= share <= 1 and design_effect > 0):
        return None
    kept = min(max(share, 0.5 / images), 1 - 0.5 / images)  # as if half an image were right, or wrong
    return math.sqrt(kept * (1 - kept) * design_effect / images)


def noise_of_repeats(runs: Sequence[Mapping[int, float]]) -> float | None:
    """The standard deviation of one value from configurations that were trained in several rounds.

    What a round does to all alike is taken out. None with fewer than `MIN_FREEDOM` degrees of freedom.
    """
    cells = [(one, number, value) for one, run in enumerate(runs) for number, value in run.items()]
    cells = [cell for cell in cells if math.isfinite(cell[2])]
    rounds = sorted({number for _, number, _ in cells})
    if not cells:
        return None
    design = np.zeros((len(cells), len(runs) + len(rounds)))
    for row, (one, number, _) in enumerate(cells):
        design[row, one] = design[row, len(runs) + rounds.index(number)] = 1
    found = np.array([value for *_, value in cells])
    fitted, _, rank, _ = np.linalg.lstsq(design, found, rcond=None)
    freedom = len(cells) - int(rank)
    if freedom < MIN_FREEDOM:
        return None
    return math.sqrt(float(((found - design @ fitted) ** 2).sum()) / freedom)


def _estimate(values: NDArray[np.float64], noise: float | None) -> tuple[float, float, float] | None:
    """Expected gain, its standard deviation, and the noise of one value; larger values are better."""
    latest = values[-LATEST:]
    able = latest[np.isfinite(latest)]
    if len(values) < MIN_TRIALS or len(able) < MIN_VALUES:
        return None
    middle, best = float(np.median(able)), float(np.nanmax(values))
    better = able[able >= middle] - middle
    observed = float((better**2).mean())  # variance
    assumed = math.sqrt(NOISE_SHARE * observed) if noise is None else noise
    inner = min(assumed**2, observed)  # of the noise, which cannot be more than all
    draws, freedom = _draws(), 2 * len(better)  # mirrored at the median, the better half stands for all
    spread = np.maximum(observed * freedom / draws.chi_square(freedom) - inner, 0.0)  # variance of the true qualities
    total = spread + inner
    share = np.divide(spread, total, out=np.zeros(DRAWS), where=total > 0)  # of a deviation that is no luck
    center = middle + draws.center * MEDIAN_ERROR * np.sqrt(total / len(able))
    leader = center + share * (best - center) + np.sqrt(share * inner) * draws.leader
    true = center[:, None] + np.sqrt(spread)[:, None] * draws.true
    measured = np.where(draws.able < len(able) / len(latest), true + math.sqrt(inner) * draws.noise, -math.inf)
    chosen = measured.argmax(axis=1)[:, None]
    ahead = np.take_along_axis(measured, chosen, 1)[:, 0] > best
    gain = np.where(ahead, np.take_along_axis(true, chosen, 1)[:, 0] - leader, 0.0)
    mean, error = float(gain.mean()), float(gain.std())
    return (mean, error, assumed) if math.isfinite(mean) and math.isfinite(error) else None


@dataclass(frozen=True)
class _Draws:
    """Standard random numbers that every call uses, so that the same values give the same answer."""

    center: NDArray[np.float64]
    leader: NDArray[np.float64]
    true: NDArray[np.float64]
    noise: NDArray[np.float64]
    able: NDArray[np.float64]  # uniform

    @staticmethod
    @cache
    def chi_square(freedom: int) -> NDArray[np.float64]:
        """As many chi-square numbers."""
        return np.random.default_rng(freedom).chisquare(freedom, DRAWS)


@cache
def _draws() -> _Draws:
    rng = np.random.default_rng(0)
    lines = rng.standard_normal((2, DRAWS))
    tables = rng.standard_normal((2, DRAWS, NEXT))
    return _Draws(lines[0], lines[1], tables[0], tables[1], rng.random((DRAWS, NEXT)))
