"""The run configuration: everything that decides a run, and what is wrong with one that is not valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from regstudy.config.fields import is_section, sections_at
from regstudy.config.schema import (
    AdamW,
    AnyOptimizer,
    AnySchedule,
    Augmentation,
    Constant,
    Data,
    Model,
    OffValue,
    Preprocessing,
    Regularization,
    Section,
    Training,
)
from regstudy.errors import ArgumentError, Problem, config_error, unknown

FIXED_IN_PHASES = {"data", "preprocessing", "model", "phases"}  # one network on the same images


class RunConfig(Section):
    """All that decides a run. The same configuration on the same machine and thread count gives the same curve.

    ``phases`` are changes of the configuration, each a mapping of sections, for runs that are continued in another way:
    every phase starts from the best weights of those before it, with a fresh optimizer.
    """

    data: Data
    preprocessing: Preprocessing = Preprocessing()
    model: Model
    optimizer: AnyOptimizer = AdamW(name="adamw")
    schedule: AnySchedule = Constant()
    regularization: Regularization = Regularization()
    augmentation: Augmentation = Augmentation()
    training: Training = Training()
    phases: Annotated[tuple[dict[str, Any], ...], Field(strict=False)] = ()

    regularizers: ClassVar[dict[str, float]] = {}

    @model_validator(mode="after")
    def _warmup_leaves_room(self) -> RunConfig:
        if self.schedule.warmup_epochs and self.schedule.warmup_epochs >= self.training.epochs:
            raise ValueError(
                f"schedule.warmup_epochs ({self.schedule.warmup_epochs}) must be smaller than training.epochs"
                f" ({self.training.epochs}); change either"
            )
        return self

    @model_validator(mode="after")
    def _shares_of_mixed_batches_fit(self) -> RunConfig:
        mixed = self.regularization.mixup + self.regularization.cutmix
        if mixed > 1:
            raise ValueError(
                f"regularization.mixup and regularization.cutmix must not exceed 1 together, but do: {mixed:g}"
            )
        return self

    @model_validator(mode="after")
    def _phases_are_configurations(self) -> RunConfig:
        for number, changes in enumerate(self.phases, start=1):
            problems = config_problems(self._changed(changes))
            fixed = sorted(FIXED_IN_PHASES & changes.keys())
            fixed += ["training.metric"] if "training.metric" in flatten(changes) else []
            problems += [Problem(key, "cannot change between phases.") for key in fixed]
            if problems:
                raise ValueError(f"phase {number}: " + "; ".join(f"{p.path}: {p.message}" for p in problems))
        return self

    def in_phases(self) -> list[RunConfig]:
        """The configurations of the phases in order, without phases of their own; this one alone if it has none."""
        if not self.phases:
            return [self]
        return [RunConfig.model_validate(self._changed(changes)) for changes in self.phases]

    @property
    def planned_epochs(self) -> int:
        """Epochs of all phases together."""
        return sum(phase.training.epochs for phase in self.in_phases())

    def _changed(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The plain values of this configuration with a phase's; a section that is named anew is exchanged whole."""
        tree = self.model_dump(mode="json", exclude={"phases"})
        for key, section in changes.items():
            merged = isinstance(section, dict) and "name" not in section and isinstance(tree.get(key), dict)
            tree[key] = {**tree[key], **section} if merged else section
        return tree

    def replaced(self, values: Mapping[str, Any]) -> RunConfig:
        """A validated copy with the values at the given dotted paths exchanged."""
        if not isinstance(values, Mapping) or not all(isinstance(path, str) for path in values):
            raise ArgumentError(f"values must be a mapping of dotted paths to values, but it is {values!r}.")
        tree = self.model_dump(mode="json")
        problems = []
        for path, value in values.items():
            try:
                set_path(tree, path, value)
            except KeyError as key:
                problems.append(Problem(path, f"{key} has no keys of its own."))
        if problems:
            raise config_error("the changed configuration", problems)
        return parse_config(tree, "the changed configuration")

    def without_regularizers(self) -> RunConfig:
        """A copy with every regularizer at its null, in every phase."""
        tree = self.model_dump(mode="json")
        for path, null in self.regularizers.items():
            set_path(tree, path, null)
            for changes in tree["phases"]:
                if path in flatten(changes):
                    set_path(changes, path, null)
        return parse_config(tree, "the configuration without regularizers")


