"""How likely a difference is above, within or below a margin, given its pairs.

The default Bayesian t-test (Rouder et al., 2009): before any run, with probability `NOTHING` there is no effect, else
its size in standard deviations of a paired difference has a Cauchy distribution with scale `SCALE`, and with
probability `GOOD` it is good. That is a normal one whose variance g is drawn from an inverse gamma distribution; given
g everything has a closed form (normal-inverse-gamma), so the posterior is a mixture of Student's t over a grid of g.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from regstudy.analysis.contrasts import Pairs
from regstudy.analysis.paired import NO_SPREAD

NOTHING = 0.45  # prior probability of no effect
GOOD = 0.8  # prior probability that one that has an effect helps: the search has chosen it
SCALE = 1.0  # of the others, in standard deviations of a paired difference
STEPS = 24  # of the grid of g
GRID = SCALE**2 / special.ndtri((1 + (np.arange(STEPS) + 0.5) / STEPS) / 2) ** 2  # quantiles: g = (scale / normal)²


@dataclass(frozen=True)
class Chances:
    """Probabilities of a difference above the margin, within it, and below minus the margin; they add up to 1."""

    above: float
    within: float
    below: float


def chances(pairs: Pairs, margin: float) -> Chances | None:
    """The posterior probabilities; None with fewer than two pairs.

    Pairs without any spread, as on few validation images, count as if they had half the margin.
    """
    n = pairs.n
    if n < 2:
        return None
    sd = pairs.sd if pairs.sd >= NO_SPREAD else max(margin / 2, NO_SPREAD)
    squares = (n - 1) * sd**2
    rest = squares + n * pairs.mean**2 / (1 + n * GRID)  # sum of squares that g leaves unexplained
    nothing = squares + n * pairs.mean**2
    weights = (1 - NOTHING) / STEPS / np.sqrt(1 + n * GRID) * (nothing / rest) ** (n / 2)
    center = pairs.mean * n * GRID / (1 + n * GRID)
    spread = np.sqrt(GRID / (1 + n * GRID) * rest / n)
    over, under = special.stdtr(n, (center - margin) / spread), special.stdtr(n, (-margin - center) / spread)
    good = special.stdtr(n, center / spread)
    total = NOTHING + weights @ (2 * GOOD * good + 2 * (1 - GOOD) * (1 - good))
    above = float(2 * GOOD * (weights @ over) / total)
    below = float(2 * (1 - GOOD) * (weights @ under) / total)
    return Chances(above, max(0.0, 1 - above - below), below)
