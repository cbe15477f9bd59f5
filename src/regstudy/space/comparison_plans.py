"""The plan of a comparison, from files with arms or from configurations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from regstudy.config.run_config import RunConfig
from regstudy.errors import ArgumentError, Problem, config_error, require
from regstudy.space.arms import MAX_ARM_NAME_LENGTH, collapsed, is_label, load_arms, parse_variant, plan_of
from regstudy.space.fixed_plan import FixedPlan, make_plan
from regstudy.space.loader import find_space
from regstudy.space.parsing import ConfigCheck
from regstudy.space.study_name import default_name, substitute_name
from regstudy.space.study_section import StudySection
from regstudy.text import listing


def comparison_of_files(
    spaces: Sequence[str | Path],
    arms: Sequence[str],
    overrides: Sequence[str],
    name: str | None,
    checks: Iterable[ConfigCheck],
) -> tuple[FixedPlan, FixedPlan | None, str]:
    """The plan of these files and arms, the same on the fallback data if all have one, and a note on what is unused.

    Raises ArgumentError without a file, ConfigError for an invalid file or arm.
    """
    if not spaces:
        raise ArgumentError("spaces must contain at least one space or file.")
    paths = [path if isinstance(path, Path) else find_space(path) for path in spaces]
    found = load_arms(paths, [parse_variant(text) for text in arms], overrides, checks=checks)
    asked, substitute = plan_of(name or default_name(paths), found), None
    others = {label: arm.fallback for label, arm in found.items() if arm.fallback is not None}
    if len(others) == len(found):
        substitute = plan_of(asked.name, others)
        if name is None:
            substitute = plan_of(substitute_name(asked.name, substitute.data.name), others)
    ranges = collapsed(found)
    notes = [f"Ranges and choices in the files are set to their defaults: {', '.join(ranges)}."] if ranges else []
    if limited := [label for label, arm in found.items() if arm.study.gap_at_most is not None]:
        notes.append(f"A comparison has no winner to choose, so study.gap_at_most of {listing(limited)} has no effect.")
    return asked, substitute, " ".join(notes)


def comparison_of_configs(
    configs: Mapping[str, RunConfig], name: str | None, checks: Iterable[ConfigCheck]
) -> FixedPlan:
    """The plan of given configurations. Raises ConfigError if they differ in data or metric, or fail a check."""
    if not configs:
        raise ArgumentError("spaces must contain at least one configuration.")
    for label, config in configs.items():
        if not is_label(label):
            raise ArgumentError(
                f"The name of an arm must have 1 to {MAX_ARM_NAME_LENGTH} printable characters, but it is {label!r}."
            )
        require(f"The configuration of the arm '{label}'", config, RunConfig, "a RunConfig")
    looks = list(checks)
    found = [
        Problem(f"{label}: {problem.path}", problem.message)
        for label, config in configs.items()
        for check in looks
        for problem in check(config)
    ]
    metrics = {config.training.metric for config in configs.values()}
    if len(metrics) > 1:
        found.append(
            Problem("training.metric", f"must be the same in all arms, but it is {' or '.join(sorted(metrics))}.")
        )
    if found:
        raise config_error("The comparison", found)
    also = dict.fromkeys(name for config in configs.values() for name in config.training.also)
    section = StudySection(metric=metrics.pop(), also=tuple(also))
    return make_plan(name or "comparison", configs, section, "The comparison")
