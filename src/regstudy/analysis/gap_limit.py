"""What a limit on the gap (`study.gap_at_most`) leaves of a search, and what it costs; all values are of the search."""

from __future__ import annotations

from dataclasses import dataclass

from regstudy.metrics import Metric
from regstudy.study.tables import Tables


@dataclass(frozen=True)
class LimitedTrial:
    """A trial with its value and its gap."""

    number: int
    value: float
    gap: float


@dataclass(frozen=True)
class GapLimit:
    """Of the ``finished`` trials of the search, ``within`` keep the limit.

    ``best``: the best of these, ``unlimited``: the best of all, ``smallest``: the one with the smallest gap, of equals
    the better one; None if there is none.
    """

    limit: float
    metric: Metric
    finished: int
    within: int
    best: LimitedTrial | None
    unlimited: LimitedTrial | None
    smallest: LimitedTrial | None

    @property
    def unmet(self) -> bool:
        """Whether search trials have finished, and none of them keeps the limit."""
        return self.finished > 0 and self.within == 0


def gap_limit(tables: Tables) -> GapLimit | None:
    """What the limit of a study does; None if it has none. The baseline arm is not limited, so it does not count."""
    if tables.gap_at_most is None:
        return None
    search = tables.trials["arm"] != "baseline"
    loss = tables.trials["value"] * (-1 if tables.maximize else 1)
    ranked = tables.trials.assign(loss=loss)[tables.observed() & search].sort_values(["loss", "number"])
    allowed = ranked[tables.within_limit()[ranked.index]]
    by_gap = ranked.dropna(subset=[tables.gap]).sort_values([tables.gap, "loss", "number"])
    first = [
        LimitedTrial(int(row["number"]), float(row["value"]), float(row[tables.gap])) if row is not None else None
        for row in (each.iloc[0] if len(each) else None for each in (allowed, ranked, by_gap))
    ]
    return GapLimit(tables.gap_at_most, tables.measured, len(ranked), len(allowed), *first)
