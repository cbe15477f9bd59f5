"""The run configuration: everything that decides a run, and the problems of an invalid one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from regstudy.config.fields import field_paths, is_section, sections_at
from regstudy.config.known_keys import unknown_key
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
from regstudy.config.value_words import KINDS, LIMITS, value_words
from regstudy.errors import ArgumentError, Problem, config_error, unknown
from regstudy.metrics import VALIDATION
from regstudy.text import shortened

STUDY_PATHS = ("study.metric", "study.nuisance", "study.seed")  # of the section that only spaces have
SECTIONS_FIXED_IN_PHASES = {"data", "preprocessing", "model", "phases"}  # one network on the same images


class RunConfig(Section):
    """Everything that decides a run. The same configuration, machine and thread count give the same learning curve.

    ``phases``: a run can have several phases, such as training the head and then fine-tuning. Each is a mapping of
    sections that change the configuration, and starts from the best weights so far with a fresh optimizer.
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
                f" ({self.training.epochs}); change one of them"
            )
        return self

    @model_validator(mode="after")
    def _shares_of_mixed_batches_fit(self) -> RunConfig:
        mixed = self.regularization.mixup + self.regularization.cutmix
        if mixed > 1:
            raise ValueError(
                f"the sum of regularization.mixup and regularization.cutmix must not exceed 1, but it is {mixed:g}"
            )
        return self

    @model_validator(mode="after")
    def _phases_are_configurations(self) -> RunConfig:
        for number, changes in enumerate(self.phases, start=1):
            problems = config_problems(self._changed(changes))
            fixed = sorted(SECTIONS_FIXED_IN_PHASES & changes.keys())
            fixed += ["training.metric"] if "training.metric" in flatten(changes) else []
            problems += [Problem(key, "cannot change between phases.") for key in fixed]
            if problems:
                raise ValueError(f"phase {number}: " + " ".join(f"{p.path}: {p.message}" for p in problems))
        return self

    def in_phases(self) -> list[RunConfig]:
        """The configurations of the phases in order, or this one if it has no phases."""
        if not self.phases:
            return [self]
        return [RunConfig.model_validate(self._changed(changes)) for changes in self.phases]

    @property
    def planned_epochs(self) -> int:
        """Epochs of all phases together."""
        return sum(phase.training.epochs for phase in self.in_phases())

    def _changed(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The plain values of this configuration with a phase's; a section with a new name is replaced as a whole."""
        tree = self.model_dump(mode="json", exclude={"phases"})
        for key, section in changes.items():
            merged = isinstance(section, dict) and "name" not in section and isinstance(tree.get(key), dict)
            tree[key] = {**tree[key], **section} if merged else section
        return tree

    def replaced(self, values: Mapping[str, Any]) -> RunConfig:
        """A validated copy with new values at the given dotted paths."""
        if not isinstance(values, Mapping) or not all(isinstance(path, str) for path in values):
            raise ArgumentError(f"values must be a mapping of dotted paths to values, but it is {values!r}.")
        tree = self.model_dump(mode="json")
        problems = []
        for path, value in values.items():
            try:
                set_path(tree, path, value)
            except KeyError as key:
                problems.append(Problem(path, f"{key} is a single value and has no keys."))
        if problems:
            raise config_error("the changed configuration", problems)
        return parse_config(tree, "the changed configuration")

    def without_regularizers(self) -> RunConfig:
        """A copy with every regularizer at its off value, in every phase."""
        tree = self.model_dump(mode="json")
        for path, off in self.regularizers.items():
            set_path(tree, path, off)
            for changes in tree["phases"]:
                if path in flatten(changes):
                    set_path(changes, path, off)
        return parse_config(tree, "the configuration without regularizers")


def set_path(tree: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a dotted path of nested dictionaries; KeyError if the path leads through a single value."""
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
    """A configuration from plain nested values; ConfigError that lists every problem."""
    problems = config_problems(tree)
    if problems:
        raise config_error(source, problems)
    return RunConfig.model_validate(tree)


def config_problems(tree: Any) -> list[Problem]:
    """All problems of a tree of plain values as a RunConfig; an empty list if it is valid."""
    try:
        RunConfig.model_validate(tree)
    except ValidationError as error:
        details = [dict(detail) for detail in error.errors(include_url=False)]
        by_path: dict[str, list[dict[str, Any]]] = {}  # a value that may be of several kinds has an error for each
        for detail in [one for one in details if not _other_member(one, details)] or details:
            by_path.setdefault(".".join(_path(detail, tree)), []).append(detail)
        return [problem for found in by_path.values() for problem in _problems_at_a_path(found, tree)]
    return []


def _problems_at_a_path(details: list[dict[str, Any]], tree: Any) -> Iterator[Problem]:
    """The errors that pydantic found at one path, as readable problems."""
    of_values = [detail for detail in details if detail["type"] in {*KINDS, *LIMITS}]
    for detail in details:
        if detail not in of_values:
            yield _problem(detail, tree)
    for given in {repr(detail.get("input")): None for detail in of_values}:  # of each item in a list
        same = [detail for detail in of_values if repr(detail.get("input")) == given]
        yield _problem(same[0], tree, same)


def _path(detail: dict[str, Any], tree: Any) -> list[str]:
    """The keys on the way to a value that pydantic found wrong, without the tags of unions."""
    path: list[str] = []
    here = tree
    for key in detail["loc"]:
        missing = detail["type"] == "missing" and key == detail["loc"][-1]
        if isinstance(here, dict) and (key in here or missing):  # else pydantic names the member of a union here
            path.append(str(key))
            here = here.get(key)
    return path


def _problem(detail: dict[str, Any], tree: Any, same: Sequence[Mapping[str, Any]] = ()) -> Problem:
    """One pydantic error as a readable problem, with the closest valid name; ``same`` are all those of its value."""
    path = _path(detail, tree)
    given, kind = detail.get("input"), detail["type"]
    dotted = ".".join(path)
    if kind == "extra_forbidden":
        allowed = {name for s in sections_at(RunConfig, path[:-1], tree) for name in s.model_fields}
        allowed |= {"study"} if len(path) == 1 else set()  # a space's own section; a plain configuration has none
        known = [*field_paths(RunConfig), *STUDY_PATHS]
        return Problem(dotted, unknown_key(".".join(path[:-1]), path[-1], allowed, known))
    if kind == "missing":
        return Problem(dotted, "is required but missing.")
    if kind == "union_tag_not_found":
        return Problem(dotted, "needs a name, as in {name: …}.")
    if kind == "union_tag_invalid":
        return Problem(dotted, unknown(path[-1], str(detail["ctx"]["tag"]), _quoted(detail["ctx"]["expected_tags"])))
    if kind == "literal_error":
        names = [name.removeprefix(VALIDATION) for name in _quoted(detail["ctx"]["expected"])]  # as they are typed
        return Problem(dotted, unknown("value", str(given), names))
    if kind == "value_error":
        words = str(detail["ctx"]["error"]).rstrip(".")
        return Problem(dotted, f"{words}, but it is {shortened(given)}." if path else f"{words}.")
    if isinstance(given, dict) and {"low", "high", "choices"} & given.keys():
        return Problem(
            dotted, "is a range or a choice, but this needs a single value. Only `regstudy study` searches ranges."
        )
    return Problem(dotted, value_words(same or [detail]))


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
