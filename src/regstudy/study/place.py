"""Where a study is stored, and how to open it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import optuna

from regstudy.errors import StudyError
from regstudy.space.plan import PlanKind
from regstudy.space.study_name import check_name
from regstudy.study import attributes
from regstudy.study.storage import BUSY_TIMEOUT, masked, open_storage, sqlite_path, sqlite_url

DATABASE_FILE = "study.db"


@dataclass(frozen=True)
class StudyPlace:
    """Where a study is stored: a folder named after it, and a database, by default a file in that folder."""

    folder: Path
    storage: str | None = field(default=None, repr=False)  # URL of a database server; it may hold a password

    @property
    def name(self) -> str:
        """The study's name: that of the folder."""
        return self.folder.absolute().name

    @property
    def url(self) -> str:
        """The storage URL of the database."""
        return self.storage or sqlite_url(self.folder / DATABASE_FILE)

    def __str__(self) -> str:
        return f"{masked(self.storage)}, study {self.name}" if self.storage else str(self.folder)


def study_place(results: Path, name: str, storage: str | None = None) -> StudyPlace:
    """The place of the study with this name; ArgumentError if it is not a plain folder name."""
    check_name(name)
    return StudyPlace(results / name, storage)


def find_study(place: StudyPlace) -> optuna.Study | None:
    """The study in a place, None if there is none. If a file holds a single study, its name does not matter."""
    path = sqlite_path(place.url)
    if path is not None and not _is_database(path):
        return None
    storage = open_storage(place.url)
    names = [study.study_name for study in storage.get_all_studies()]
    if place.name in names:
        return optuna.load_study(study_name=place.name, storage=storage)
    if place.storage is None and len(names) == 1:
        return optuna.load_study(study_name=names[0], storage=storage)
    return None


def _is_database(path: Path) -> bool:
    """Whether there is a SQLite file; an empty one, from an interrupted creation, does not count.

    Only SQLite may open it: closing any other handle drops the locks of this process's connections, whereupon the
    next process to leave deletes the log that they go on reading (sqlite.org/howtocorrupt.html, 2.2).
    """
    if not path.is_file() or path.stat().st_size == 0:
        return False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT)) as file:
            file.execute("PRAGMA schema_version")
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise StudyError(
                f"{path} is not a SQLite database. Move it away, or use another study name (--study NAME)."
            ) from None
    return True


def open_study(place: StudyPlace) -> optuna.Study:
    """The study in a place; StudyError if there is none."""
    study = find_study(place)
    if study is None:
        raise StudyError(f"There is no study in {place}. Give the folder of a study, such as results/NAME.")
    return study


def kind_of(study: optuna.Study) -> PlanKind:
    """Whether a study searches a space or runs fixed configurations; a study of plain Optuna counts as a search."""
    return "comparison" if study.user_attrs.get(attributes.PLAN) else "search"