def set_path(tree: dict[str, Any], path: str, value: Any) -> None:
    """Put a value at a dotted path of nested dictionaries; KeyError if the path leads through something else."""
    *parents, last = path.split(".")
    for key in parents:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise KeyError(key)
    tree[last] = value


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as {dotted path: value}; an empty dictionary is a value."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def parse_config(tree: Any, source: str) -> RunConfig:
    """A configuration from plain nested values; ConfigError with every problem if it is not one."""
    problems = config_problems(tree)
    if problems:
        raise config_error(source, problems)
    return RunConfig.model_validate(tree)


def config_problems(tree: Any) -> list[Problem]:
    """Everything that keeps a tree of plain values from being a RunConfig; an empty list if nothing does."""
    try:
        RunConfig.model_validate(tree)
    except ValidationError as error:
        details = [dict(detail) for detail in error.errors(include_url=False)]
        return [_problem(detail, tree) for detail in details if not _other_member(detail, details)]
    return []


def _problem(detail: dict[str, Any], tree: Any) -> Problem:
    """One pydantic error in our words: its path without union tags, and the nearest valid name where names matter."""
    path: list[str] = []
    here = tree
    given, kind = detail.get("input"), detail["type"]
    for key in detail["loc"]:
        missing = kind == "missing" and key == detail["loc"][-1]
        if isinstance(here, dict) and (key in here or missing):  # else pydantic names the member of a union here
            path.append(str(key))
            here = here.get(key)
    dotted = ".".join(path)
    if kind == "extra_forbidden":
        allowed = {name for s in sections_at(RunConfig, path[:-1], tree) for name in s.model_fields}
        allowed |= {"study"} if len(path) == 1 else set()  # a space's own section; a plain configuration has none
        return Problem(dotted, unknown("key", path[-1], allowed))
    if kind == "missing":
        return Problem(dotted, "is required but missing.")
    if kind == "union_tag_not_found":
        return Problem(dotted, "needs a name, as in {name: …}.")
    if kind == "union_tag_invalid":
        return Problem(dotted, unknown(path[-1], str(detail["ctx"]["tag"]), _quoted(detail["ctx"]["expected_tags"])))
    if kind == "literal_error":
        return Problem(dotted, unknown("value", str(given), _quoted(detail["ctx"]["expected"])))
    if kind in ("model_type", "model_attributes_type"):
        return Problem(dotted, f"must be a mapping of keys to values, but it is {given!r}.")
    if kind == "value_error":
        return Problem(dotted, f"{detail['ctx']['error']}" + (f", but it is {given!r}." if path else "."))
    if isinstance(given, dict) and {"low", "high", "choices"} & given.keys():
        return Problem(
            dotted, "is a range or a choice, but one value is needed here; `regstudy study` searches ranges."
        )
    return Problem(dotted, f"{detail['msg'][0].lower()}{detail['msg'][1:]}, but it is {given!r}.")


def _other_member(detail: dict[str, Any], details: list[dict[str, Any]]) -> bool:
    """Whether an error comes from the member of a union of words and mappings that the user did not mean."""
    given = detail.get("input")
    words_wanted = detail["type"] == "literal_error" and isinstance(given, dict)
    mapping_wanted = detail["type"] == "model_type" and isinstance(given, str)
    others = [other for other in details if other is not detail and other["loc"][:-1] == detail["loc"][:-1]]
    return words_wanted or (mapping_wanted and any(other["type"] == "literal_error" for other in others))


def _quoted(text: str) -> list[str]:
    """The names in pydantic's enumeration ``'a', 'b' or 'c'``."""
    return [part for part in text.split("'") if part.strip(" ,") not in ("", "or")]


def _regularizers(section: type[Section], prefix: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for name, field in section.model_fields.items():
        found |= {f"{prefix}{name}": mark.value for mark in _marks(field)}
        if is_section(field.annotation):
            found |= _regularizers(field.annotation, f"{prefix}{name}.")  # type: ignore[arg-type]
    return found


def _marks(field: FieldInfo) -> list[OffValue]:
    return [mark for mark in field.metadata if isinstance(mark, OffValue)]


RunConfig.regularizers = _regularizers(RunConfig)
