"""Opens the results of any kind of study."""

from __future__ import annotations

from pathlib import Path

from regstudy.report.comparison.comparison_result import ComparisonResult
from regstudy.report.study_result import StudyResult
from regstudy.study.place import StudyPlace, given_place, kind_of, open_study
from regstudy.study.storage import in_words, outlast


def load_results(path: str | Path, storage: str | None = None, study: str | None = None) -> StudyResult:
    """The results of a study in a folder such as ``results/digits_cnn``; a `ComparisonResult` if it is a comparison.

    ``storage`` is the URL of the database server that keeps the study, if one does. ``path`` may be a database file,
    too. ``study`` is the study's name; by default it is the folder's, or that of the only study in a file. Raises
    StudyError if there is no study.
    """
    return _opened(given_place(path, storage, study))


def result_in(place: StudyPlace) -> StudyResult:
    """The results of a study that has just run. Waits for a server that went away since; StudyError if it is gone."""
    return outlast(lambda: _opened(place))


def _opened(place: StudyPlace) -> StudyResult:
    with in_words(place.url):
        study = open_study(place)
    return ComparisonResult(place, study) if kind_of(study) == "comparison" else StudyResult(place, study)


def comparison_in(place: StudyPlace) -> ComparisonResult:
    """The results of the comparison in a place; StudyError if there is none."""
    with in_words(place.url):
        return ComparisonResult(place, open_study(place))
