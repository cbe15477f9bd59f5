"""One command to the answer, with real trainings: every phase, interrupted in each of them, and what it refuses."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Command
from search.ablated import THREE, TWO, space
from search.confirmed import TREE

import regstudy as library
from regstudy.analysis.answer_plan import AnswerPlan
from regstudy.errors import ArgumentError, StudyError
from regstudy.search.answer_progress import AnswerProgress, stored_progress
from regstudy.search.events import (
    AblationStarted,
    AnswerReady,
    ConfirmationStarted,
    Event,
    NothingLeft,
    Notice,
    PilotStarted,
    StudyEnded,
    StudyStarted,
    TrialEnded,
)
from regstudy.study import attributes
from regstudy.study.storage import sqlite_url

pytestmark = pytest.mark.table

RUNS: dict[Any, int] = {"pilot": 2, "search": 4, "confirm": 8, "ablate": 16, "train": 1}
NAMES = ["s", "s/ablation", "s/confirmation", "s/pilot"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A plan of few trainings, whatever they take here, and a search that counts as one that has learned."""
    plan = AnswerPlan(RUNS, dict.fromkeys(RUNS, 600.0), 0.02, 0.04, 1e5, 0.0, ("dropout", "label smoothing"))
    monkeypatch.setattr("regstudy.answering.answer_phases.plan_answer", lambda *_: plan)
    monkeypatch.setattr("regstudy.answering.answer_phases.pilot_runs", lambda *_: RUNS["pilot"])
    monkeypatch.setattr("regstudy.answering.late_phases.MOST_CONFIRMED", RUNS["confirm"])
    monkeypatch.setattr("regstudy.answering.late_phases.MOST_ABLATED", RUNS["ablate"])
    monkeypatch.setattr("regstudy.analysis.learned.nothing_learned", lambda _tables: False)
    monkeypatch.setattr("regstudy.training.cost.MEASURE_SECONDS", 0.02)
    monkeypatch.chdir(tmp_path)


def answer(budget: str | float = "1h", progress: Callable[[Event], None] | None = None, **more: Any) -> list[Event]:
    """Answer the tiny space with two regularizers; returns all events."""
    heard: list[Event] = []

    def listen(event: Event) -> None:
        heard.append(event)
        if progress is not None:
            progress(event)

    given = {"doctor": False, "threads": 1, "data_dir": "data", **more}
    library.answer(space(**TWO), budget=budget, progress=listen, **given)
    return heard


def studies(folder: Path) -> dict[str, int]:
    """The Optuna studies in a folder with their finished trials."""
    url = sqlite_url(folder / "study.db")
    names = optuna.get_all_study_names(url)
    finished = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    return {
        name: len(optuna.load_study(study_name=name, storage=url).get_trials(states=finished)) for name in sorted(names)
    }


def progress_in(folder: Path) -> AnswerProgress:
    found = stored_progress(optuna.load_study(study_name="s", storage=sqlite_url(folder / "study.db")))
    assert found is not None
    return found


class Interrupting:
    """Raises KeyboardInterrupt once, when a run of a phase has ended, or when the final training begins."""

    def __init__(self, phase: type | str) -> None:
        self.phase, self.current, self.raised = phase, StudyStarted, False

    def __call__(self, event: Event) -> None:
        if isinstance(event, StudyStarted):
            self.current = type(event)
        trial = isinstance(event, TrialEnded) and self.current is self.phase
        training = self.phase == "train" and isinstance(event, Notice) and str(event).startswith("Final training")
        if (trial or training) and not self.raised:
            self.raised = True
            raise KeyboardInterrupt


def test_an_answer_interrupted_in_every_phase_goes_on_and_makes_every_run_once(tmp_path: Path) -> None:
    folder, spent = tmp_path / "results" / "s", 0.0
    phases = {
        PilotStarted: "pilot",
        StudyStarted: "search",
        ConfirmationStarted: "confirm",
        AblationStarted: "ablate",
        "train": "train",
    }
    for kind, phase in phases.items():
        interrupting = Interrupting(kind)
        said: list[str] = []

        def listen(event: Event, heard: Interrupting = interrupting, said: list[str] = said) -> None:
            said.append(str(event))
            heard(event)

        with pytest.raises(KeyboardInterrupt):
            answer(progress=listen)
        now = progress_in(folder)
        assert interrupting.raised and now.phase == phase and now.spent > spent, phase
        assert said[-1].startswith("Interrupted in the phase") and "goes on from here" in said[-1]
        assert not (folder / "model" / "metrics.json").exists()
        spent = now.spent
    heard = answer()
    made = studies(folder)
    assert list(made) == NAMES
    assert (made["s/pilot"], made["s"], made["s/confirmation"]) == (2, 4, 8) and 8 <= made["s/ablation"] <= 16
    done = progress_in(folder)
    assert done.phase == "done" and done.spent > spent
    assert (folder / "model" / "metrics.json").exists() and (folder / "best.yaml").exists()
    assert not [event for event in heard if "Run the same command again" in str(event)]
    assert [str(event)[:12] for event in heard if str(event).startswith("epoch ")] == ["epoch   1/2 ", "epoch   2/2 "]
    stored = optuna.load_study(study_name="s", storage=sqlite_url(folder / "study.db")).user_attrs
    assert stored[attributes.RESOLUTION]["told"] == 0.04 and stored[attributes.FINAL_MODEL]["folder"] == "model"
    told = library.load_results(folder).answer
    assert f"is in {folder / 'model'}: " in told.model and told.model in told.lines
    again = answer()
    assert [type(event) for event in again if isinstance(event, NothingLeft | StudyEnded)] == [NothingLeft]
    assert studies(folder) == made


