"""A space: a run configuration some of whose values are ranges, and its study settings.

Parameters are named by their configuration path (`optimizer.lr`), which includes the choice for conditional ranges
(`schedule.step.gamma`); the switch of a range with an off value is called `<name>.on`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from regstudy.config.fingerprint import fingerprint, hashed
from regstudy.config.run_config import RunConfig, flatten
from regstudy.config.schema import Data
from regstudy.space.plan import PlanKind, Slot
from regstudy.space.ranges import Choice, Range, Scalar, plain
from regstudy.space.seeds import split_seed, training_seed
from regstudy.space.study_section import StudySection
from regstudy.text import counted

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

FIRST_BASELINE_SLOTS = (0, 3, 7)
BASELINE_INTERVAL = 10  # slots


@dataclass(frozen=True)
class Switch:
    """The choice between a range and its off value."""

    default: bool
    off: float  # the value that stands for the range when the switch is False


@dataclass(frozen=True)
class Parameter:
    """A hyperparameter: its Optuna name, its configuration path, and the values of others on which it depends."""

    name: str
    path: str
    spec: Range | Choice | Switch
    conditions: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def ends(self) -> list[Scalar]:
        """Extreme values: if they are valid, every value of the parameter is."""
        if isinstance(self.spec, Range):
            return [self.spec.low, self.spec.high]
        return list(self.spec.options) if isinstance(self.spec, Choice) else [False, True]


Choose = Callable[[Parameter], Scalar]


@dataclass(frozen=True)
class Space:
    """A parsed and validated space, the `Plan` of a search. ``tree`` has ranges and choices as leaves.

    ``fallback`` is the same space on its fallback data set; ``text`` is the content of the file, ``source`` its name or
    path, and ``overrides`` the changed values. None of these affects a trial.
    """

    name: str
    tree: Mapping[str, Any]
    study: StudySection
    fallback: Space | None = field(default=None, compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)
    source: str = field(default="", compare=False, repr=False)
    overrides: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def parameters(self) -> list[Parameter]:
        """All hyperparameters, in the order of the file."""
        return list(_walk(self.tree, "", "", {}))

    def resolve(self, choose: Choose) -> RunConfig:
        """The configuration in which ``choose`` gives the value of every hyperparameter."""
        return RunConfig.model_validate(self.chosen(choose))

    def chosen(self, choose: Choose) -> dict[str, Any]:
        """The same as plain values, which may not be valid together."""
        tree: dict[str, Any] = _resolve(self.tree, "", "", choose)
        return {**tree, "training": {**tree.get("training", {}), **self.study.measured}}

    def defaults(self) -> RunConfig:
        """The configuration with all hyperparameters at their defaults, and the split that a study would use."""
        config = self.resolve(default)
        if self.has("data.split_seed"):
            return config
        return config.replaced({"data.split_seed": split_seed(self.study.seed)})

    def suggest(self, trial: BaseTrial, baseline: bool = False) -> RunConfig:
        """The configuration of an Optuna trial; in the baseline arm every regularizer is off."""
        drawn = self.off_values()

        def choose(parameter: Parameter) -> Scalar:
            if baseline and parameter.path in RunConfig.regularizers and parameter.name not in drawn:
                return default(parameter)  # not sampled: the sampler must not learn from an unused value
            return _suggest(trial, parameter)

        config = self.resolve(choose)
        return config.without_regularizers() if baseline else config

    def off_values(self) -> dict[str, Scalar]:
        """Parameter values that turn the regularizers off, for those whose off value the search can draw."""
        values: dict[str, Scalar] = {}
        for parameter in self.parameters():
            off_value = RunConfig.regularizers.get(parameter.path)
            if off_value is None:
                continue
            match parameter.spec:
                case Switch(off=off) if off == off_value:
                    values[parameter.name] = False
                case Range() as drawn if drawn.contains(off_value):
                    values[parameter.name] = off_value
                case Choice(options=options) if off_value in options:
                    values[parameter.name] = off_value
        return values

    def start(self) -> dict[str, Scalar]:
        """Parameter values of the first trial: regularizers off, everything else at its default."""
        values: dict[str, Scalar] = {}
        off_values = self.off_values()

        def choose(parameter: Parameter) -> Scalar:
            return values.setdefault(parameter.name, off_values.get(parameter.name, default(parameter)))

        self.resolve(choose)
        return values

    def has(self, path: str) -> bool:
        """Whether the file itself sets a value or a range for a dotted path."""
        return path in flatten(self.plain()) or any(parameter.path == path for parameter in self.parameters())

    @property
    def kind(self) -> PlanKind:
        """A space is searched."""
        return "search"

    @property
    def adaptive(self) -> bool:
        """A sampler draws values, and a pruner may prune trials."""
        return True

    @property
    def data(self) -> Data:
        """The data section; unless the file sets a split seed, it is derived from the study's seed."""
        return self.defaults().data

    @property
    def planned_epochs(self) -> int:
        """Epochs of a trial at the defaults."""
        return self.defaults().planned_epochs

    @property
    def regularizes(self) -> bool:
        """Whether a trial can differ from a baseline trial: some regularizer is searched, or on."""
        config = self.defaults()
        searched = any(parameter.path in RunConfig.regularizers for parameter in self.parameters())
        return searched or config != config.without_regularizers()

    def prunable(self, arm: str) -> bool:
        """Baseline trials are never pruned: everything is compared with them."""
        return arm != "baseline"

    @property
    def decided(self) -> float:
        """Any number of slots."""
        return math.inf

    def order(self, slot: int) -> tuple[str, dict[str, Scalar]]:
        """The arm of a slot and the parameters its trial is queued with; the sampler draws the other ones."""
        if not is_baseline(slot):
            return "search", {}
        return "baseline", self.start() if slot == 0 else self.off_values()

    def label(self, slot: int) -> str:  # noqa: ARG002
        """Its arm says it all."""
        return ""

    def configure(self, trial: BaseTrial, slot: Slot) -> RunConfig:
        """The configuration of a trial, with the training seed of its slot unless the file sets one."""
        config = self.suggest(trial, slot.arm == "baseline")
        if self.has("training.seed"):
            return config
        return config.replaced({"training.seed": training_seed(self.study.seed, slot.number)})

    def representatives(self) -> dict[str, RunConfig]:
        """The configuration at the defaults."""
        return {"defaults": self.defaults()}

    def extremes(self) -> Iterator[RunConfig]:
        """The configurations at the ends of all ranges and at all choices."""
        return (RunConfig.model_validate(tree) for tree in probes(self))

    def describe(self, total: int) -> str:  # noqa: ARG002
        """The name and the hyperparameters."""
        opened = list(dict.fromkeys(parameter.path for parameter in self.parameters()))
        if not opened and self.has("training.seed"):
            return (
                f"Study {self.name}: no hyperparameters and a fixed training.seed, so every trial repeats the same run."
                " To run several seeds, use regstudy compare."
            )
        if not opened:
            return f"Study {self.name}: no hyperparameters, so all trials run this configuration with different seeds."
        return f"Study {self.name}: {counted(len(opened), 'hyperparameter')} ({', '.join(opened)})."

    def nuisances(self) -> list[str]:
        """Paths of the hyperparameters that `study.nuisance` lists, directly or by a section."""
        named = set(self.study.nuisance)
        return list(dict.fromkeys(p.path for p in self.parameters() if named.intersection(prefixes(p.path))))

    def plain(self) -> dict[str, Any]:
        """The space as plain values for a file; parsing them again gives an equal space."""
        return {**plain(dict(self.tree)), "study": self.study.plain()}

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that differ whenever anything that decides a trial differs."""
        tree = plain(dict(self.tree))
        return fingerprint({**hashed(tree, RunConfig), "study": hashed(self.study.plain(), StudySection)})


def is_baseline(slot: int) -> bool:
    """Whether a slot belongs to the baseline arm: three of the first eight, then every tenth from the thirtieth."""
    return slot in FIRST_BASELINE_SLOTS or (slot >= 30 and slot % BASELINE_INTERVAL == 0)


def default(parameter: Parameter) -> Scalar:
    """The value at which a search starts."""
    return parameter.spec.default


def probes(space: Space) -> Iterator[Any]:
    """Trees of the default configuration, with each parameter at each of its ends, and with all at their last end."""
    forced: list[dict[str, Scalar]] = [{}, {parameter.name: parameter.ends[-1] for parameter in space.parameters()}]
    for parameter in space.parameters():
        forced += [{**parameter.conditions, parameter.name: end} for end in parameter.ends]
    for values in forced:
        yield _resolve(space.tree, "", "", lambda parameter, v=values: v.get(parameter.name, default(parameter)))  # type: ignore[misc]


def _walk(node: Any, name: str, path: str, conditions: dict[str, Scalar]) -> Iterator[Parameter]:
    """Every parameter beneath a node; `name` and `path` differ by the labels of the choices on the way."""
    if isinstance(node, Range):
        if node.off:
            yield Parameter(f"{name}.on", path, Switch(not node.starts_off, node.off.value), conditions)
            conditions = {**conditions, f"{name}.on": True}
        yield Parameter(name, path, node, conditions)
    elif isinstance(node, Choice):
        yield Parameter(name, path, node, conditions)
        for label, option in node.options.items():
            if isinstance(option, dict | Range | Choice):
                yield from _walk(option, f"{name}.{label}", path, {**conditions, name: label})
    elif isinstance(node, dict):
        for key, inner in node.items():
            yield from _walk(inner, _join(name, key), _join(path, key), conditions)


def _resolve(node: Any, name: str, path: str, choose: Choose) -> Any:
    """A node with every value chosen; ``choose`` is only called for parameters that exist under the choices made."""
    if isinstance(node, Range):
        if node.off and not choose(Parameter(f"{name}.on", path, Switch(not node.starts_off, node.off.value))):
            return node.off.value
        return choose(Parameter(name, path, node))
    if isinstance(node, Choice):
        label = choose(Parameter(name, path, node))
        return _resolve(node.options[label], f"{name}.{label}", path, choose)
    if isinstance(node, dict):
        return {key: _resolve(inner, _join(name, key), _join(path, key), choose) for key, inner in node.items()}
    return node


def _suggest(trial: BaseTrial, parameter: Parameter) -> Scalar:
    name, spec = parameter.name, parameter.spec
    if isinstance(spec, Switch):
        return trial.suggest_categorical(name, [False, True])
    if isinstance(spec, Choice):
        return trial.suggest_categorical(name, list(spec.options))
    if spec.powers:
        return trial.suggest_categorical(name, spec.powers)
    if spec.integer:
        return trial.suggest_int(name, int(spec.low), int(spec.high), step=int(spec.step or 1), log=spec.log)
    return trial.suggest_float(name, spec.low, spec.high, step=spec.step, log=spec.log)


def _join(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key


def prefixes(path: str) -> list[str]:
    keys = path.split(".")
    return [".".join(keys[: length + 1]) for length in range(len(keys))]
