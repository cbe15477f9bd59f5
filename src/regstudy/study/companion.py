"""The confirmation and the ablation runs of a study: further Optuna studies in the same database, named after it.

As studies of their own they are invisible to the search's sampler, pruner, best value and importances, and Optuna's
dashboard lists them under a name that says what they are.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import optuna

from regstudy.space.study_name import ABLATION, CONFIRMATION
from regstudy.study import attributes
from regstudy.study.place import StudyPlace
from regstudy.study.storage import in_words, open_existing, sqlite_path
from regstudy.study.stored_facts import fact

BASELINE_ARM = "baseline"
_LEADER = "trial "
_FACTS = {CONFIRMATION: attributes.RACE, ABLATION: attributes.ABLATION}  # what each kind stores, with "since" among it


def folder_of(place: StudyPlace, suffix: str = CONFIRMATION) -> Path:
    """The folder for the checkpoints and weights of such runs, named as they are."""
    return place.output / suffix.removeprefix("/")


def companion_place(place: StudyPlace, search: optuna.Study, suffix: str = CONFIRMATION) -> StudyPlace:
    """Where the confirmation runs of a study are stored, or those of another ``suffix``."""
    name = search.study_name + suffix
    return replace(place, folder=folder_of(place, suffix), study=name, file=sqlite_path(place.url))


def find_confirmation(place: StudyPlace, search: optuna.Study) -> optuna.Study | None:
    """The confirmation runs of the study in a place; None if there are none yet. Changes nothing.

    Runs of an earlier study of this name, which was deleted, are none of this one.
    """
    return find_companion(place, search, CONFIRMATION)


def find_ablation(place: StudyPlace, search: optuna.Study) -> optuna.Study | None:
    """The ablation runs of the study in a place; None if there are none yet. Changes nothing."""
    return find_companion(place, search, ABLATION)


def find_companion(place: StudyPlace, search: optuna.Study, suffix: str) -> optuna.Study | None:
    """The runs of this suffix; see `find_confirmation`."""
    with in_words(place.url):
        storage = open_existing(place.url)
        name = search.study_name + suffix
        if storage is None or name not in {study.study_name for study in storage.get_all_studies()}:
            return None
        found = optuna.load_study(study_name=name, storage=storage)
        known = fact(found, _FACTS[suffix]) or {}
        return found if known.get("since") == began(search) else None


def has_stale_runs(url: str, name: str, suffix: str = CONFIRMATION) -> bool:
    """Whether a database holds such runs for a name whose study was deleted. Changes nothing."""
    with in_words(url):
        storage = open_existing(url)
        if storage is None or name + suffix not in {study.study_name for study in storage.get_all_studies()}:
            return False
        return bool(optuna.load_study(study_name=name + suffix, storage=storage).get_trials(deepcopy=False))


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
