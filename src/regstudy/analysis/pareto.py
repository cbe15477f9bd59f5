"""The trials of a search that no other one beats in both the metric and the gap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regstudy.analysis.simplicity import simplicity
from regstudy.study.tables import Tables


@dataclass(frozen=True)
class ParetoTrial:
    """``value``: of the study's metric; ``active``: the regularizers that are on, with their values."""

    number: int
    value: float
    gap: float
    active: dict[str, object]


def pareto_set(tables: Tables) -> list[ParetoTrial]:
    """The usable trials to which no other is at least equal in metric and gap and better in one; best metric first.

    A gap below 0 counts as 0: validation images that happen to be easier are no merit. Of equal trials, the first one.
    """
    usable = tables.trials[tables.observed() & tables.trials[tables.gap].notna()]
    loss = usable["value"].to_numpy(float) * (-1 if tables.maximize else 1)
    gaps = usable[tables.gap].to_numpy(float)
    found = []
    for place in pareto_front(loss, gaps, usable["number"].to_numpy()):
        row = usable.iloc[place]
        number = int(row["number"])
        active = simplicity(tables, number).active
        found.append(ParetoTrial(number, float(row["value"]), float(gaps[place]), active))
    return found


def pareto_front(loss: NDArray[np.float64], gaps: NDArray[np.float64], order: NDArray[np.int64]) -> list[int]:
    """Places of the points that no other beats in both, the smallest loss first; of equal ones the first by ``order``.

    A gap below 0 counts as 0.
    """
    smallest, found = np.inf, []
    for place in np.lexsort((order, gaps.clip(min=0), loss)):
        if (gap := max(gaps[place], 0.0)) < smallest:
            smallest = gap
            found.append(int(place))
    return found
