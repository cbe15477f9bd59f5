"""Where a study is stored, and how to open it."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import NoneType

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from regstudy.errors import ArgumentError, RegstudyError, StudyError, describe, require, unknown
from regstudy.files.paths import given_path
from regstudy.space.plan import PlanKind
from regstudy.space.study_name import check_name, is_companion
from regstudy.study import attributes
from regstudy.study.passwords import masked_url
from regstudy.study.storage import in_words, open_existing, sqlite_path, sqlite_url
from regstudy.study.stored_facts import fact

DATABASE_FILE = "study.db"
DATABASE_SUFFIXES = (".db", ".sqlite", ".sqlite3")
LISTED_STUDIES = 20  # names in an error
CHOOSE = "Choose one with --study NAME."


@dataclass(frozen=True)
class StudyPlace:
    """Where a study is stored: a folder named after it, and a database, by default a file in that folder.

    ``study`` names a study that is not called like the folder; ``file`` is a database that is not called study.db.
    """

    folder: Path
    storage: str | None = field(default=None, repr=False)  # URL of a database server; it may hold a password
    study: str | None = None
    file: Path | None = None

    def __post_init__(self) -> None:
        if self.storage is not None and not self.storage.strip():
            raise ArgumentError("storage (--storage) is empty. Give the URL of a server, or leave it out for a file.")

    @property
    def name(self) -> str:
        """The study's name: that of the folder, unless another is given."""
        return self.study or self.folder.absolute().name

    @property
    def url(self) -> str:
        """The storage URL of the database."""
        return self.storage or sqlite_url(self.file or self.folder / DATABASE_FILE)

    @property
    def own(self) -> bool:
        """Whether the folder belongs to this study alone, as regstudy creates it."""
        return self.storage is None and self.file is None and self.study in (None, self.folder.absolute().name)

    @property
    def output(self) -> Path:
        """The folder for reports: the study's own, or one with its name beside a database that holds anything."""
        if self.own or self.storage is not None:
            return self.folder
        name = self.study or (self.file.stem if self.file else self.name)
        return self.folder / (re.sub(r"[^\w@.+-]+", "-", name).strip("-.") or "report")

    def __str__(self) -> str:
        if self.storage:
            return f"{masked_url(self.storage)}, study {self.name}"
        shown = str(self.file or self.folder)
        return f"{shown}, study {self.study}" if self.study else shown


def study_place(results: Path, name: str, storage: str | None = None) -> StudyPlace:
    """The place of the study with this name; ArgumentError if it is not a plain folder name."""
    check_name(name)
    return StudyPlace(results / name, storage)


def place_at(path: Path, storage: str | None = None, study: str | None = None) -> StudyPlace:
    """The place of an existing study: its folder or its database file, and its name if that is not the folder's."""
    if storage is None and path.is_file():
        return StudyPlace(path.parent, None, study, None if path.name == DATABASE_FILE else path)
    return StudyPlace(path, storage, study)


def given_place(path: str | Path, storage: str | None, study: str | None) -> StudyPlace:
    """The place of an existing study from the arguments of a public function; ArgumentError for a wrong type."""
    require("path", path, (str, Path), "the folder of a study")
    require("storage", storage, (str, NoneType), "the URL of a database server")
    require("study", study, (str, NoneType), "the name of a study")
    return place_at(given_path(path, "path"), storage, study)


def holds_database(path: Path) -> bool:
    """Whether a path is a database file; a folder or another file, such as a space, is none."""
    return path.suffix.lower() in DATABASE_SUFFIXES and path.is_file()


def find_study(place: StudyPlace, remedy: str = CHOOSE) -> optuna.Study | None:
    """The study in a place, None if there is none. If a file holds a single study, its name does not matter.

    Changes nothing. StudyError if it is not clear which study is meant, or if the study cannot be read; StorageError if
    the database is not one of Optuna.
    """
    with in_words(place.url), warnings.catch_warnings():
        storage = open_existing(place.url)
        if storage is None:
            return None
        try:
            warnings.filterwarnings("ignore", "Choices for a categorical", UserWarning)  # tells nothing on reading
            names = _without_companions([study.study_name for study in storage.get_all_studies()])
            name = _chosen(place, names, remedy)
            if name is None:
                return None
            study = optuna.load_study(study_name=name, storage=storage)
            study.get_trials(deepcopy=False)  # whatever cannot be read is found out now; Optuna keeps the others
        except (RegstudyError, StorageInternalError, SQLAlchemyError):
            raise
        except Exception as error:  # Optuna raises all kinds of errors on values that it did not write
            raise StudyError(
                f"{place} cannot be read: a value in the database is damaged ({describe(error)}). Restore a backup, or"
                " give another study."
            ) from None
    return study


def _chosen(place: StudyPlace, names: list[str], remedy: str) -> str | None:
    """The name of the study that is meant; None if there is none."""
    if place.name in names:
        return place.name
    if place.study is not None:
        where = masked_url(place.storage) if place.storage else place.file or place.folder
        raise StudyError(f"In {where}, {unknown('study', place.study, names[:LISTED_STUDIES])}")
    if place.storage is None and len(names) == 1:
        return names[0]
    if place.storage is None and names:
        none_of_this_name = "" if place.file else f", none of which is called '{place.name}'"
        raise StudyError(
            f"{sqlite_path(place.url)} holds {len(names)} studies{none_of_this_name}: {listed(names)}. {remedy}"
        )
    return None


def _without_companions(names: list[str]) -> list[str]:
    """The studies that a user can mean: confirmation runs belong to theirs."""
    return [name for name in names if not is_companion(name)]


def listed(names: list[str]) -> str:
    """The names of studies, as many as one can read."""
    shown = sorted(names)
    return ", ".join(shown[:LISTED_STUDIES]) + (", …" if len(shown) > LISTED_STUDIES else "")


def open_study(place: StudyPlace) -> optuna.Study:
    """The study in a place; StudyError if there is none."""
    study = find_study(place)
    if study is None:
        raise StudyError(f"There is no study in {place}. {_where_else(place)}")
    return study


def _where_else(place: StudyPlace) -> str:
    """What to give instead of a place without a study."""
    if place.storage is None:
        return _near(place) or "Give the folder of a study, such as results/NAME."
    storage = open_existing(place.storage)
    names = _without_companions([study.study_name for study in storage.get_all_studies()]) if storage else []
    close = get_close_matches(place.name, names, n=1, cutoff=0.6)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    return (
        f"{hint}The database holds these studies: {listed(names)}." if names else "The database holds no studies yet."
    )


def _near(place: StudyPlace) -> str:
    """The study whose folder has nearly this name; empty if there is none."""
    wanted, folder = place.folder.name, place.folder.parent
    try:
        names = [each.name for each in folder.iterdir() if (each / DATABASE_FILE).is_file()]
    except OSError:
        return ""
    close = get_close_matches(wanted, names, n=1, cutoff=0.6)
    return f"Did you mean {folder / close[0]}?" if close and close[0] != wanted else ""


def kind_of(study: optuna.Study) -> PlanKind:
    """Whether a study searches a space or runs fixed configurations; a study of plain Optuna counts as a search."""
    return "comparison" if fact(study, attributes.PLAN) else "search"
