"""Failed attempts: counted by kind, told in words, and what they cost."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from regstudy.analysis.attempts import Attempts, attempts
from regstudy.report.finding_phrasing import attempts_sentence
from regstudy.search import queue
from regstudy.study import attributes
from regstudy.study.load_tables import load_tables

Row = tuple[int, TrialState, dict[str, Any]]
OK, BAD = TrialState.COMPLETE, TrialState.FAIL


def judged(*rows: Row) -> Attempts:
    study = optuna.create_study()
    for slot, state, attrs in rows:
        trial = create_trial(
            state=state,
            value=0.5 if state == OK else None,
            user_attrs={attributes.SLOT: slot} | attrs,
        )
        trial.datetime_start = datetime(2026, 1, 1)
        study.add_trial(trial)
    return attempts(load_tables(study))


KILLED = {attributes.FAULT: "killed", attributes.REASON: "its process ended"}
ERROR = {attributes.FAULT: "error", attributes.REASON: "ValueError: no"}


@pytest.mark.parametrize(
    ("rows", "kinds", "given_up", "words"),
    [
        ([(0, OK, {})], {}, {}, ""),
        ([(0, BAD, KILLED), (0, OK, {attributes.RESUMED: 4})], {"lost the process": 1}, {}, "4 epochs restored"),
        (
            [(0, BAD, KILLED), (0, OK, {attributes.RESUMED: 1})],
            {"lost the process": 1},
            {},
            "It was retried (1 epoch restored",
        ),
        ([(0, BAD, ERROR)], {"raised an error": 1}, {0: "ValueError: no"}, "1 trial could not be finished"),
        ([(0, BAD, {}), (0, OK, {})], {"interrupted": 1}, {}, "no trial was lost"),
        ([(0, BAD, ERROR)] * 3, {"raised an error": 3}, {0: "ValueError: no"}, "trial 1: ValueError: no"),
        ([(2, BAD, {})], {"interrupted": 1}, {}, "no trial was lost"),
    ],
)
def test_attempts(rows: list[Row], kinds: dict[str, int], given_up: dict[int, str], words: str) -> None:
    found = judged(*rows)
    assert (found.kinds, found.given_up) == (kinds, given_up)
    assert words in attempts_sentence(found)


def test_a_trial_withdrawn_before_it_began_is_no_attempt() -> None:
    study = optuna.create_study()
    study.enqueue_trial({}, user_attrs={attributes.SLOT: 5})
    study._storage.set_trial_state_values(0, BAD)
    taken = study.ask()
    taken.set_user_attr(attributes.SLOT, 6)
    taken.set_user_attr(attributes.REASON, queue.TWICE)  # Optuna calls a trial started that was only asked for
    study.tell(taken, state=BAD)
    assert attempts(load_tables(study)).kinds == {}