def test_nothing_is_written_before_the_plan_is_heard(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(event: Event) -> None:
        if isinstance(event, AnswerReady):
            assert "regstudy confirm results/s --runs 8" in event.sheet and "search" in event.sheet
            raise Stop

    with pytest.raises(Stop):
        answer(progress=stop)
    assert not (tmp_path / "results").exists()


def test_the_commands_that_a_dry_run_prints_make_the_same_by_hand(tmp_path: Path, regstudy: Command) -> None:
    (tmp_path / "s.yaml").write_text(json.dumps({**TREE, **THREE, **TWO}), encoding="utf-8")
    dry = regstudy("answer", "s.yaml", "--budget", "1h", "--no-doctor", "--threads", "1", "--dry-run")
    assert dry.returncode == 0 and sorted(path.name for path in tmp_path.iterdir()) == ["s.yaml"], dry.stderr
    by_hand = [shlex.split(line)[1:] for line in dry.stdout.splitlines() if line.startswith("regstudy ")]
    assert [words[0] for words in by_hand] == ["study", "confirm", "ablate", "export", "train"]
    for words in by_hand:
        done = regstudy(*words)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
    folder = tmp_path / "results" / "s"
    assert studies(folder)["s"] == 4 and studies(folder)["s/confirmation"] == 8
    assert (folder / "model" / "metrics.json").exists()


def test_a_budget_that_is_too_small_is_refused_by_the_pilot_and_a_larger_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from regstudy.answering import answer_phases

    fixed = answer_phases.plan_answer

    def plan(of: Any, *rest: Any) -> AnswerPlan | None:
        return fixed(of, *rest) if of.pilot or of.budget > 5000 else None  # the estimate is hopeful

    monkeypatch.setattr("regstudy.answering.answer_phases.plan_answer", plan)
    with pytest.raises(ArgumentError, match="is too little for an answer: a training takes"):
        answer("1h")
    assert studies(tmp_path / "results" / "s") == {"s": 0, "s/pilot": 2}
    with pytest.raises(KeyboardInterrupt):
        answer("2h", progress=Interrupting(StudyStarted))
    assert studies(tmp_path / "results" / "s") == {"s": 1, "s/pilot": 2}


def test_a_pilot_without_time_ends_and_the_estimate_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regstudy.answering.answer_phases.pilot_end", lambda *_: 0.0)
    with pytest.raises(KeyboardInterrupt):
        answer(progress=Interrupting(StudyStarted))
    assert studies(tmp_path / "results" / "s") == {"s": 1, "s/pilot": 0}
    assert progress_in(tmp_path / "results" / "s").phase == "search"


def test_a_hopeless_budget_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regstudy.answering.answer_phases.plan_answer", lambda *_: None)
    with pytest.raises(ArgumentError, match="is too little for an answer: a training may take"):
        answer()
    assert not (tmp_path / "results").exists()


def test_a_comparison_of_this_name_is_refused(tmp_path: Path) -> None:
    config = space(**TWO).defaults()
    library.compare({"a": config, "b": config}, repeats=1, name="s", threads=1, progress=lambda _: None)
    before = studies(tmp_path / "results" / "s")
    with pytest.raises(StudyError, match="holds a comparison, not a search"):
        answer()
    assert studies(tmp_path / "results" / "s") == before


def test_a_file_in_the_way_of_the_last_phase_is_found_out_first(tmp_path: Path) -> None:
    (tmp_path / "results" / "s").mkdir(parents=True)
    (tmp_path / "results" / "s" / "best.yaml").write_text("mine: 1\n", encoding="utf-8")
    with pytest.raises(library.RegstudyError, match=r"best\.yaml exists already"):
        answer()
    assert sorted(path.name for path in (tmp_path / "results" / "s").iterdir()) == ["best.yaml"]
