"""A quick, read-only summary of a study's database file: name, attributes and number of trials, without their curves.

Optuna itself would create its tables in a foreign database and read every trial. Here a study costs three small
queries, so that a page can list a whole folder of studies.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regstudy.errors import StudyError
from regstudy.space.study_name import is_companion

LOCK_TIMEOUT = 2.0  # seconds


@dataclass(frozen=True)
class StudyGlance:
    """A study's name, its user attributes, and the number of its trials by the name of their state."""

    name: str
    attributes: Mapping[str, Any]
    trials: Mapping[str, int]


def glance_at(path: Path) -> StudyGlance:
    """The single study in a SQLite file, or the one named after its folder; StudyError if it cannot be read."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=LOCK_TIMEOUT)) as file:
            every = dict(file.execute("SELECT study_name, study_id FROM studies").fetchall())
            names = {name: number for name, number in every.items() if not is_companion(name)}
            name = path.absolute().parent.name
            if name not in names and len(names) == 1:
                (name,) = names
            if name not in names:
                raise StudyError(f"{path} holds {len(names)} studies, none of them called '{name}'.")
            facts = file.execute(
                "SELECT key, value_json FROM study_user_attributes WHERE study_id = ?", (names[name],)
            ).fetchall()
            states = file.execute(
                "SELECT state, COUNT(*) FROM trials WHERE study_id = ? GROUP BY state", (names[name],)
            ).fetchall()
            return StudyGlance(str(name), {key: json.loads(value) for key, value in facts}, dict(states))
    except (sqlite3.Error, ValueError, OSError) as error:
        raise StudyError(f"{path} is not the database of a study ({error}).") from None
