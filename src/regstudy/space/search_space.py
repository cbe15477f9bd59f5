"""A space: a run configuration some of whose values are ranges, and the study it is meant for.

Parameters are named by their configuration path (`optimizer.lr`), with the choice in it where a range is conditional
(`schedule.step.gamma`); the switch of a range that can be off is called `<name>.on`.
"""

from __future__ import annotations

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

FIRST_BASELINES = (0, 3, 7)
BASELINE_EVERY = 10


@dataclass(frozen=True)
class Switch:
    """The choice between a range and its `off` value."""

    default: bool
    off: float  # the value that stands for the range when the switch is False


@dataclass(frozen=True)
class Parameter:
    """Something a search decides: its Optuna name, its configuration path, and under which other values it exists."""

    name: str
    path: str
    spec: Range | Choice | Switch
    conditions: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def ends(self) -> list[Scalar]:
        """Values that between them show whether every value of the parameter is allowed."""
        if isinstance(self.spec, Range):
            return [self.spec.low, self.spec.high]
        return list(self.spec.options) if isinstance(self.spec, Choice) else [False, True]


Choose = Callable[[Parameter], Scalar]


@dataclass(frozen=True)
class Space:
    """A parsed and checked space: a search runs it, a `Plan`. ``tree`` holds ranges and choices as leaves.

    ``fallback`` is the same space on the data set that its file names as a substitute; ``text`` is the file as it was
    read, ``source`` its name or path, if the space comes from one, and ``overrides`` what was changed. None of these
    decides a trial.
    """

    name: str
    tree: Mapping[str, Any]
    study: StudySection
    fallback: Space | None = field(default=None, compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)
    source: str = field(default="", compare=False, repr=False)
    overrides: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def parameters(self) -> list[Parameter]:
        """Everything a search decides, in the order of the file."""
        return list(_walk(self.tree, "", "", {}))

    def resolve(self, choose: Choose) -> RunConfig:
        """The configuration in which every open value is what `choose` says; the study's metric picks its epochs."""
        tree = _resolve(self.tree, "", "", choose)
        tree["training"] = {**tree.get("training", {}), "metric": self.study.metric}
        return RunConfig.model_validate(tree)

    def defaults(self) -> RunConfig:
        """The configuration at every parameter's default, with the split that a study of the space has."""
        config = self.resolve(default)
        if self.has("data.split_seed"):
            return config
        return config.replaced({"data.split_seed": split_seed(self.study.seed)})

    def suggest(self, trial: BaseTrial, baseline: bool = False) -> RunConfig:
        """The configuration an Optuna trial asks for; in the baseline arm every regularizer is at its null."""
        drawn = self.off_values()

        def choose(parameter: Parameter) -> Scalar:
            if baseline and parameter.path in RunConfig.regularizers and parameter.name not in drawn:
                return default(parameter)  # not asked for: the sampler must not learn from a value that is not used
            return _suggest(trial, parameter)

        config = self.resolve(choose)
        return config.without_regularizers() if baseline else config

    def off_values(self) -> dict[str, Scalar]:
        """Parameter values that turn the regularizers off, for those whose null the search can draw."""
        values: dict[str, Scalar] = {}
        for parameter in self.parameters():
            null = RunConfig.regularizers.get(parameter.path)
            if null is None:
                continue
            match parameter.spec:
                case Switch(off=off) if off == null:
                    values[parameter.name] = False
                case Range() as drawn if drawn.contains(null):
                    values[parameter.name] = null
                case Choice(options=options) if null in options:
                    values[parameter.name] = null
        return values

    def start(self) -> dict[str, Scalar]:
        """Parameter values of the very first trial: regularizers at their nulls, all else at its default."""
        values: dict[str, Scalar] = {}
        off_values = self.off_values()

        def choose(parameter: Parameter) -> Scalar:
            return values.setdefault(parameter.name, off_values.get(parameter.name, default(parameter)))

        self.resolve(choose)
        return values

    def has(self, path: str) -> bool:
        """Whether the file itself gives a value or a range for a dotted path."""
        return path in flatten(self.plain()) or any(parameter.path == path for parameter in self.parameters())

    @property
    def kind(self) -> PlanKind:
        """A space is searched."""
        return "search"

    @property
    def adaptive(self) -> bool:
        """A sampler draws, and a pruner may end trials early."""
        return True

    @property
    def data(self) -> Data:
        """The data section, with a split seed that follows from the study's where the file gives none."""
        return self.defaults().data

    @property
    def planned_epochs(self) -> int:
        """Epochs of a trial at the defaults."""
        return self.defaults().planned_epochs

    def prunable(self, arm: str) -> bool:
        """Baseline trials always run to their end: everything is compared with them."""
        return arm != "baseline"

    def order(self, slot: int) -> tuple[str, dict[str, Scalar]]:
        """The arm of a slot and the parameters its trial is queued with; the sampler draws the others."""
        if not is_baseline(slot):
            return "search", {}
        return "baseline", self.start() if slot == 0 else self.off_values()

    def configure(self, trial: BaseTrial, slot: Slot) -> RunConfig:
        """The configuration of a trial, with the training seed of its slot unless the file gives one."""
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
        """The name and the open values."""
        opened = list(dict.fromkeys(parameter.path for parameter in self.parameters()))
        if not opened and self.has("training.seed"):
            return (
                f"Study {self.name}: no open values and a fixed training.seed, so every trial repeats the same run."
                " Several seeds: regstudy compare."
            )
        if not opened:
            return f"Study {self.name}: no open values, so every trial is this one configuration with another seed."
        return f"Study {self.name}: {counted(len(opened), 'open value')} ({', '.join(opened)})."

    def nuisances(self) -> list[str]:
        """Paths of the open values that `study.nuisance` names, itself or by what they are part of."""
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
    return slot in FIRST_BASELINES or (slot >= 30 and slot % BASELINE_EVERY == 0)


def default(parameter: Parameter) -> Scalar:
    """The value at which a search starts."""
    return parameter.spec.default


def probes(space: Space) -> Iterator[Any]:
    """Trees of the default configuration, of each with one parameter at one of its ends, and with all at their last."""
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
    """A node with every open value chosen; only the parameters that exist under the choices made are asked for."""
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
