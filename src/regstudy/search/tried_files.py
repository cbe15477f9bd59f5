"""Configurations that a user wants to be tried first: read from files, and placed in a space."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regstudy.config.run_config import RunConfig
from regstudy.errors import ArgumentError, ConfigError, Problem, config_error
from regstudy.files.outputs import KEY
from regstudy.space.known_values import fixed_words, nested, values_in
from regstudy.space.loader import read_text
from regstudy.space.plain_values import plain_problems
from regstudy.space.search_space import Space
from regstudy.space.yaml_values import read_yaml_text
from regstudy.study.start import Params
from regstudy.text import listing

Given = str | Path | Mapping[str, Any] | RunConfig


@dataclass(frozen=True)
class Tried:
    """A configuration to be tried: what it is called, its place in the space, and what is to be said about it."""

    name: str
    params: Params
    notes: tuple[str, ...]


def tried(space: Space, given: Iterable[Given]) -> list[Tried]:
    """The points of a space to be tried. Raises ConfigError with everything that is wrong in any of them."""
    made, errors = [], []
    for number, one in enumerate(given, start=1):
        name = str(one) if isinstance(one, str | Path) else f"configuration {number}"
        try:
            made.append(_placed(space, name, one))
        except ConfigError as error:
            errors.append(str(error))
    if errors:
        raise ConfigError("\n".join(errors))
    return made


def _placed(space: Space, name: str, given: Given) -> Tried:
    source = f"{name} (--try)"
    if not space.parameters():
        raise ConfigError(f"{source}: the space has no hyperparameters, so there is nothing to try first.")
    tree, problems = nested(_tree(given, source))
    found = values_in(space, tree)
    problems += found.outside
    if problems:
        raise config_error(source, problems)
    if not found.params:
        names = ", ".join(dict.fromkeys(parameter.path for parameter in space.parameters()))
        raise ConfigError(f"{source} names no hyperparameter of the space. These are searched: {names}.")
    return Tried(name, found.params, tuple(_notes(name, found.missing, found.fixed)))


def _notes(name: str, missing: list[str], fixed: Mapping[str, tuple[Any, Any]]) -> Iterator[str]:
    if missing:
        yield f"{name} does not say {listing(missing)}: the sampler draws {'it' if len(missing) == 1 else 'them'}."
    if fixed:
        yield f"The space fixes what {name} gives otherwise, and its trial keeps the space's: {fixed_words(fixed)}."


def _tree(given: Given, source: str) -> dict[str, Any]:
    if isinstance(given, RunConfig):
        return given.model_dump(mode="json")
    if isinstance(given, str | Path):
        tree = read_yaml_text(read_text(Path(given)), source)
    elif isinstance(given, Mapping):
        tree = dict(given)
    else:
        raise ArgumentError(f"try_first must be a list of files, mappings or RunConfigs, but it holds {given!r}.")
    if not isinstance(tree, dict) or not tree:
        what = "is empty" if not tree else "is not a mapping"
        raise ConfigError(f"{source} {what}. Give a configuration, such as `regstudy export` writes, or `path: value`.")
    wrong: list[Problem] = plain_problems(tree)
    if wrong:
        raise config_error(source, wrong)
    return {key: value for key, value in tree.items() if key != KEY}
