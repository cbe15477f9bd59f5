"""The confirmation runs of a study: a second Optuna study in the same database, named after the first.

As a study of its own they are invisible to the search's sampler, pruner, best value and importances, and Optuna's
dashboard lists them under a name that says what they are.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import optuna

from regstudy.study.place import StudyPlace
from regstudy.study.storage import in_words, open_existing, sqlite_path

SUFFIX = "/confirmation"  # no name that `check_name` allows contains a slash
FOLDER = "confirmation"  # within the study's folder, for checkpoints and weights
BASELINE_ARM = "baseline"
_LEADER = "trial "


def confirmation_place(place: StudyPlace, search: optuna.Study) -> StudyPlace:
    """Where the confirmation runs of a study are stored."""
    name = search.study_name + SUFFIX
    return replace(place, folder=place.folder / FOLDER, study=name, file=sqlite_path(place.url))


def find_confirmation(place: StudyPlace, search: optuna.Study) -> optuna.Study | None:
    """The confirmation runs of the study in a place; None if there are none yet. Changes nothing."""
    with in_words(place.url):
        storage = open_existing(place.url)
        name = search.study_name + SUFFIX
        if storage is None or name not in {study.study_name for study in storage.get_all_studies()}:
            return None
        return optuna.load_study(study_name=name, storage=storage)


def is_companion(name: str, names: Collection[str]) -> bool:
    """Whether a study holds the confirmation runs of another one of these."""
    return name.endswith(SUFFIX) and name.removesuffix(SUFFIX) in names


def arm_of(number: int) -> str:
    """The arm of the runs that repeat a trial's configuration.

    >>> arm_of(31)
    'trial 31'
    """
    return f"{_LEADER}{number}"


def number_of(arm: str) -> int | None:
    """The trial that an arm repeats; None for the baseline and for other arms."""
    text = arm.removeprefix(_LEADER)
    return int(text) if arm.startswith(_LEADER) and text.isdecimal() else None
