"""What is examined: a space or configuration file, or what a study has stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from regstudy import data
from regstudy.data.pool import load_pool
from regstudy.errors import StudyError
from regstudy.search.events import Listener
from regstudy.search.study_images import Images, gather, rule_of
from regstudy.space.loader import known_spaces, load_space, space_from_text
from regstudy.space.search_space import Space
from regstudy.study import attributes
from regstudy.study.place import StudyPlace, find_study, holds_database, kind_of, open_study, place_at
from regstudy.study.stored_facts import facts_of
from regstudy.training.validation import CHECKS


@dataclass(frozen=True)
class Subject:
    """What is examined, with its images or those of the fallback.

    ``text`` is the original YAML; ``stored`` says that it is a study's, which names the images it really uses.
    """

    text: str
    space: Space
    images: Images
    stored: bool = False


def find_subject(
    name: str, storage: str | None, study: str | None, overrides: Sequence[str], data_dir: Path, listen: Listener
) -> Subject:
    """The study in a folder or a database, else the space or configuration of that name.

    Raises ConfigError or StudyError if there is none, DataError if its images are unavailable.
    """
    place = place_at(Path(name), storage, study)
    if storage is not None or study is not None or holds_database(Path(name)):
        return _of_study(place, overrides, data_dir, listen)
    if Path(name).is_dir() and (name not in known_spaces() or find_study(place) is not None):
        return _of_study(place, overrides, data_dir, listen)
    space = load_space(name, overrides, checks=CHECKS)
    used, images = gather(space, space.fallback, data_dir, listen)
    return Subject(space.text, used, images)


def _of_study(place: StudyPlace, overrides: Sequence[str], data_dir: Path, listen: Listener) -> Subject:
    """The space that a study searches, with exactly the images that it uses."""
    study = open_study(place)
    facts = facts_of(study)
    if kind_of(study) == "comparison":
        raise StudyError(f"{place} is a comparison of several configurations. Examine one of their files instead.")
    if not {attributes.SPACE, attributes.SPACE_NAME, attributes.DATA} <= facts.keys():
        raise StudyError(f"{place} was not created by `regstudy study`, so its search space is unknown.")
    text, known = facts[attributes.SPACE], facts[attributes.DATA]
    space = space_from_text(text, facts[attributes.SPACE_NAME], str(place), overrides, checks=CHECKS)
    wanted = space.data
    if not any(override.startswith("data.split_seed=") for override in overrides):
        wanted = wanted.model_copy(update={"split_seed": known["split_seed"]})
    given = (wanted, data_dir, listen, rule_of(known))
    splits = data.prepare(*given)
    if splits.hash != known["split_hash"] and not any(override.startswith("data") for override in overrides):
        raise StudyError(
            f"The images here (split {splits.hash}) differ from those of the study (split {known['split_hash']}). Copy"
            f" the data set from the machine that started the study to {data_dir}."
        )
    requested = known.get("requested", splits.name)
    return Subject(
        text, space, Images(splits, requested, partial(load_pool, *given), known.get("fallback_reason")), stored=True
    )
