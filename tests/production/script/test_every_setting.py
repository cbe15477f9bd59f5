"""Every setting of a configuration decides the code of its exported script, which else says that it is left out."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from typing import Any, Literal, get_args, get_origin

import pytest

from regstudy.config.fields import field_paths, sections_at
from regstudy.config.run_config import SECTIONS_FIXED_IN_PHASES, RunConfig, config_problems, parse_config
from regstudy.errors import ConfigError
from regstudy.production.script.generate import training_script

pytestmark = pytest.mark.table

ALL_ON: dict[str, Any] = {
    "data": {"name": "image_folder", "root": "photos", "group": "(.)", "size": 32},
    "preprocessing": {"normalize": "half"},
    "model": {"name": "svhn_resnet", "dropout": 0.1},
    "optimizer": {"name": "adamw"},
    "schedule": {"name": "cosine", "warmup_epochs": 1},
    "regularization": {"l1": 0.1, "l2": 0.1, "mixup": 0.3, "cutmix": 0.3, "ema": 0.5},
    "augmentation": {"strength": 0.5, "ops": ["rotate"]},
    "training": {"epochs": 9, "patience": 3, "also": ["average_precision"]},
}
# what a setting needs besides, if `ALL_ON` has something else
WITH: dict[str, dict[str, Any]] = {
    "data.file": {"data": {"name": "table", "file": "a.csv"}},
    "data.image": {"data": {"name": "table", "file": "a.csv"}},
    "data.label": {"data": {"name": "table", "file": "a.csv"}},
    "data.split": {"data": {"name": "table", "file": "a.csv"}},
    "data.options": {"data": {"name": "mine:images"}},
    "data.parts.train": {"data": {"name": "image_folder", "root": "photos", "parts": {"train": "a"}}},
    "data.parts.validation": {"data": {"name": "image_folder", "root": "photos", "parts": {"train": "a"}}},
    "data.parts.test": {"data": {"name": "image_folder", "root": "photos", "parts": {"train": "a"}}},
    "data.resampling.kfold": {"data": {**ALL_ON["data"], "resampling": {"kfold": 4}}},
    "preprocessing.normalize.mean": {"preprocessing": {"normalize": {"mean": [0.5] * 3, "std": [0.5] * 3}}},
    "preprocessing.normalize.std": {"preprocessing": {"normalize": {"mean": [0.5] * 3, "std": [0.5] * 3}}},
    "regularization.l2_mode": {"regularization": {"l2": 0.1, "l2_mode": "coupled"}},
    "model.options": {"model": {"name": "tiny:cnn"}},
    "schedule.function": {"schedule": {"name": "lambda", "function": "mine:halved"}},
}
NEEDED = {"step_size": 2, "milestones": [2], "gamma": 0.5, "function": "mine:halved"}  # of schedules
# tried in turn until one is valid and another value than before
CANDIDATES: list[Any] = [
    True, False, 5, 1, 7, 0.25, 0.7, {"width": 5}, "nosuch:other", "(..)", ["flip"], ["auroc"], [6], [0.3, 0.3, 0.3],
    {"train": "x"}, {"kfold": 3}, "b", [{"training": {"epochs": 2}}],
]  # fmt: skip
REFUSED = "refused"
PATHS = sorted(set(field_paths(RunConfig)) - RunConfig.model_fields.keys() | {"phases"})
IN_PHASES = [path for path in PATHS if path.partition(".")[0] not in SECTIONS_FIXED_IN_PHASES]


def trees(path: str) -> Iterator[dict[str, Any]]:
    """Configurations in which a setting has an effect: one for each kind of optimizer or schedule that has it."""
    section, _, name = path.partition(".")
    kinds = [kind for kind in sections_at(RunConfig, [section]) if name in kind.model_fields]
    if section not in ("optimizer", "schedule") or name == "name":
        yield {**deepcopy(ALL_ON), **deepcopy(WITH.get(path, {}))}
        return
    for kind in kinds:
        chosen = get_args(kind.model_fields["name"].annotation)[0]
        needed = {field: NEEDED[field] for field in kind.model_fields if field in NEEDED and section == "schedule"}
        momentum = {"momentum": 0.5} if "momentum" in kind.model_fields else {}
        warmup = {"warmup_epochs": 1} if section == "schedule" else {}
        yield {**deepcopy(ALL_ON), section: {"name": chosen, **needed, **momentum, **warmup}}


def others(path: str, tree: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The configuration with other values of a setting: each name, if it takes names, else one value."""
    names = sorted({str(one) for one in literals(path)} - {"None"}) if literals(path) else []
    found = []
    before = parse_config(tree, "the configuration")
    for value in [*names, *CANDIDATES]:
        changed = placed(tree, path, value)
        if config_problems(changed) or parse_config(changed, "the configuration") == before:
            continue
        found.append(changed)
        if value not in names:
            break
    return found


