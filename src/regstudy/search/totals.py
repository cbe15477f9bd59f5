"""Where the trials of a study stand, its confirmation runs included, and how it ended."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import optuna

from regstudy.search.division import Division
from regstudy.search.events import StudyEnded
from regstudy.search.search_options import SearchOptions
from regstudy.study.companion import find_confirmation
from regstudy.study.place import StudyPlace
from regstudy.study.queue_state import queue_state


@dataclass(frozen=True)
class Totals:
    """Where the trials of a study stand, its confirmation runs included."""

    total: int
    finished: int
    left: int
    given_up: int
    repeated: int
    unused: int = 0


def totals(place: StudyPlace, study: optuna.Study, division: Division) -> Totals:
    """Where the trials of a study stand, given how they are divided."""
    found = find_confirmation(place, study) if division.confirm else None
    parts = [(study, division.search), *([(found, division.confirm)] if found is not None else [])]
    states = [(queue_state(one.get_trials(deepcopy=False)), total) for one, total in parts]
    left = sum(state.count_unfinished(total) for state, total in states)
    return Totals(
        division.total,
        finished=sum(sum(slot < total for slot in state.finished) for state, total in states),
        left=left + (division.confirm if found is None else 0),
        given_up=sum(sum(slot < total for slot in state.lost) for state, total in states),
        repeated=sum(
            sum(kinds.total() for slot, kinds in state.faults.items() if slot < total) for state, total in states
        ),
        unused=division.unused,
    )


def how_it_ended(found: Totals, options: SearchOptions, *, interrupted: bool = False) -> StudyEnded:
    """How many trials are left, and why the study stopped."""
    why: Literal["complete", "interrupted", "budget", "others"]
    why = "complete" if not found.left else "budget" if math.isfinite(options.budget) else "others"
    if interrupted and found.left:
        why = "interrupted"
    return StudyEnded(why, found.total, found.finished, found.left, found.given_up, found.repeated, found.unused)
