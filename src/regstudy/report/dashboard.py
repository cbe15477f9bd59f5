"""Writes the report's figures and findings into the Optuna study, where optuna-dashboard shows them.

Figures appear under "user-defined plots", findings in the study's note. Only changes are written, so pushing again is
cheap. A note that a person has written or edited is left alone: ours ends with a line, invisible once rendered, that
holds the digest of the rest. optuna-dashboard cannot remove a plot, so an obsolete one is replaced by a line of text.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import shlex
from collections.abc import Callable
from threading import Event
from typing import Any

import optuna
import plotly.graph_objects as go
from optuna.trial import TrialState
from optuna_dashboard import get_note, save_note, save_plotly_graph_object

from regstudy.errors import RegstudyError
from regstudy.report import palette
from regstudy.report.figures import Drawing
from regstudy.report.first_screen import answer_to
from regstudy.report.page import find, summary
from regstudy.report.sections import sections
from regstudy.report.watch import FindFresh
from regstudy.study import attributes
from regstudy.study.passwords import masked
from regstudy.study.stored_facts import fact

PUSHED_SECTIONS = ("ablation", "curves", "gap", "importance")  # sections whose figures are pushed
MAX_FIGURE_CHARS = 100_000  # characters of a figure; it is stored in pieces of 2,045
MAX_POINTS_PER_TRACE = 200  # the newest markers are kept
REMOVED_TEXT = "This plot is no longer part of the report."
TOO_LARGE_TEXT = "This plot is too large for the dashboard. See report.html."
NOTE_MARKER = "\n[//]: # (regstudy {})\n"  # a link definition that nothing uses, which Markdown does not show
IMPORTANCE_LINE = "differs from the dashboard's own: pruned trials count, baseline trials do not, chance is marked"
IMPORTANCE_NOTE = (
    "\n“Hyperparameter importance” of the dashboard differs from the importance above, for three reasons. It uses "
    "completed trials only, so a setting that got trials pruned looks unimportant there. It counts baseline trials, in "
    "which all regularizers are off at once. And it always shows a ranking, even if chance explains it. "
    "Use the one above.\n"
)
ENDED_STATES = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def push(
    study: optuna.Study,
    fresh: optuna.Study | None = None,
    where: str | None = None,
    ablated: optuna.Study | None = None,
) -> int:
    """Write figures and note into a study of one objective; returns how many of them had changed.

    ``fresh`` holds the confirmation runs, ``ablated`` those of an ablation; ``where`` names the study in commands, by
    default as its folder.
    Raises StudyError for a study with several objectives.
    """
    found = find(study, fresh=fresh, ablated=ablated)
    parts = sections(found)
    known: dict[str, str] = dict(fact(study, attributes.PUSHED) or {})
    figures = {
        f"regstudy-{section.id}-{i:02d}": _fitting(drawing, IMPORTANCE_LINE if section.id == "importance" else "")
        for section in parts
        if section.id in PUSHED_SECTIONS
        for i, drawing in enumerate(section.figures, start=1)
    }
    gone = known.keys() - figures.keys()
    written = 0
    for name, figure in {**figures, **{name: _empty(REMOVED_TEXT) for name in sorted(gone)}}.items():
        if known.get(name) != (digest := _digest(str(figure.to_json()))):
            save_plotly_graph_object(study, figure, graph_object_id=name)
            known[name] = digest
            written += 1
    told = answer_to(found, where or shlex.quote(f"results/{study.study_name}"))
    text = summary(found, told, parts) + IMPORTANCE_NOTE
    note, present = text + NOTE_MARKER.format(_digest(text)), get_note(study)
    if present != note and (not present or _ours(present)):
        save_note(study, note)
        written += 1
    if written:
        study.set_user_attr(attributes.PUSHED, known)
    return written


def refresher(
    study: optuna.Study,
    say: Callable[[str], None],
    find_fresh: FindFresh = lambda: None,
    where: str | None = None,
    find_ablated: FindFresh = lambda: None,
) -> Callable[[], None]:
    """A function that pushes if a trial has ended since it last did; it never raises.

    A failed push is reported once and retried at the next call: the dashboard keeps running. ``find_fresh`` looks for
    the confirmation runs, ``find_ablated`` for those of an ablation; ``where`` names the study in commands.
    """
    seen, reported = -1, ""

    def update() -> None:
        nonlocal seen, reported
        try:
            fresh, ablated = find_fresh(), find_ablated()
            if (now := sum(ended(one) for one in (study, fresh, ablated) if one is not None)) != seen:
                push(study, fresh, where, ablated)
                seen = now
        except Exception as error:  # whatever it is, it must not end the server
            kind = "" if isinstance(error, RegstudyError) else f"{type(error).__name__}: "
            first = (str(error).splitlines() or [""])[0]
            text = masked(f"The plots could not be updated ({kind}{first}). The dashboard keeps running without them.")
            if text != reported:
                say(text)
            reported = text

    return update


def repeat(update: Callable[[], None], every: float, stop: Event) -> None:
    """Call a function every ``every`` seconds until ``stop`` is set."""
    while not stop.wait(every):
        update()


def ended(study: optuna.Study) -> int:
    """How many trials have ended, failed attempts included."""
    return len(study.get_trials(deepcopy=False, states=ENDED_STATES))


def _fitting(drawing: Drawing, line: str = "") -> go.Figure:
    """A titled figure of at most `MAX_FIGURE_CHARS` characters: hover texts are dropped if need be, then all of it."""
    figure = _titled(drawing, line)
    if len(str(figure.to_json())) > MAX_FIGURE_CHARS:
        figure.update_traces(text=None, hovertemplate=None)
    return figure if len(str(figure.to_json())) <= MAX_FIGURE_CHARS else _empty(TOO_LARGE_TEXT)


def _titled(drawing: Drawing, line: str) -> go.Figure:
    """A figure with heading and line inside, its numbers rounded and only the newest points of each kind."""
    figure = go.Figure(_rounded(json.loads(str(drawing.figure.to_json()))))
    shortened = [_newest(trace) for trace in figure.data]
    note = f" (showing the newest {MAX_POINTS_PER_TRACE} of each kind)" if any(shortened) else ""
    below = f"<br><sup>{line}</sup>" if line else ""
    title = {"text": html.escape(drawing.title) + note + below, "font": {"size": 14}, "x": 0.02}
    figure.update_layout(title=title, margin={"t": 80}, height=min((figure.layout.height or 340) + 60, 450))
    return figure


def _newest(trace: Any) -> bool:
    """Keep the newest `MAX_POINTS_PER_TRACE` markers of a trace; returns whether any were dropped."""
    if trace.type != "scatter" or trace.mode != "markers" or len(trace.x) <= MAX_POINTS_PER_TRACE:
        return False
    trace.update(x=trace.x[-MAX_POINTS_PER_TRACE:], y=trace.y[-MAX_POINTS_PER_TRACE:])
    if trace.text is not None and not isinstance(trace.text, str):
        trace.text = trace.text[-MAX_POINTS_PER_TRACE:]
    if trace.marker.color is not None and not isinstance(trace.marker.color, str):
        trace.marker.color = trace.marker.color[-MAX_POINTS_PER_TRACE:]
    return True


def _rounded(value: Any) -> Any:
    """Nested JSON with five significant digits."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _empty(words: str) -> go.Figure:
    """A figure that shows only a line of text."""
    hidden = {"visible": False}
    return go.Figure(
        layout={
            "template": "none", "height": 60, "margin": {"t": 40, "b": 0}, "xaxis": hidden, "yaxis": hidden,
            "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "font": {"color": palette.TEXT},
            "title": {"text": words, "font": {"size": 14}, "x": 0.02},
        }
    )  # fmt: skip


def _ours(note: str) -> bool:
    """Whether a note is ours and unedited."""
    found = re.search(r"\n\[//\]: # \(regstudy ([0-9a-f]+)\)\n$", note)
    return found is not None and found[1] == _digest(note[: found.start()])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