def placed(tree: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The tree with a value at a path."""
    changed = deepcopy(dict(tree))
    *parents, last = path.split(".")
    here = changed
    for key in parents:
        here = here.setdefault(key, {})
    here[last] = value
    return changed


def literals(path: str) -> list[Any]:
    """The names that a setting may have."""
    *parents, last = path.split(".")
    fields = [one.model_fields[last] for one in sections_at(RunConfig, parents) if last in one.model_fields]
    return [value for field in fields for value in _literals(field.annotation)]


def _literals(kind: Any) -> Iterator[Any]:
    for part in get_args(kind):
        yield from [part] if get_origin(kind) is Literal else _literals(part)


def script(tree: Mapping[str, Any]) -> tuple[str, str]:
    """The code of a script without its docstring, and what the user is told: the docstring, or why there is none."""
    return _script(json.dumps(tree))


@cache
def _script(tree: str) -> tuple[str, str]:
    config = parse_config(json.loads(tree), "the configuration")
    given = config.data.parts
    parts = {"train": "train"} if given is None else {} if given == "none" else given.model_dump(exclude_none=True)
    try:
        text = training_script(config, "", {"shape": [3, 32, 32], "positive": "b", "parts": parts})
    except ConfigError as error:
        return REFUSED, str(error)
    parsed = ast.parse(text)
    return ast.unparse(parsed.body[1:]), ast.get_docstring(parsed) or ""  # type: ignore[arg-type]


def honored(path: str, before: tuple[str, str], after: tuple[str, str]) -> bool:
    """Whether a change of a setting changes the code, or is refused, or the user is told that it is left out."""
    named = {path, path.rpartition(".")[0]} if path.count(".") > 1 else {path}
    return after[0] != before[0] or any(one in after[1] for one in named)


def test_the_scan_finds_the_settings() -> None:
    assert len(PATHS) > 65 and len(IN_PHASES) > 35


@pytest.mark.parametrize("path", PATHS)
def test_a_setting_decides_the_code_or_is_named(path: str) -> None:
    for tree in trees(path):
        before, changes = script(tree), others(path, tree)
        assert changes, f"no candidate is valid for {path}: add one"
        if before[0] == REFUSED:
            assert tree["data"]["name"] == "table" and "does not read tables" in before[1]
            continue
        for changed in changes:
            assert honored(path, before, script(changed)), changed[path.partition(".")[0]]


@pytest.mark.parametrize("path", IN_PHASES)
def test_a_setting_of_a_later_phase_does_so_too(path: str) -> None:
    section = path.partition(".")[0]
    for tree in trees(path):
        before = script({**tree, "phases": [{}, {section: tree[section]}]})
        for changed in others(path, tree):
            phases = {**tree, "phases": [{}, {section: changed[section]}]}
            if not config_problems(phases):  # else it may not change, such as training.metric
                assert honored(path, before, script(phases)), changed[section]
