"""What comes after the search, decided without trainings: who gets the time, what is skipped, what is done already."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from regstudy.analysis.answer_plan import AnswerPlan
from regstudy.answering.answer_clock import AnswerClock
from regstudy.answering.late_phases import LatePhases
from regstudy.errors import StudyError
from regstudy.search.answer_progress import DONE, AnswerProgress
from regstudy.search.pilot import find_pilot
from regstudy.search.search_options import SearchOptions
from regstudy.study import attributes
from regstudy.study.place import study_place
from regstudy.study.storage import open_storage

LATE = "regstudy.answering.late_phases."
PACE = 10.0  # seconds of a training


def late(tmp_path: Path, budget: float, called: list[str]) -> LatePhases:
    """The phases of a study that has been searched, with a plan that has time for an ablation."""
    clock = AnswerClock(budget, time.time(), lambda _: None)
    clock.start(AnswerProgress("ablate", budget))
    runs: dict[Any, int] = {"pilot": 0, "search": 10, "confirm": 8, "ablate": 40, "train": 1}
    plan = AnswerPlan(runs, dict.fromkeys(runs, 100.0))
    return LatePhases(
        study_place(tmp_path, "s", None), optuna.create_study(), plan, PACE, SearchOptions(1, "cpu", 1), tmp_path, None,
        "", clock, lambda _: called.append("skipped"),
    )  # fmt: skip


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the phases' functions in the order of their calls; the winner has three regularizers."""
    names: list[str] = []
    made = {
        "ablate_study": lambda *_: names.append("ablate"),
        "confirm_study": lambda *_: names.append("confirm"),
        "train": lambda *_, **__: names.append("train"),
        "export": lambda *_, **__: SimpleNamespace(trial=1, why=""),
        "winner_of": lambda *_: (1, None),
        "winner_config": lambda *_: None,
        "active_regularizers": lambda _: [SimpleNamespace(name=name) for name in ("dropout", "l1", "mixup")],
        "find_ablation": lambda *_: None,
        "find_confirmation": lambda *_: None,
        "seconds_per_run": lambda _: PACE,
        "seconds_at_most": lambda *_: PACE,
    }
    for name, function in made.items():
        monkeypatch.setattr(LATE + name, function)
    return names


@pytest.mark.parametrize(
    ("status", "budget", "expected"),
    [
        ("confirmed", 3600.0, ["ablate"]),
        ("undecided", 3600.0, ["ablate"]),
        ("no better", 3600.0, []),  # there is nothing to take apart
        ("nothing learned", 3600.0, []),
        ("confirmed", 120.0, ["skipped"]),  # five arms need 20 runs
        ("undecided", 120.0, ["skipped", "confirm"]),  # the time is better spent on the open question
        ("too few rounds", 120.0, ["skipped", "confirm"]),
    ],
)
def test_who_gets_the_time_after_the_confirmation(
    status: str, budget: float, expected: list[str], called: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LATE + "confirmation_of", lambda *_: SimpleNamespace(status=status))
    late(tmp_path, budget, called).ablate()
    assert called == expected


@pytest.mark.parametrize(
    ("budget", "pace", "expected"),
    [
        (3600.0, PACE, 22),
        (900.0, 3 * PACE, 22),  # the ablation gives its time
        (400.0, 3 * PACE, 11),  # what was planned by the pilot no longer fits
        (100.0, 40 * PACE, 8),  # the fewest, some of which may be made
    ],
)
def test_a_race_is_as_large_as_fits_at_the_pace_of_the_search(
    budget: float, pace: float, expected: int, called: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("seconds_per_run", "seconds_at_most"):
        monkeypatch.setattr(LATE + name, lambda *_: pace)
    monkeypatch.setattr(LATE + "why_not_confirmed", lambda _: "")
    phases = late(tmp_path, budget, called)
    phases = replace(phases, plan=replace(phases.plan, runs={**phases.plan.runs, "confirm": 22}))
    phases.confirm()
    assert called == ["confirm"] and phases.clock.progress.runs["confirm"] == expected


@pytest.mark.parametrize("trained", [False, True])
def test_a_network_is_trained_once(
    trained: bool, called: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LATE + "_is_trained", lambda *_: trained)
    monkeypatch.setattr(LatePhases, "_note", lambda *_: None)
    late(tmp_path, 3600.0, called).train()
    assert called == ([] if trained else ["train"])


@pytest.mark.parametrize(
    ("known", "phase", "runs"),
    [
        (None, "pilot", {}),
        (AnswerProgress("ablate", 100.0, 50.0, 5.0, {"confirm": 8}), "ablate", {"confirm": 8}),
        (AnswerProgress("ablate", 90.0, 50.0, 5.0, {"confirm": 8}), "search", {}),  # another budget, another plan
        (AnswerProgress("pilot", 90.0, 50.0), "pilot", {}),
        (AnswerProgress(DONE, 90.0, 50.0, 5.0, {"ablate": 20}), "search", {}),
    ],
)
def test_where_an_answer_continues(known: AnswerProgress | None, phase: str, runs: dict[str, int]) -> None:
    clock = AnswerClock(100.0, time.time(), lambda _: None)
    clock.start(known)
    assert (clock.progress.phase, clock.progress.runs, clock.progress.budget) == (phase, runs, 100.0)
    assert clock.spent >= (50.0 if known else 0.0)


@pytest.mark.parametrize("same", [True, False])
def test_a_pilot_belongs_to_one_space(same: bool, tmp_path: Path) -> None:
    place = study_place(tmp_path, "s", None)
    place.folder.mkdir(parents=True)
    search, pilot = (optuna.create_study(study_name=name, storage=open_storage(place.url)) for name in ("s", "s/pilot"))
    search.set_user_attr(attributes.FINGERPRINT, "one")
    pilot.set_user_attr(attributes.PILOT, {"fingerprint": "one" if same else "another", "runs": 2})
    if same:
        found = find_pilot(place, search)
        assert found is not None and found.study_name == "s/pilot"
        return
    with pytest.raises(StudyError, match=r"still holds the pilot of another study.*Delete it"):
        find_pilot(place, search)
