"""What to do next: commands that the command line understands, ranked, with gain and cost."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from planted_race import PLANTED, planted_race
from synthetic import make_study

from regstudy.analysis.confirmation import Confirmation, confirmation
from regstudy.analysis.next_trials import NextTrials
from regstudy.report.next_actions import arguments_of, more_trials, next_actions
from regstudy.study.load_tables import load_tables
from regstudy.study.place import StudyPlace
from regstudy.study.tables import Tables

WHERE = "'results/my study'"


def planted(kind: str) -> tuple[Confirmation, Tables]:
    search, fresh = planted_race(PLANTED[kind])
    found = confirmation(load_tables(search), load_tables(fresh))
    assert found is not None
    return found, load_tables(search)


@pytest.mark.parametrize(
    ("kind", "first", "command"),
    [
        ("confirmed", "Train the final model", f"regstudy export {WHERE} -o best.yaml && regstudy train best.yaml"),
        ("no better", "Train the baseline", f"regstudy export {WHERE} --trial 4 -o best.yaml && regstudy train"),
        ("worse", "Train the baseline", f"regstudy export {WHERE} --trial 4 -o best.yaml && regstudy train"),
        ("undecided", "Keep the baseline", f"regstudy export {WHERE} --trial 4 -o best.yaml"),
        ("too few rounds", "Go on with the confirmation runs", f"regstudy confirm {WHERE}"),
    ],
)
def test_the_first_thing_to_do(kind: str, first: str, command: str) -> None:
    found, tables = planted(kind)
    actions = next_actions(found, tables, WHERE, unlearned=False)
    assert 1 <= len(actions) <= 3
    assert actions[0].title == first and actions[0].command.startswith(command)
    assert actions[0].cost and actions[0].runs


def test_more_runs_are_a_total_and_cost_minutes() -> None:
    found, tables = planted("undecided")
    more = replace(found, more_rounds=6.0, run_seconds=125.0)
    (action, *_) = next_actions(more, tables, WHERE, unlearned=False)
    assert action.command == f"regstudy confirm {WHERE} --runs {found.runs + 12}"
    assert (action.cost, action.runs) == ("25 min", "12 runs")
    few = replace(found, status="too few rounds", rounds=1, more_rounds=math.nan)
    (action, *_) = next_actions(few, tables, WHERE, unlearned=False)
    assert action.command.endswith(f"--runs {found.runs + 6}")  # three more rounds of two


def test_what_earned_it_is_found_out_by_an_ablation() -> None:
    found, tables = planted("confirmed")
    action = next_actions(replace(found, run_seconds=60.0), tables, WHERE, unlearned=False)[2]
    assert action.title == "Find out what earned it" and action.command == f"regstudy ablate {WHERE}"
    assert (action.runs, action.cost) == ("70 runs", "1 h 10 min")
    bare = replace(found, winner=replace(found.winner, active={}))
    assert not any("ablate" in one.command for one in next_actions(bare, tables, WHERE, unlearned=False))


def test_the_simpler_equal_is_offered() -> None:
    found, tables = planted("confirmed")
    action = next_actions(found, tables, WHERE, unlearned=False)[1]
    assert action.title == f"Or take the simpler trial {found.simplest.number}" and action.gain == "1 fewer to set"
    assert f"--trial {found.simplest.number} " in action.command


@pytest.mark.parametrize(
    ("ahead", "title", "assumed"),
    [
        (NextTrials(40, 0.0123, 0.02, 0.015, measured=True, worth=True), "10 more trials of this search", False),
        (NextTrials(40, 0.0123, 0.02, 0.015, measured=False, worth=False), "Not worth it: 10 more trials of", True),
    ],
)
def test_more_of_the_same_is_told_with_what_it_would_gain(ahead: NextTrials, title: str, assumed: bool) -> None:
    tables = load_tables(make_study(12, baseline=2, prune=0))
    found = more_trials(ahead, tables)
    assert found is not None and found.title.startswith(title)
    assert found.gain == "+1.2 ± 2.0 points" and "noise of 1.5 points" in found.why
    assert ("assumed" in found.why) is assumed
    assert more_trials(None, tables) is None


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (StudyPlace(Path("results/x")), "results/x"),
        (StudyPlace(Path("my results/x")), "'my results/x'"),
        (StudyPlace(Path(), None, "mine", Path("all.db")), "all.db --study mine"),
        (StudyPlace(Path("results/x"), "postgresql://me:secret@host/db"), "results/x --storage 'postgresql://me"),
    ],
)
def test_a_command_finds_the_study_and_holds_no_password(place: StudyPlace, words: str) -> None:
    assert arguments_of(place).startswith(words) and "secret" not in arguments_of(place)
