"""Space files: where they are looked up, how they are read, overridden on the command line, and written.

YAML 1.2 in safe mode: `1e-4` is a number, `off` and `yes` are words, and a key that stands twice is an error.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from regstudy.config.run_config import set_path
from regstudy.errors import ConfigError, Problem, config_error, unknown
from regstudy.space.search_space import Check, Space, parse_space
from regstudy.text import counted


def shipped_spaces() -> dict[str, Path]:
    """Spaces that come with regstudy by name; a source checkout's own folder counts as shipped."""
    packaged = Path(str(files("regstudy"))) / "search_spaces"
    checkout = Path(__file__).parents[3] / "search_spaces"
    folder = packaged if packaged.is_dir() else checkout
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def known_spaces() -> dict[str, Path]:
    """Spaces that can be asked for by name: the shipped ones and, before them, those in ./search_spaces."""
    return shipped_spaces() | {path.stem: path for path in sorted(Path("search_spaces").glob("*.yaml"))}


def question(path: Path) -> str:
    """The first comment line of a space file, which says what a search of it asks."""
    first = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def size_in_words(path: Path) -> str:
    """How much there is to search in a space: its images, network, open values and epochs, or what is wrong with it."""
    try:
        space = load_space(path)
    except ConfigError as error:
        return f"cannot be searched: {error}"
    config = space.defaults()
    images = " or ".join(filter(None, [config.data.name, fallback_name(path)]))
    opened = len({parameter.path for parameter in space.parameters()})
    values, epochs = counted(opened, "open value"), counted(config.planned_epochs, "epoch")
    return f"{values} of {config.model.name} on {images}, {epochs} per trial"


def find_space(name: str) -> Path:
    """The file of a space: a path, else a name among the known ones. Raises ConfigError."""
    if name.endswith((".yaml", ".yml")) or os.sep in name:
        path = Path(name)
        if not path.is_file():
            raise ConfigError(f"There is no space file '{name}'.")
        return path
    known = known_spaces()
    if name not in known:
        sentence = unknown("space", name, known)
        raise ConfigError(f"{sentence[0].upper()}{sentence[1:]} A path to a YAML file of your own works as well.")
    return known[name]


def load_space(
    path: Path, overrides: Sequence[str] = (), *, fallback: bool = False, checks: Iterable[Check] = ()
) -> Space:
    """The space in a file with `a.b=c` overrides applied; see `parse_space` for what is checked.

    `data.fallback` replaces keys of the data section if `fallback` is asked for, and the space is then called
    `<name>@<data set>`; overrides win over it. Raises ConfigError.
    """
    raw = read_yaml(path)
    name, data = path.stem, raw.get("data") if isinstance(raw, dict) else None
    if isinstance(data, dict) and "fallback" in data:
        substitute = data.pop("fallback")
        if not isinstance(substitute, dict) or "name" not in substitute:
            raise config_error(str(path), [Problem("data.fallback", "must be a mapping with the name of a data set.")])
        if fallback:
            data |= substitute
            name = f"{name}@{substitute['name']}"
    apply_overrides(raw, overrides)
    return parse_space(raw, name, str(path), checks)


def fallback_name(path: Path) -> str | None:
    """The data set that a space file declares as its fallback, if any."""
    raw = read_yaml(path)
    data = raw.get("data") if isinstance(raw, dict) else None
    substitute = data.get("fallback") if isinstance(data, dict) else None
    return substitute.get("name") if isinstance(substitute, dict) else None


def apply_overrides(raw: Any, overrides: Iterable[str]) -> None:
    """Set `path=value` pairs in a tree; values are YAML, so numbers, words, lists and even ranges can be given."""
    problems = []
    for override in overrides if isinstance(raw, dict) else ():  # what is no mapping is refused when it is parsed
        path, equals, text = override.partition("=")
        if not equals or not all(path.split(".")):
            problems.append(Problem(override, "must be of the form a.b=value, as in training.epochs=10."))
            continue
        try:
            set_path(raw, path, YAML(typ="safe", pure=True).load(text))
        except YAMLError:
            problems.append(Problem(path, f"the value {text!r} is not valid YAML."))
        except KeyError as key:
            problems.append(Problem(path, f"{key} has no keys of its own in this space."))
    if problems:
        raise config_error("--set", problems)


def read_yaml(path: Path) -> Any:
    """Plain values from a YAML file; ConfigError if it cannot be read or a key stands in it twice."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} cannot be read: it is not text in UTF-8.") from None
    return read_yaml_text(text, str(path))


def read_yaml_text(text: str, source: str) -> Any:
    """Plain values from YAML; ConfigError with `source` and the line if it is not valid."""
    try:
        return _unshared(YAML(typ="safe", pure=True).load(text))
    except RecursionError:
        raise ConfigError(f"{source} is nested too deeply to be a space or a configuration.") from None
    except YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        what = getattr(error, "problem", None) or str(error)
        raise ConfigError(f"{source}{line} is not valid YAML: {' '.join(str(what).split())}.") from None


def _unshared(value: Any) -> Any:
    """Nested plain values of which no two places share one, as YAML's aliases do: an override changes one place."""
    if isinstance(value, dict):
        return {key: _unshared(inner) for key, inner in value.items()}
    return [_unshared(inner) for inner in value] if isinstance(value, list) else value


def yaml_text(tree: Any) -> str:
    """Plain values as YAML in block style, keys in the order given."""
    yaml = YAML()
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(tree, stream)
    return stream.getvalue()
