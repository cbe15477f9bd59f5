"""When the phases of an answer start their last run, so that the command ends within its budget.

All times are in seconds from the start of the command. A worker looks at the clock before it takes a run, never during
one. So a phase must take its last run a training before its end, and how far a phase can end too late is how much
longer that run takes than expected, however many workers there are.
"""

from __future__ import annotations

import math

from regstudy.analysis.answer_plan import FEWEST_SEARCHED, PILOT_SHARE, PRUNED_COST, UNUSED, UNUSED_SECONDS

SURE = 0.9  # a training is expected to take as long as this share of those before it at most took


def last_start(end: float, training: float) -> float:
    """The time after which no run is started that is to have ended at a time.

    >>> last_start(1000.0, 60.0)
    940.0
    """
    return max(0.0, end - training)


def final_start(budget: float, training: float) -> float:
    """When the final training begins at the latest; some time is left for the evaluation and the report.

    >>> final_start(1000.0, 60.0)
    915.0
    """
    return budget * (1 - UNUSED) - UNUSED_SECONDS - training


def pilot_end(now: float, budget: float) -> float:
    """After which the pilot starts no further run. Its first one comes before anything is measured.

    >>> pilot_end(20.0, 1000.0)
    120.0
    """
    return now + PILOT_SHARE * budget


def search_last_start(pilot: float, planned: float, training: float, workers: int) -> float:
    """After which the search starts no further trial; ``pilot``: when it began, ``planned``: its seconds by the plan.

    The smallest search is made in any case, though with many workers its time may be shorter than one training. What
    it takes too long, the phases after it have less.

    >>> search_last_start(100.0, 1000.0, 60.0, 2)
    1040.0
    """
    least = PRUNED_COST * training * (math.ceil(FEWEST_SEARCHED / workers) - 0.5)
    return max(last_start(pilot + planned, training), pilot + least)
