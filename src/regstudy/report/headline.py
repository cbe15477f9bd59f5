"""The answer of a study in one line, stored with the study, so that a list of studies needs no analysis."""

from __future__ import annotations

from regstudy.analysis.gap import BaselineComparison
from regstudy.report.verdict_phrasing import fair_gain_words
from regstudy.study import attributes
from regstudy.study.tables import Study


def keep_headline(study: Study, text: str, found: BaselineComparison | None = None) -> None:
    """Store the headline of a report and the gain that it claims, if they have changed.

    ``fair_gain``: see `BaselineComparison.fair_gain`; studies of earlier versions stored ``gain``, the difference
    of the two best trials, which favors the arm with more of them. A study that regstudy did not make is left as it is.
    """
    if not any(name.startswith(attributes.PREFIX) for name in study.user_attrs):
        return  # a study of plain Optuna is only read
    headline = {"text": text, "fair_gain": None if found is None or found.nothing_learned else _gain(found)}
    if study.user_attrs.get(attributes.HEADLINE) != headline:
        study.set_user_attr(attributes.HEADLINE, headline)


def _gain(found: BaselineComparison) -> str | None:
    """The fair gain in words; None if there is none to claim."""
    return None if found.few or found.untrained else fair_gain_words(found) or None
