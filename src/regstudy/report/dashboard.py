"""The report's figures and findings inside the Optuna study, where optuna-dashboard shows them.

Figures go under "user-defined plots", findings into the study's note. Only what has changed is written, so that pushing
again costs little. A note that a person has written or edited is left alone.
"""

from __future__ import annotations

import copy
import hashlib
import html
from collections.abc import Callable
from threading import Event
from typing import Any

import optuna
from optuna.trial import TrialState
from optuna_dashboard import save_note, save_plotly_graph_object
from optuna_dashboard._note import get_note

from regstudy import attributes
from regstudy.report.figures import Drawing
from regstudy.report.page import find, summary
from regstudy.report.sections import sections
from regstudy.report.words import verdict

SHOWN = ("curves", "gap", "importance")  # sections whose figures are pushed
LARGEST = 100_000  # characters of a figure; it is stored in pieces of 2,045
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def push(study: optuna.Study) -> int:
    """Write figures and note into a study of one objective; returns how many of them had changed.

    Raises StudyError for a study with several objectives.
    """
    found = find(study)
    parts = sections(found)
    known: dict[str, str] = dict(study.user_attrs.get(attributes.PUSHED) or {})
    written = 0
    for section in parts:
        for i, drawing in enumerate(section.figures if section.id in SHOWN else [], start=1):
            name, figure = f"regstudy-{section.id}-{i:02d}", _titled(drawing)
            text = str(figure.to_json())
            if len(text) <= LARGEST and known.get(name) != _digest(text):
                save_plotly_graph_object(study, figure, graph_object_id=name)
                known[name] = _digest(text)
                written += 1
    note = summary(found, verdict(found.tables, found.comparison, found.relations), parts)
    present = get_note(study)
    if (not present or _digest(present) == known.get("note")) and present != note:
        save_note(study, note)
        known["note"] = _digest(note)
        written += 1
    if written:
        study.set_user_attr(attributes.PUSHED, known)
    return written


def keep_pushing(study: optuna.Study, every: float, stop: Event, say: Callable[[str], None]) -> None:
    """Push whenever a trial has ended, looking every so many seconds until ``stop`` is set.

    A push that fails is told once and tried again at the next look: the dashboard goes on.
    """
    seen, told = ended(study), ""
    while not stop.wait(every):
        try:
            if (now := ended(study)) != seen:
                push(study)
                seen = now
        except Exception as error:  # whatever it is, it must not end the server
            text = f"The plots could not be refreshed ({type(error).__name__}: {error}); trying again."
            if text != told:
                say(text)
            told = text


def ended(study: optuna.Study) -> int:
    """How many attempts at trials are over."""
    return len(study.get_trials(deepcopy=False, states=ENDED))


def _titled(drawing: Drawing) -> Any:
    """A figure with its heading inside, in colours that a light and a dark page can bear."""
    figure = copy.deepcopy(drawing.figure)
    title = {"text": html.escape(drawing.title), "font": {"size": 14}, "x": 0.02}
    figure.update_layout(title=title, margin={"t": 80}, height=(figure.layout.height or 340) + 60)
    return figure


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
