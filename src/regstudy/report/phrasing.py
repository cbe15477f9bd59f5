"""Number formats, names, and the settings in which two trials differ."""

from __future__ import annotations

import math
import re
from typing import Any

import pandas as pd

from regstudy.analysis.gap import MIN_TRIALS, PLACES, Relation
from regstudy.metrics import is_metric
from regstudy.metrics import metric as known_metric
from regstudy.study.tables import PARAM, Tables
from regstudy.text import counted
from regstudy.text import listing as listing

NONE = "–"
_NOT_SETTINGS = ("data.", "training.seed")  # paths that may differ between trials but are not hyperparameters


def percent(fraction: float) -> str:
    """0.8123 → ``81.2 %``, −0.003 → ``−0.3 %``; rounded like the values that the analysis compares."""
    if not math.isfinite(fraction):
        return NONE
    return minus(f"{100 * (round(float(fraction), PLACES) + 0.0):.1f}\N{NO-BREAK SPACE}%")


def minus(text: str) -> str:
    """A formatted number with its leading hyphen replaced by a minus sign."""
    return "−" + text[1:] if text.startswith("-") else text


def signed(number: float) -> str:
    """Two decimals with a sign."""
    return minus(f"{number:+.2f}") if math.isfinite(number) else NONE


def points(difference: float) -> str:
    """0.0412 → ``+4.1 points``."""
    if not math.isfinite(difference):
        return NONE
    text = minus(f"{100 * round(difference, PLACES):+.1f}")
    return f"{'±0.0' if text[1:] == '0.0' else text} points"


def objective(value: float, metric: str | None) -> str:
    """The objective: shares in percent, anything else with four significant digits."""
    if not math.isfinite(value):
        return NONE
    return percent(value) if in_percent(metric) else minus(f"{value:.4g}")


def setting(value: Any, null: Any = None, *, regularizer: bool = False) -> str:
    """A value of the configuration; a regularizer at its off value (``null``) is ``off``."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NONE
    if regularizer and value == null:
        return "off"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def in_percent(metric: str | None) -> bool:
    """Whether a metric is shown in percent."""
    return metric is not None and is_metric(metric) and known_metric(metric).percent


def gap_finding(relations: list[Relation]) -> str:
    """Which regularizers correlate with the gap, in one or two sentences; empty if none was varied."""
    if not relations:
        return ""
    used = max(relation.used for relation in relations)
    sentences = []
    for verb in ("falls", "rises"):
        if names := [r.path for r in relations if r.kind == "significant" and r.verb == verb]:
            sentences.append(
                f"The gap {verb} with higher {listing(names)}, adjusted for the other settings ({used} trials)."
            )
    for verb in ("falls", "rises"):
        if seen := [r for r in relations if r.kind == "unadjusted" and r.verb == verb]:
            each = "its effect" if len(seen) == 1 else "their effects"
            sentences.append(
                f"Unadjusted, the gap {verb} with higher {listing([r.path for r in seen])}, but {used} trials are too "
                f"few to separate {each} from the {max(r.held for r in seen)} other variables."
            )
    if sentences:
        return " ".join(sentences)
    if used < MIN_TRIALS:
        return (
            "Too few trials to say which regularizer affects the gap: "
            f"{counted(used, 'search trial')} can be compared, {MIN_TRIALS} are needed."
        )
    return f"No regularizer stands out: none has a statistically significant correlation with the gap in {used} trials."


def metric_name(metric: str | None) -> str:
    """The name of the objective for readers."""
    if metric is not None and is_metric(metric):
        return f"validation {known_metric(metric).label}"
    return metric or "objective"


def capital(text: str) -> str:
    """The text with a capital first letter; the others stay, as in ``AUROC``."""
    return text[:1].upper() + text[1:]


def differences(tables: Tables, first: int, second: int) -> list[tuple[str, str, str]]:
    """Settings in which two trials (by number) differ: path, value in the first, value in the second.

    Regularizers come first, in the study's order.
    """
    trials = tables.trials.set_index("number")
    settings = [c for c in trials.columns if "." in c and not c.startswith(PARAM)]
    if not settings:
        settings = [c for c in trials.columns if c.startswith(PARAM)]
    ordered = [p for p in tables.regularizers if p in settings]
    ordered += [c for c in settings if c not in tables.regularizers and not c.startswith(_NOT_SETTINGS)]
    found = []
    for column in ordered:
        a, b = trials.at[first, column], trials.at[second, column]
        if (pd.isna(a) and pd.isna(b)) or a == b:
            continue
        null, regularizer = tables.regularizers.get(column), column in tables.regularizers
        found.append(
            (column.removeprefix(PARAM), setting(a, null, regularizer=regularizer),
             setting(b, null, regularizer=regularizer))
        )  # fmt: skip
    return found


def markdown(text: str) -> str:
    """User text as plain Markdown: no HTML, no table cells, no links or emphasis of its own."""
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", " ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;")
