"""What a study will cost, which its listener hears before anything is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from regstudy.space.plan import PlanKind
from regstudy.text import counted, format_duration

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Cost:
    """Cost of one arm: seconds per epoch, epochs per run, parameters of the network, trainable parameters, folds.

    ``compiled``: whether every run compiles its network first, which takes time that is not part of the estimate.
    """

    seconds: float
    epochs: int
    parameters: int
    trained: int
    folds: int = 0
    compiled: bool = False

    @property
    def per_trial(self) -> float:
        """Seconds of a trial that is neither stopped early nor pruned."""
        return self.seconds * self.epochs * max(self.folds, 1)

    @property
    def length(self) -> str:
        """The length of a trial in words."""
        epochs = counted(self.epochs, "epoch")
        return f"{self.folds} folds with {epochs} each" if self.folds else epochs


@dataclass(frozen=True)
class Ready:
    """All checks passed; nothing is written yet. ``left``: trials to run, by arm; ``confirm``: runs after them."""

    kind: PlanKind
    costs: Mapping[str, Cost]
    left: Mapping[str, int]
    confirm: int = 0

    @property
    def seconds(self) -> float:
        """Estimated seconds for all trials, run one after another."""
        return sum(cost.per_trial * (self.left[name] + self.confirm) for name, cost in self.costs.items())

    @property
    def _compiling(self) -> str:
        """Sentence about what comes on top, preceded by a space; empty if nothing is compiled."""
        some = any(cost.compiled for cost in self.costs.values())
        return " Compiling the network comes on top: half a minute to minutes in every trial." if some else ""

    def __str__(self) -> str:
        if self.kind in ("confirmation", "ablation"):
            return self._of_a_confirmation()
        return self._of_a_search() if self.kind == "search" else "\n".join(self._of_a_comparison())

    def _of_a_confirmation(self) -> str:
        runs, (cost,) = counted(sum(self.left.values()), "run"), self.costs.values()
        if math.isnan(cost.seconds):
            return f"To run: {runs} of {cost.length}."
        return (
            f"Estimated cost: about {format_duration(self.seconds)} for {runs}, by what the trials of the search took."
        )

    def _of_a_search(self) -> str:
        (cost,) = self.costs.values()
        left, length = sum(self.left.values()), cost.length
        parts = [counted(left, "trial")] if left or not self.confirm else []
        trials = " and ".join([*parts, *([counted(self.confirm, "confirmation run")] if self.confirm else [])])
        return (
            f"Estimated cost: {format_duration(cost.seconds)} per epoch at the default settings, about"
            f" {format_duration(self.seconds)} for {trials} of {length}. Early stopping and pruning usually save part"
            f" of it.{self._compiling or f' {_in_an_hour(cost.per_trial)}'}"
        )

    def _of_a_comparison(self) -> list[str]:
        lines = []
        for name, cost in self.costs.items():
            frozen = "" if cost.trained == cost.parameters else f", {cost.trained:,} of them trainable"
            lines.append(
                f"  {name}: {cost.parameters:,} parameters{frozen}, {format_duration(cost.seconds)} per epoch,"
                f" {counted(self.left[name], 'run')} of {cost.length}"
            )
        runs = counted(sum(self.left.values()), "run")
        return [
            *lines,
            f"Estimated cost: about {format_duration(self.seconds)} for {runs}. Early stopping may save part of it."
            f"{self._compiling}",
        ]


def _in_an_hour(per_trial: float) -> str:
    fitting = int(SECONDS_PER_HOUR / per_trial)
    if fitting >= 1:
        return f"One hour is enough for {counted(fitting, 'trial')}."
    return (
        "One trial takes more than an hour. Fewer epochs or images would help: set training.epochs or data.train_limit"
        " (--set training.epochs=…)."
    )
