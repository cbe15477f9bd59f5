"""The answer of a study in one line, stored with the study, so that a list of studies needs no analysis."""

from __future__ import annotations

import math
from typing import Any

from regstudy.analysis.confirmation import Confirmation
from regstudy.analysis.gap import BaselineComparison
from regstudy.report.answer_phrasing import Answer
from regstudy.report.metric_phrasing import unit
from regstudy.report.range_phrasing import shown_gain
from regstudy.report.verdict_phrasing import fair_gain_words
from regstudy.study import attributes
from regstudy.study.tables import Study


def keep_headline(
    study: Study,
    text: str,
    found: BaselineComparison | None = None,
    told: Answer | None = None,
    confirmed: Confirmation | None = None,
) -> None:
    """Store the headline of a report and the gain that it claims, if they have changed.

    ``fresh``: the gain of confirmation runs, in place of ``fair_gain`` (see `BaselineComparison.fair_gain`). Studies of
    earlier versions stored ``gain``, the difference of the two best trials, which favors the arm with more of them. A
    study that regstudy did not make is left as it is.
    """
    if not any(name.startswith(attributes.PREFIX) for name in study.user_attrs):
        return  # a study of plain Optuna is only read
    unlearned = found is None or found.nothing_learned
    claimed = None if confirmed is None or unlearned else _fresh(confirmed)
    fair = None if found is None or unlearned or confirmed is not None else _gain(found)
    headline: dict[str, Any] = {"text": text, "fair_gain": fair}
    if told is not None:
        headline |= {"word": told.word, "tone": told.tone}
    if claimed is not None:
        headline["fresh"] = claimed
    if study.user_attrs.get(attributes.HEADLINE) != headline:
        study.set_user_attr(attributes.HEADLINE, headline)


def _gain(found: BaselineComparison) -> str | None:
    """The fair gain in words; None if there is none to claim."""
    return None if found.few or found.untrained else fair_gain_words(found) or None


def _fresh(found: Confirmation) -> dict[str, Any] | None:
    """The gain over the baseline with its interval, the gaps before and after, and their unit; None if unknown."""
    gain = shown_gain(found)
    numbers = (gain.mean, gain.low, gain.high)
    if found.status in ("nothing learned", "too few rounds") or not all(map(math.isfinite, numbers)):
        return None
    gaps = (found.baseline_gap.mean, found.gap.mean)
    return {
        "unit": unit(found.metric),
        "gain": [round(number, 6) for number in numbers],
        "gaps": [round(gap, 6) for gap in gaps] if all(map(math.isfinite, gaps)) else [],
        "margin": found.margin,
    }
