"""What is examined: the file of a space or a configuration, or what a study has kept of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from regstudy import data
from regstudy.cli.session import CHECKS, Material, data_of, gather
from regstudy.errors import ConfigError, StudyError
from regstudy.search.runner import StudyPlace, find_study, is_plan, open_study
from regstudy.space.loader import apply_overrides, find_space, known_spaces, read_yaml_text
from regstudy.space.search_space import Space, parse_space
from regstudy.study import attributes


@dataclass(frozen=True)
class Subject:
    """The YAML as it was written, what it means with the overrides, and its images or their substitute's.

    ``stored`` tells that the YAML is a study's, which names the images that it really uses.
    """

    text: str
    material: Material[Space]
    stored: bool = False


def find_subject(name: str, storage: str | None, overrides: Sequence[str], data_dir: Path, console: Console) -> Subject:
    """The study in a folder or a database, else the space or configuration of that name.

    Raises ConfigError or StudyError if there is none, DataError if its images cannot be had.
    """
    place = StudyPlace(Path(name), storage)
    if storage is not None or (place.folder.is_dir() and find_study(place) is not None):
        return _of_study(place, overrides, data_dir)
    if place.folder.is_dir() and name not in known_spaces():
        open_study(place)  # which says that there is none
    path = find_space(name)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as text in UTF-8: {error}.") from None
    space = space_of(text, path.stem, str(path), overrides)
    second = space_of(text, path.stem, str(path), overrides, fallback=True) if has_fallback(text, str(path)) else None
    return Subject(text, gather(space, second, data_dir, console))


def space_of(text: str, name: str, source: str, overrides: Sequence[str] = (), *, fallback: bool = False) -> Space:
    """The checked space in a text; a configuration, as `regstudy export` writes it, is one without open values.

    ``fallback`` takes the data set that the text names as its substitute. Raises ConfigError.
    """
    raw = read_yaml_text(text, source)
    section = raw.get("data") if isinstance(raw, dict) else None
    if isinstance(section, dict):
        substitute = section.pop("fallback", None)
        if fallback and isinstance(substitute, dict):
            section |= substitute
            name = f"{name}@{section['name']}"
    apply_overrides(raw, overrides)
    training = raw.get("training") if isinstance(raw, dict) else None
    if isinstance(training, dict) and "metric" in training and "study" not in raw:
        raw["study"] = {"metric": training.pop("metric")}
    return parse_space(raw, name, source, CHECKS)


def has_fallback(text: str, source: str) -> bool:
    """Whether a text names a data set as a substitute; ConfigError if it names it wrongly."""
    raw: Any = read_yaml_text(text, source)
    section = raw.get("data") if isinstance(raw, dict) else None
    substitute = section.get("fallback") if isinstance(section, dict) else None
    if substitute is not None and not (isinstance(substitute, dict) and "name" in substitute):
        raise ConfigError(f"{source}: data.fallback must be a mapping with the name of a data set.")
    return substitute is not None


def _of_study(place: StudyPlace, overrides: Sequence[str], data_dir: Path) -> Subject:
    """The space that a study searches, with the very images that it uses."""
    study = open_study(place)
    facts = study.user_attrs
    if is_plan(study):
        raise StudyError(f"{place} holds a comparison of several configurations: examine the file of one of them.")
    if not {attributes.SPACE, attributes.DATA} <= facts.keys():
        raise StudyError(f"{place} was not made by `regstudy study`, so it does not say what it searches.")
    text, known = facts[attributes.SPACE], facts[attributes.DATA]
    space = space_of(text, facts[attributes.SPACE_NAME], str(place), overrides)
    wanted = data_of(space)
    if not any(override.startswith("data.split_seed=") for override in overrides):
        wanted = wanted.model_copy(update={"split_seed": known["split_seed"]})
    splits = data.prepare(wanted, data_dir)
    if splits.hash != known["split_hash"] and not any(override.startswith("data") for override in overrides):
        raise StudyError(
            f"The images here (split {splits.hash}) are not those of the study (split {known['split_hash']}). Copy the"
            f" data set of the machine that started it to {data_dir}."
        )
    requested = known.get("requested", splits.name)
    return Subject(text, Material(space, splits, requested, known.get("fallback_reason")), stored=True)
