"""What an answer could tell within its budget, and where its final network is: the words of plan, page and terminal."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace
from pathlib import Path

from regstudy.analysis.told_resolution import ToldResolution, parse_resolution
from regstudy.metrics import Metric
from regstudy.report.ablation_findings import AblationFindings
from regstudy.report.answer_phrasing import Answer
from regstudy.report.metric_phrasing import amount
from regstudy.report.next_actions import MOST_ACTIONS, Action
from regstudy.study.tables import Tables
from regstudy.text import counted, format_duration

MOST_TOLD = 10 * 365 * 24 * 3600.0  # seconds; nobody waits longer


def resolution_words(known: ToldResolution, of: Metric) -> str:
    """What the ablation can tell within the budget, and what more it would take."""
    within = format_duration(known.budget)
    if not known.regularizers:
        return "No regularizer is searched or on, so there is nothing to take apart."
    if not known.runs:
        longer = about(known.for_ablation)
        return f"In {within} there is no time to find out which regularizer did it; that takes {longer}."
    if not math.isfinite(known.half_width):
        return "How small an effect the ablation can tell is known after the pilot."
    words = (
        f"In {within} effects from {amount(known.told, of)} on can be told (with a chance of 80 %; the 95 % intervals"
        f" will reach about ± {amount(known.half_width, of)})."
    )
    if known.half_width <= known.margin or known.margin <= 0:
        return words
    images = (
        f"{_rounded(known.images * (known.half_width / known.margin) ** 2):,} validation images instead of"
        f" {known.images:,}"
    )
    if not known.for_margin <= MOST_TOLD:
        return f"{words} Intervals of ± {amount(known.margin, of)} would take about {images}."
    return f"{words} Intervals of ± {amount(known.margin, of)} would take {about(known.for_margin)}, or about {images}."


def with_resolution(made: Answer, tables: Tables, apart: AblationFindings | None, where: str) -> Answer:
    """The answer of a study that `regstudy answer` made, with its resolution and its network; others as they are."""
    known, stored, told = parse_resolution(tables.resolution), tables.final_model, ""
    if known is not None and made.word != "Nothing learned":
        if apart is not None or (known.regularizers and not known.runs):
            told = resolution_words(known, tables.measured)
        if apart is not None:
            told = f"{told} {observed_words(apart)}".strip()
        told = told if apart is not None else known.why_none or told
    made = replace(made, resolution=told)
    if not stored:
        return made
    place = Path(shlex.split(where)[0])
    folder = (place.parent if place.suffix in (".db", ".sqlite3") else place) / stored["folder"]
    words = f"The network trained on trial {stored['trial']} is in {folder}: {stored['words']}."
    use = Action(
        "Use the final model", "It is trained.", f"regstudy predict {shlex.quote(str(folder))} IMAGES", cost="seconds"
    )
    others = [action for action in made.actions if " && regstudy train " not in action.command]
    first = len(others) < len(made.actions) or not others
    actions = [use, *others] if first else [*others[: MOST_ACTIONS - 1], use]
    return replace(made, model=words, actions=actions[:MOST_ACTIONS])


def observed_words(apart: AblationFindings) -> str:
    """How wide the intervals are that were announced; empty before there are any."""
    widths = [(one.metric.high - one.metric.low) / 2 for one in apart.single]
    known = sorted(width for width in widths if math.isfinite(width))
    if not known:
        return ""
    least, most = amount(known[0], apart.metric), amount(known[-1], apart.metric)
    ends = f"± {least}" if least == most else f"± {least} to ± {most}"
    return f"That was announced after the pilot; the intervals after {counted(apart.spent, 'run')} reach {ends}."


def about(seconds: float) -> str:
    """``about 63 h``."""
    if not math.isfinite(seconds) or seconds > MOST_TOLD:
        return "years"
    return f"about {format_duration(seconds)}"


def _rounded(images: float) -> int:
    """With two digits that count."""
    unit = 10 ** max(math.floor(math.log10(max(images, 1))) - 1, 0)
    return int(-(-images // unit) * unit)
