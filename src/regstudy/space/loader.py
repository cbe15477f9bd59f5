"""Space files: finding, reading, overriding and writing them."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from regstudy.config.run_config import RunConfig, parse_config, set_path
from regstudy.errors import ConfigError, FileError, Problem, config_error, unknown
from regstudy.files import read_bytes
from regstudy.files.outputs import KEY
from regstudy.files.paths import given_path, path_errors, shown
from regstudy.metrics import stored_name
from regstudy.space.parsing import ConfigCheck, parse_space
from regstudy.space.plain_values import DEEPEST, plain_problems
from regstudy.space.search_space import Space
from regstudy.space.study_section import parse_study_section
from regstudy.space.yaml_values import read_yaml_text, yaml_text
from regstudy.text import counted, shortened

SECTIONS = {*RunConfig.model_fields, "study"} - {"phases"}
LARGEST_FILE = 200_000  # bytes; the largest space so far has 3,000

MEASURED = ("metric", "also")  # of a study; a run keeps them in `training`


def shipped_spaces() -> dict[str, Path]:
    """Spaces that come with regstudy by name; a source checkout's own folder counts as shipped."""
    packaged = Path(str(files("regstudy"))) / "search_spaces"
    checkout = Path(__file__).parents[3] / "search_spaces"
    folder = packaged if packaged.is_dir() else checkout
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def known_spaces() -> dict[str, Path]:
    """Spaces available by name: the shipped ones and those in ./search_spaces, which take precedence."""
    return shipped_spaces() | {path.stem: path for path in sorted(Path("search_spaces").glob("*.yaml"))}


def question(path: Path) -> str:
    """The first comment line of a space file: the question that its study answers."""
    try:
        first = read_text(path).partition("\n")[0]
    except ConfigError:
        return ""  # the next line of the list says why
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def size_in_words(path: Path) -> str:
    """The size of a space: its hyperparameters, network, images and epochs, or what is wrong with it."""
    try:
        space = load_space(path)
    except ConfigError as error:
        return f"cannot be used: {' '.join(str(error).split())}"
    config = space.defaults()
    images = " or ".join([config.data.name, *([space.fallback.data.name] if space.fallback else [])])
    opened = len({parameter.path for parameter in space.parameters()})
    values, epochs = counted(opened, "hyperparameter"), counted(config.planned_epochs, "epoch")
    return f"{values} of {config.model.name} on {images}, {epochs} per trial"


def find_space(name: str) -> Path:
    """The file of a space: a path, else a name among the known ones. Raises ConfigError."""
    if name.endswith((".yaml", ".yml")) or os.sep in name:
        path = given_path(name, "The space file")
        with path_errors(path, "read"):
            missing = not path.exists() and not path.is_symlink()
        if missing:
            raise ConfigError(f"There is no space file '{name}'.")
        return path
    known = known_spaces()
    if name not in known:
        sentence = unknown("space", name, known)
        raise ConfigError(f"{sentence[0].upper()}{sentence[1:]} You can also give the path of your own YAML file.")
    return known[name]


def load_space(source: str | Path, overrides: Sequence[str] = (), *, checks: Iterable[ConfigCheck] = ()) -> Space:
    """The space in a file or with a name, with `a.b=c` overrides applied; see `parse_space` for what is checked.

    A file without ranges, as written by `regstudy export`, is a space with no hyperparameters. Raises ConfigError.
    """
    path = source if isinstance(source, Path) else find_space(source)
    space = space_from_text(read_text(path), path.stem, str(path), overrides, checks=checks)
    return replace(space, source=str(source), overrides=tuple(overrides))


def space_from_text(
    text: str, name: str, source: str, overrides: Sequence[str] = (), *, checks: Iterable[ConfigCheck] = ()
) -> Space:
    """The space in a YAML text; ``source`` names its origin in errors. Raises ConfigError."""
    space = space_from_tree(read_yaml_text(text, source), name, source, overrides, checks=checks)
    return replace(space, text=text)


def space_from_tree(
    tree: Any, name: str, source: str, overrides: Sequence[str] = (), *, checks: Iterable[ConfigCheck] = ()
) -> Space:
    """The space of plain nested values. Raises ConfigError with every problem.

    ``data.fallback`` gives keys of the data section for the space's fallback, which is called ``<name>@<data set>``;
    overrides take precedence.
    """
    checks = list(checks)
    _check_plain(tree, source)
    raw, substitute = _without_fallback(tree, source)
    space = parse_space(_prepared(raw, overrides, source), name, source, checks)
    if substitute is None:
        return space
    raw["data"] = {**raw["data"], **substitute}
    other = parse_space(_prepared(raw, overrides, source), f"{name}@{substitute['name']}", source, checks)
    return replace(space, fallback=other)


