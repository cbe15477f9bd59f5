"""Fixed plans: fixed configurations (arms), each run with several seeds, for comparisons and ablations.

A plan is run by the same workers as a search, without pruning. Its slots go through the arms repeat by repeat, so an
interrupted plan is balanced to within one run per arm. Repeat k has the same training seed in every arm: differences
between arms are paired by repeat.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from regstudy.config.fingerprint import fingerprint, hashed
from regstudy.config.run_config import RunConfig, config_problems, flatten
from regstudy.config.schema import Data
from regstudy.errors import ConfigError, Problem, config_error
from regstudy.space.parsing import ConfigCheck, differences, parse_space
from regstudy.space.plan import Plan, PlanKind, Slot
from regstudy.space.ranges import Scalar
from regstudy.space.seeds import repeat_seed
from regstudy.space.study_section import DIRECTIONS, StudySection
from regstudy.text import counted

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

SEED_PATH = "training.seed"


@dataclass(frozen=True)
class Task:
    """What to run in a slot. Repeats count from 1."""

    arm: str
    repeat: int
    seed: int  # of the training


@dataclass(frozen=True)
class FixedPlan:
    """Arms by name; the others are compared with the first one. All use the same images and split.

    ``study`` holds the metric with its direction, and the seed from which the training seeds are derived.
    """

    name: str
    arms: Mapping[str, RunConfig]
    study: StudySection

    @property
    def data(self) -> Data:
        """The data section shared by all arms, with the seed of their split."""
        return next(iter(self.arms.values())).data

    def slots(self, repeats: int) -> int:
        """The number of slots for this many repeats of every arm."""
        return len(self.arms) * repeats

    def task(self, slot: int) -> Task:
        """The arm, the repeat and the training seed of a slot."""
        turn, position = divmod(slot, len(self.arms))
        return Task(list(self.arms)[position], turn + 1, repeat_seed(self.study.seed, turn + 1))

    @property
    def kind(self) -> PlanKind:
        """Fixed configurations are compared."""
        return "comparison"

    @property
    def adaptive(self) -> bool:
        """Nothing is sampled, and nothing is pruned."""
        return False

    @property
    def planned_epochs(self) -> int:
        """Epochs of the longest arm."""
        return max(config.planned_epochs for config in self.arms.values())

    def prunable(self, arm: str) -> bool:  # noqa: ARG002
        """No run is pruned: a comparison needs full runs."""
        return False

    @property
    def decided(self) -> float:
        """Any number of slots."""
        return math.inf

    def order(self, slot: int) -> tuple[str, dict[str, Scalar]]:
        """The arm of a slot, and its arm and repeat as Optuna parameters."""
        task = self.task(slot)
        return task.arm, {"arm": task.arm, "repeat": task.repeat}

    def label(self, slot: int) -> str:  # noqa: ARG002
        """Its arm says it all."""
        return ""

    def configure(self, trial: BaseTrial, slot: Slot) -> RunConfig:
        """The configuration of a slot's arm with the seed of its repeat; the trial gets the parameters of `order`."""
        task = self.task(slot.number)
        trial.suggest_categorical("arm", list(self.arms))
        trial.suggest_int("repeat", 1, max(task.repeat, self.task(max(slot.total, 1) - 1).repeat))
        return self.arms[task.arm].replaced({SEED_PATH: task.seed})

    def representatives(self) -> Mapping[str, RunConfig]:
        """Every arm."""
        return self.arms

    def extremes(self) -> Iterable[RunConfig]:
        """None besides the arms, which are all built when their cost is measured."""
        return ()

    def describe(self, total: int) -> str:
        """The numbers of arms, repeats and runs."""
        arms = counted(len(self.arms), "arm")
        repeats, runs = counted(-(-total // len(self.arms)), "repeat"), counted(total, "run")
        return (
            f"Comparison {self.name}: {arms} × {repeats} = {runs}, without pruning."
            " Repeat k uses the same training seed in every arm."
        )

    def nuisances(self) -> list[str]:
        """Nothing is tuned."""
        return []

    def plain(self) -> dict[str, Any]:
        """The plan as plain values for a file; `parse_plan` is its inverse."""
        return {
            "arms": {name: config.model_dump(mode="json") for name, config in self.arms.items()},
            "order": list(self.arms),
            "study": self.study.plain(),
        }

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that differ whenever anything that decides a run differs."""
        arms = {name: hashed(config.model_dump(mode="json"), RunConfig) for name, config in self.arms.items()}
        study = hashed(self.study.plain(), StudySection)
        return fingerprint({"arms": arms, "order": list(self.arms), "study": study})


def make_plan(name: str, arms: Mapping[str, RunConfig], study: StudySection, source: str) -> FixedPlan:
    """A plan of these arms; ``source`` names their origin in errors.

    The training seed of a configuration is ignored, since each repeat has its own. Raises ConfigError if there is no
    arm, if arms do not share their data section, or if a phase sets a seed.
    """
    if not arms:
        raise config_error(source, [Problem("arms", "must contain at least one configuration.")])
    first, *others = arms
    shared = arms[first].data.model_dump(mode="json")
    for other in others:
        changed = differences({"data": shared}, {"data": arms[other].data.model_dump(mode="json")})
        if changed:
            raise ConfigError(
                f"All arms must use the same images, but the data section of '{other}' differs from that of '{first}'"
                f" ({'; '.join(changed)}). Set the same value for all arms, such as --set {_example(changed[0])}"
            )
    problems = [
        Problem(f"{label}: phase {number}: {SEED_PATH}", "must not be set: every repeat has its own seed.")
        for label, config in arms.items()
        for number, changes in enumerate(config.phases, start=1)
        if SEED_PATH in flatten(changes)
    ]
    if problems:
        raise config_error(source, problems)
    fixed = {SEED_PATH: 0, **{f"training.{key}": value for key, value in study.measured.items()}}
    kept = StudySection(metric=study.metric, also=study.also, direction=DIRECTIONS[study.metric], seed=study.seed)
    return FixedPlan(name, {label: config.replaced(fixed) for label, config in arms.items()}, kept)


def parse_plan(raw: Any, name: str, source: str, checks: Iterable[ConfigCheck] = ()) -> FixedPlan:
    """A plan from the plain values of `FixedPlan.plain`; ConfigError with every problem of every arm."""
    arms = raw.get("arms") if isinstance(raw, dict) else None
    if not isinstance(arms, dict) or sorted(arms) != sorted(raw.get("order", ())):
        raise config_error(source, [Problem("arms", "must be a mapping of names to configurations, with their order.")])
    found, problems = {}, []
    checks = list(checks)
    for label in raw["order"]:
        wrong = config_problems(arms[label])
        if not wrong:
            found[label] = RunConfig.model_validate(arms[label])
            wrong = [problem for check in checks for problem in check(found[label])]
        problems += [Problem(f"{label}: {problem.path}", problem.message, problem.cause) for problem in wrong]
    if problems:
        raise config_error(source, problems)
    return make_plan(name, found, StudySection.model_validate(raw["study"]), source)


def _example(difference: str) -> str:
    """The first half of a line of `differences` as an override."""
    path, _, values = difference.partition(": ")
    return f"{path}={values.partition(' → ')[0]}"


def stored_plan(kind: PlanKind, raw: Any, name: str, source: str, checks: Iterable[ConfigCheck] = ()) -> Plan:
    """The plan that a study stores as plain values; ConfigError that lists every problem if it is invalid."""
    if kind == "comparison":
        return parse_plan(raw, name, source, checks)
    return parse_space(raw, name, source, checks)
