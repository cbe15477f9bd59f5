"""Early stopping as a pure rule: a series of values in, one signal per epoch out.

A value that beats the reference by more than the tolerance is accepted and resets the counter; any other epoch raises
it, and at `patience` the run should stop. With `reference="accepted"` the reference is the last accepted value, so that
many gains below the tolerance never move it; with `"minimum"` it is the best value so far. Values that are not finite
are never accepted. In the first `grace` epochs the counter stays at 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Signal:
    """What the series says after one epoch; epochs count from 1 and ``best_epoch`` is 0 before any finite value."""

    epoch: int
    best: float
    best_epoch: int
    epochs_since_best: int
    patience_left: int | None  # None: never stops
    improving: bool  # this epoch was accepted
    gap: float  # training minus validation as the caller defines it; NaN if not given
    finite: bool
    budget_fraction: float  # share of the planned epochs that are over

    @property
    def stop(self) -> bool:
        """Whether patience has run out."""
        return self.patience_left == 0


@dataclass(frozen=True)
class StoppingRule:
    """``epochs`` planned; ``patience`` in epochs or None; ``tolerance`` in units of the series."""

    maximize: bool
    epochs: int
    patience: int | None
    tolerance: float = 0.0
    reference: Literal["accepted", "minimum"] = "accepted"
    grace: int = 0

    def signals(self, values: Sequence[float], gaps: Sequence[float] = ()) -> list[Signal]:
        """One signal for each value of the series; ``gaps`` has one entry per value or none."""
        sign = -1.0 if self.maximize else 1.0
        accepted = best = math.inf
        best_epoch = counter = 0
        found = []
        for epoch, value in enumerate(values, start=1):
            loss = sign * value if math.isfinite(value) else math.inf
            improving = loss < (accepted if self.reference == "accepted" else best) - self.tolerance
            if improving:
                accepted, counter = loss, 0
            elif epoch <= self.grace:
                counter = 0
            else:
                counter += 1
            if loss < best:
                best, best_epoch = loss, epoch
            found.append(
                Signal(
                    epoch=epoch,
                    best=sign * best,
                    best_epoch=best_epoch,
                    epochs_since_best=epoch - best_epoch,
                    patience_left=None if self.patience is None else max(self.patience - counter, 0),
                    improving=improving,
                    gap=gaps[epoch - 1] if gaps else math.nan,
                    finite=math.isfinite(value),
                    budget_fraction=epoch / self.epochs,
                )
            )
        return found
