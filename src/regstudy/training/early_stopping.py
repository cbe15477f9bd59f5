"""Early stopping as a pure rule: a series of values in, one signal per epoch out.

A value that beats the reference by more than the tolerance is an accepted improvement and resets the counter; any other
epoch increments it, and at `patience` the run should stop. With `reference="accepted"` the reference is the last
accepted value, so many gains below the tolerance never change it; with `"minimum"` it is the best value so far. NaN and
infinity are never accepted. In the first `grace` epochs the counter stays at 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from regstudy.errors import ArgumentError, require


@dataclass(frozen=True)
class Signal:
    """The state of early stopping after one epoch. Epochs count from 1; ``best_epoch`` is 0 before any finite value."""

    epoch: int
    best: float
    best_epoch: int
    epochs_since_best: int
    patience_left: int | None  # epochs; None if early stopping is disabled
    improving: bool  # this epoch was an accepted improvement
    gap: float  # train/validation gap as passed by the caller; NaN if not given
    finite: bool
    budget_fraction: float  # share of the planned epochs that are done; NaN if their number is unknown

    @property
    def stop(self) -> bool:
        """Whether training should stop: patience has run out."""
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


class EarlyStopping:
    """Early stopping for your own training loop: pass each epoch's value, stop when ``signal.stop`` is true.

    ``patience``: epochs without an accepted improvement before stopping; ``tolerance``: minimum improvement, in units
    of the value; ``grace``: number of first epochs that do not count against patience; ``epochs``: planned epochs, if
    known, for `Signal.budget_fraction`. Raises ArgumentError.

    >>> stopping = EarlyStopping(patience=2)
    >>> [stopping.update(loss).stop for loss in (0.9, 0.5, 0.6, 0.7)]
    [False, False, False, True]
    """

    def __init__(
        self,
        patience: int,
        *,
        maximize: bool = False,
        tolerance: float = 0.0,
        reference: Literal["accepted", "minimum"] = "accepted",
        grace: int = 0,
        epochs: int | None = None,
    ) -> None:
        for name, value, least in (("patience", patience, 1), ("grace", grace, 0), ("epochs", epochs, 1)):
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not (value is None and name == "epochs") and not (whole and value >= least):  # type: ignore[operator]
                raise ArgumentError(f"{name} must be a whole number of at least {least}, but it is {value!r}.")
        if not isinstance(tolerance, int | float) or not (math.isfinite(tolerance) and tolerance >= 0):
            raise ArgumentError(f"tolerance must be a finite number of at least 0, but it is {tolerance!r}.")
        require("maximize", maximize, bool, "True or False")
        if reference not in ("accepted", "minimum"):
            raise ArgumentError(f"reference must be 'accepted' or 'minimum', but it is {reference!r}.")
        self.values: list[float] = []
        self._gaps: list[float] = []
        self._epochs = epochs
        self._rule = StoppingRule(maximize, epochs or 1, patience, tolerance, reference, grace)

    def update(self, value: float, gap: float = math.nan) -> Signal:
        """The signal after one more epoch; ``gap`` (training minus validation) is copied to the signal."""
        if isinstance(value, bool | str):
            raise ArgumentError(f"value must be a number, but it is {value!r}.")
        self.values.append(float(value))
        self._gaps.append(gap)
        signal = self._rule.signals(self.values, self._gaps)[-1]
        return signal if self._epochs else replace(signal, budget_fraction=math.nan)
