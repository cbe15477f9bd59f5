"""Sentences about what other metrics than the deciding one show, and about the class that counts as positive."""

from __future__ import annotations

from regstudy.analysis.other_metrics import other_winners
from regstudy.report.metric_phrasing import score
from regstudy.report.phrasing import listing
from regstudy.study.tables import Tables


def other_winners_sentence(tables: Tables) -> str:
    """Which trials would win by the other recorded metrics; empty if the same one would."""
    found = other_winners(tables)
    if not found:
        return ""
    each = [
        f"by {one.metric.label} trial {one.number} would win "
        f"({score(one.value, one.metric)} against {score(one.value_of_best, one.metric)})"
        for one in found
    ]
    hidden = ": accuracy hides the rarer classes" if any(one.hidden for one in found) else ""
    text = listing(each)
    return f"{text[:1].upper()}{text[1:]}{hidden}."


def positive_class(tables: Tables) -> str:
    """Which of two classes is the positive one, where a recorded metric is defined by it; empty elsewhere."""
    positive = tables.data.get("positive")
    if not positive or not any(metric.binary for metric in (tables.measured, *tables.others)):
        return ""
    named = "data.positive" in tables.trials and tables.trials["data.positive"].notna().any()
    why = "named by data.positive" if named else "the rarer one in training; data.positive names another"
    return f"Average precision is that of the positive class, '{positive}' ({why})."
