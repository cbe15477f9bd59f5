"""Fixed configurations that are trained in rounds, each with a fresh seed and a fresh split that all of them share.

Which configurations run in which round is decided as the rounds end, so a plan has the runs that are decided so far.
Slot k is run k, whatever is decided later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from regstudy.config.fingerprint import fingerprint, hashed
from regstudy.config.run_config import RunConfig
from regstudy.config.schema import Data
from regstudy.space.plan import PlanKind, Slot
from regstudy.space.ranges import Scalar
from regstudy.space.seeds import round_seeds
from regstudy.space.study_section import StudySection
from regstudy.text import counted

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

PURPOSES: dict[PlanKind, int] = {"confirmation": 1, "ablation": 2, "pilot": 4}  # of their seeds
TRYING = 3  # that of `RoundPlan.tries`
TRIAL, ROUND = "trial", "round"  # Optuna's parameters: whose configuration is trained, and the round


@dataclass(frozen=True)
class RoundPlan:
    """Arms by name, and the arm and the round (from 1) of each run. ``study`` has the seed of which all derive.

    ``trials``: by arm, the number of the trial that drew its configuration.

    Without ``fresh_splits`` all rounds use the images as they are split in the arms' data section.

    ``tries`` are arms whose runs only choose something about the others: their rounds have numbers and seeds of their
    own.
    """

    name: str
    arms: Mapping[str, RunConfig]
    runs: Sequence[tuple[str, int]]
    study: StudySection
    trials: Mapping[str, int]
    fresh_splits: bool = True
    kind: PlanKind = "confirmation"
    tries: frozenset[str] = frozenset()

    @property
    def data(self) -> Data:
        """The data section shared by all arms."""
        return next(iter(self.arms.values())).data

    @property
    def adaptive(self) -> bool:
        """Nothing is sampled, and nothing is pruned."""
        return False

    @property
    def planned_epochs(self) -> int:
        """Epochs of the longest arm."""
        return max((config.planned_epochs for config in self.arms.values()), default=0)

    def prunable(self, arm: str) -> bool:  # noqa: ARG002
        """No run is pruned: what is claimed needs full runs."""
        return False

    @property
    def decided(self) -> float:
        """The runs that were decided when this plan was made; another process may have decided more since."""
        return len(self.runs)

    def order(self, slot: int) -> tuple[str, dict[str, Scalar]]:
        """The arm of a slot, and its trial and round as Optuna parameters."""
        arm, round_ = self.runs[slot]
        return arm, {TRIAL: self.trials[arm], ROUND: round_}

    def label(self, slot: int) -> str:
        """The arm and the round of a run; the rounds of an ablation are repeats of its arms."""
        arm, round_ = self.runs[slot]
        return f"{arm}, {'repeat' if self.kind == 'ablation' else 'round'} {round_}"

    def configure(self, trial: BaseTrial, slot: Slot) -> RunConfig:
        """The configuration of a slot's arm with the seeds of its round; the trial gets the parameters of `order`."""
        arm, round_ = self.runs[slot.number]
        for name, value in ((TRIAL, self.trials[arm]), (ROUND, round_)):
            trial.suggest_int(name, value, value)
        return self.in_round(arm, round_)

    def in_round(self, arm: str, round_: int) -> RunConfig:
        """The configuration of an arm with the seeds of a round, also where its file fixes a seed."""
        purpose = TRYING if arm in self.tries else PURPOSES[self.kind]
        training, split = round_seeds(self.study.seed, round_, purpose)
        seeds = {"training.seed": training, **({"data.split_seed": split} if self.fresh_splits else {})}
        return self.arms[arm].replaced(seeds)

    def representatives(self) -> Mapping[str, RunConfig]:
        """Every arm."""
        return self.arms

    def extremes(self) -> Iterable[RunConfig]:
        """None besides the arms, which the search has built."""
        return ()

    def describe(self, total: int) -> str:
        """The number of runs."""
        return f"{self.kind.capitalize()} {self.name}: {counted(total, 'run')}, without pruning."

    def nuisances(self) -> list[str]:
        """Nothing is tuned."""
        return []

    def plain(self) -> dict[str, Any]:
        """The plan as plain values."""
        return {
            "arms": {name: config.model_dump(mode="json") for name, config in self.arms.items()},
            "runs": [list(run) for run in self.runs],
            "study": self.study.plain(),
        }

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that differ whenever anything that decides a run differs."""
        arms = {name: hashed(config.model_dump(mode="json"), RunConfig) for name, config in self.arms.items()}
        return fingerprint({"arms": arms, "runs": list(map(list, self.runs)), "seed": self.study.seed})
