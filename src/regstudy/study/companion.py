"""The confirmation runs of a study: a second Optuna study in the same database, named after the first.

As a study of its own they are invisible to the search's sampler, pruner, best value and importances, and Optuna's
dashboard lists them under a name that says what they are.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import optuna

from regstudy.space.study_name import CONFIRMATION
from regstudy.study import attributes
from regstudy.study.place import StudyPlace
from regstudy.study.storage import in_words, open_existing, sqlite_path
from regstudy.study.stored_facts import fact

FOLDER = "confirmation"  # within the study's folder, for checkpoints and weights
BASELINE_ARM = "baseline"
_LEADER = "trial "


def folder_of(place: StudyPlace) -> Path:
    """The folder for the checkpoints and weights of a study's confirmation runs."""
    return place.output / FOLDER


def confirmation_place(place: StudyPlace, search: optuna.Study) -> StudyPlace:
    """Where the confirmation runs of a study are stored."""
    name = search.study_name + CONFIRMATION
    return replace(place, folder=folder_of(place), study=name, file=sqlite_path(place.url))


def find_confirmation(place: StudyPlace, search: optuna.Study) -> optuna.Study | None:
    """The confirmation runs of the study in a place; None if there are none yet. Changes nothing.

    Runs of an earlier study of this name, which was deleted, are none of this one.
    """
    with in_words(place.url):
        storage = open_existing(place.url)
        name = search.study_name + CONFIRMATION
        if storage is None or name not in {study.study_name for study in storage.get_all_studies()}:
            return None
        found = optuna.load_study(study_name=name, storage=storage)
        known = fact(found, attributes.RACE) or {}
        return found if known.get("since") == began(search) else None


def has_stale_runs(url: str, name: str) -> bool:
    """Whether a database holds confirmation runs for a name whose study was deleted. Changes nothing."""
    with in_words(url):
        storage = open_existing(url)
        if storage is None or name + CONFIRMATION not in {study.study_name for study in storage.get_all_studies()}:
            return False
        return bool(optuna.load_study(study_name=name + CONFIRMATION, storage=storage).get_trials(deepcopy=False))


def began(search: optuna.Study) -> str:
    """What tells a study from an earlier one of the same name: when its first trial started."""
    first = next(iter(search.get_trials(deepcopy=False)), None)
    return str(first.datetime_start) if first is not None else ""


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
