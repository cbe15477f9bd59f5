"""The answer of a study in one line, stored with the study, so that a list of studies needs no analysis."""

from __future__ import annotations

from regstudy.analysis.gap import BaselineComparison
from regstudy.study import attributes
from regstudy.study.tables import Study


def keep_headline(study: Study, text: str, found: BaselineComparison | None = None) -> None:
    """Store the headline of a report and the gain of a search over its baseline, if they have changed.

    A study that regstudy did not make is left as it is.
    """
    if not any(name.startswith(attributes.PREFIX) for name in study.user_attrs):
        return  # a study of plain Optuna is only read
    gain = None
    if found is not None and found.baseline is not None and found.challenger is not None:
        gain = found.challenger.val - found.baseline.val
    headline = {"text": text, "gain": gain if gain is None or gain == gain else None}  # NaN is not JSON
    if study.user_attrs.get(attributes.HEADLINE) != headline:
        study.set_user_attr(attributes.HEADLINE, headline)
