"""From plain values to a validated space; all problems of a file are reported together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from regstudy.config.fields import field_paths
from regstudy.config.run_config import RunConfig, config_problems, flatten
from regstudy.errors import Problem, config_error, unknown
from regstudy.space.ranges import parse
from regstudy.space.search_space import Space, prefixes, probes
from regstudy.space.study_section import parse_study_section

ConfigCheck = Callable[[RunConfig], Iterable[Problem]]


def parse_space(raw: Any, name: str, source: str, checks: Iterable[ConfigCheck] = ()) -> Space:
    """A space from plain values; ``checks`` are applied to each configuration built during validation.

    Raises ConfigError that lists every problem of the file: wrong ranges, unknown keys, ends of ranges and choices that
    are invalid, and what the checks find.
    """
    if not isinstance(raw, dict):
        raise config_error(source, [Problem("", "must be a mapping of sections such as data, model and training.")])
    problems: list[Problem] = []
    body = {key: value for key, value in raw.items() if key != "study"}
    tree = parse(body, "", body, problems)
    study = parse_study_section(raw.get("study", {}), problems)
    space = Space(name, tree, study)
    judged = {prefix for problem in problems for prefix in prefixes(problem.path)[1:] or [problem.path]}
    # otherwise a wrong range would be reported a second time as a wrong value
    problems += [problem for problem in _probe(space, list(checks)) if problem.path not in judged]
    for parameter in space.parameters():
        if parameter.path.partition(".")[0] == "data":
            problems.append(
                Problem(parameter.path, "must be a single value: all trials of a study use the same images.")
            )
    for number, changes in enumerate(body["phases"] if isinstance(body.get("phases"), list) else [], start=1):
        if isinstance(changes, dict) and "training.seed" in flatten(changes):
            words = f"phase {number}: training.seed must not be set: every trial has its own seed."
            problems.append(Problem("phases", words))
    names = Counter(parameter.name for parameter in space.parameters())
    problems += [Problem(name, "is the name of two parameters; rename a choice.") for name, n in names.items() if n > 1]
    paths = {path for parameter in space.parameters() for path in prefixes(parameter.path)}
    known = paths | set(field_paths(RunConfig))  # a fixed value, perhaps because of an override, does no harm
    problems += [
        Problem("study.nuisance", unknown("hyperparameter", n, paths)) for n in study.nuisance if n not in known
    ]
    if problems:
        raise config_error(source, problems)
    return space


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Lines that describe the differences between two spaces in plain form."""
    before, after = flatten(old), flatten(new)
    paths = [path for path in {**before, **after} if before.get(path, "absent") != after.get(path, "absent")]
    return [f"{path}: {before.get(path, 'absent')} → {after.get(path, 'absent')}" for path in paths]


def _probe(space: Space, checks: list[ConfigCheck]) -> list[Problem]:
    """Problems of all probes."""
    problems: dict[Problem, None] = {}
    for tree in probes(space):
        found = config_problems(tree)
        if not found:
            config = RunConfig.model_validate(tree)
            found = [problem for check in checks for problem in check(config)]
        problems |= dict.fromkeys(found)
    return list(problems)
