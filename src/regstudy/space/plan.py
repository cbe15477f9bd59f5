"""What a study runs, slot by slot: the interface shared by a search of a space and a list of fixed configurations.

A study of N trials has N slots, numbered from 0, each to be finished once. The slot determines the arm and the seeds of
its trial, so a retried trial stays the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from regstudy.config.run_config import RunConfig
from regstudy.config.schema import Data
from regstudy.space.ranges import Scalar
from regstudy.space.study_section import StudySection

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

PlanKind = Literal["search", "comparison", "confirmation", "ablation", "pilot"]


@dataclass(frozen=True)
class Slot:
    """One place in a study: its number from 0, the arm it was queued for, and how many slots the study has."""

    number: int
    arm: str
    total: int


class Plan(Protocol):
    """What a study runs. `Space` searches ranges; `FixedPlan` and `RoundPlan` run given configurations again."""

    @property
    def name(self) -> str:
        """The study's name unless another is given."""

    @property
    def kind(self) -> PlanKind:
        """What the study is called in messages; also decides how its plan is stored."""

    @property
    def study(self) -> StudySection:
        """The metric with its direction, and the seed from which all other seeds are derived."""

    @property
    def data(self) -> Data:
        """The images that all runs use, with the seed of their split."""

    @property
    def adaptive(self) -> bool:
        """Whether finished trials guide later ones: a sampler draws values, and a pruner may prune trials."""

    @property
    def planned_epochs(self) -> int:
        """Epochs of the longest run."""

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that differ whenever anything that decides a run differs."""

    def prunable(self, arm: str) -> bool:
        """Whether trials of an arm may be pruned."""

    def order(self, slot: int) -> tuple[str, dict[str, Scalar]]:
        """The arm of a slot, and the Optuna parameters that its trial is queued with."""

    @property
    def decided(self) -> float:
        """How many slots it can order; infinite unless they are decided as the study goes on."""

    def label(self, slot: int) -> str:
        """What a slot is called on the screen; empty if its arm says it all."""

    def configure(self, trial: BaseTrial, slot: Slot) -> RunConfig:
        """The configuration of a trial, its training seed included; samples what `order` does not set."""

    def representatives(self) -> Mapping[str, RunConfig]:
        """One configuration per arm, by name, for measuring its cost."""

    def extremes(self) -> Iterable[RunConfig]:
        """Further configurations, to check that every possible network can be built."""

    def describe(self, total: int) -> str:
        """A sentence that describes a study of this many trials."""

    def nuisances(self) -> list[str]:
        """Paths of hyperparameters that are tuned but are not under study."""

    def plain(self) -> dict[str, Any]:
        """The plan as plain values for a file; `stored_plan` reads them."""