def load_config(path: Path, overrides: Sequence[str] = (), *, checks: Iterable[ConfigCheck] = ()) -> RunConfig:
    """A run configuration from a file without ranges, with `a.b=c` overrides. Raises ConfigError."""
    tree = read_yaml_text(read_text(path), str(path))
    _check_plain(tree, str(path))
    raw = _prepared(tree, overrides, str(path))
    if isinstance(raw, dict) and "study" in raw:
        problems: list[Problem] = []
        study = parse_study_section(raw.pop("study"), problems)
        sentence = "is only for studies; for a single training, set training.seed and data.split_seed instead."
        problems += [Problem("study.seed", sentence)] if "seed" in study.model_fields_set and study.seed else []
        problems += [Problem("study.nuisance", "is only for studies; remove it.")] if study.nuisance else []
        if problems:
            raise config_error(str(path), problems)
        training = raw.get("training") or {}
        if isinstance(training, dict):
            raw["training"] = {**training, **study.measured}
    config = parse_config(raw, str(path))
    found = [problem for check in checks for problem in check(config)]
    if found:
        raise config_error(str(path), found)
    return config


def config_text(config: Mapping[str, Any]) -> str:
    """A run configuration, given as nested plain values, as YAML; the metrics go into `study`, as in any file."""
    training = {key: value for key, value in config["training"].items() if key not in MEASURED}
    study = {key: config["training"][key] for key in MEASURED if config["training"].get(key)}
    return yaml_text({**config, "training": training, "study": study})


def _check_plain(tree: Any, source: str) -> None:
    """ConfigError unless a tree is one of plain values."""
    problems = plain_problems(tree)
    if problems:
        raise config_error(source, problems)


def _without_fallback(tree: Any, source: str) -> tuple[Any, dict[str, Any] | None]:
    """A copy of a tree without its `data.fallback`, and the fallback."""
    raw = copy.deepcopy(tree)
    data = raw.get("data") if isinstance(raw, dict) else None
    if not isinstance(data, dict) or "fallback" not in data:
        return raw, None
    substitute = data.pop("fallback")
    if not isinstance(substitute, dict) or "name" not in substitute:
        raise config_error(source, [Problem("data.fallback", "must be a mapping with the name of a data set.")])
    return raw, substitute


def _prepared(tree: Any, overrides: Iterable[str], source: str) -> Any:
    """A copy of a tree with the overrides; metrics are moved from `training`, their old place, to `study`."""
    raw, given = copy.deepcopy(tree), list(overrides)
    if isinstance(raw, dict):  # a section of which only the name is left is an empty one
        raw = {key: {} if value is None and key in SECTIONS else value for key, value in raw.items()}
    if isinstance(raw, dict) and str(raw.get(KEY, "")).startswith("regstudy "):
        del raw[KEY]  # the mark that `regstudy export` gives to JSON
    for key in MEASURED:
        _move(key, raw, source)
    apply_overrides(raw, given)
    for key in MEASURED:
        _move(key, raw, "--set", replace=not any(override.startswith(f"study.{key}=") for override in given))
    return raw


def _move(key: str, raw: Any, source: str, *, replace: bool = False) -> None:
    """Move a value from `training` to `study`; ConfigError if that conflicts with an existing one."""
    training = raw.get("training") if isinstance(raw, dict) else None
    if not isinstance(training, dict) or key not in training:
        return
    study = raw.get("study") or {}
    if not isinstance(study, dict):
        return  # rejected when the section is parsed
    value = training.pop(key)
    if not replace and stored_name(study.get(key, value)) != stored_name(value):
        sentence = f"is {value}, but study.{key} is {study[key]}. Set only study.{key}."
        raise config_error(source, [Problem(f"training.{key}", sentence)])
    raw["study"] = {**study, key: value}


def apply_overrides(raw: Any, overrides: Iterable[str]) -> None:
    """Set `path=value` pairs in a tree; values are YAML: numbers, strings, lists and even ranges."""
    problems = []
    for override in overrides if isinstance(raw, dict) else ():  # anything but a mapping is rejected when it is parsed
        path, equals, text = override.partition("=")
        if not equals or not all(path.split(".")) or path.count(".") >= DEEPEST:
            sentence = "must be of the form a.b=value, as in training.epochs=10."
            problems.append(Problem(shortened(override)[1:-1], sentence))
            continue
        try:
            wrong = plain_problems({path: None}) or plain_problems({path: (value := read_yaml_text(text, "the value"))})
            problems += wrong
            if not wrong:
                set_path(raw, path, value)
        except ConfigError as error:
            problems.append(Problem(path, f"{str(error).replace('the value', f'the value {shortened(text)}', 1)}"))
        except KeyError as key:
            problems.append(Problem(path, f"{key} is a single value in this space and has no keys."))
    if problems:
        raise config_error("--set", problems)


def read_text(path: Path) -> str:
    """The text of a file, without a byte-order mark; ConfigError if it cannot be read or is too large to be a space."""
    try:
        content = read_bytes(path, LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            words = f"it is larger than {LARGEST_FILE:,} bytes, too large for a space."
            raise ConfigError(f"{shown(path)} cannot be read: {words}")
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except FileError as error:
        raise ConfigError(str(error)) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{shown(path)} cannot be read: it is not UTF-8 text.") from None
