"""A limit on the gap (`study.gap_at_most`): which trials may win, and what is said when none may."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import optuna
import pytest
from planted_race import Truth, planted_race
from synthetic import make_study

import regstudy as library
from regstudy.analysis.confirmation import confirmation
from regstudy.analysis.gap import compare, relations
from regstudy.analysis.gap_limit import gap_limit
from regstudy.analysis.other_metrics import other_winners
from regstudy.analysis.winners_curse import winners_curse
from regstudy.errors import ConfigError, StudyError
from regstudy.metrics import METRICS
from regstudy.production.choice import Choice, choose
from regstudy.production.claims import trust_in
from regstudy.report.answer_phrasing import Answer, answer
from regstudy.report.figures import history
from regstudy.report.first_screen import answer_to, first_screen
from regstudy.report.page import find, render
from regstudy.report.sections import sections
from regstudy.report.verdict_phrasing import verdict
from regstudy.search.confirming import why_not_confirmed
from regstudy.search.race_facts import best_baseline
from regstudy.search.sampler import constrain
from regstudy.search.stored_weights import worth_keeping
from regstudy.space.loader import space_from_tree
from regstudy.space.parsing import parse_space
from regstudy.space.plan import Plan
from regstudy.study import attributes
from regstudy.study.load_tables import load_tables
from regstudy.study.ranking import best_value, gap_of_trial, usable_trials
from regstudy.study.tables import best

ACCURACY = METRICS["accuracy"]
TREE: dict[str, Any] = {
    "data": {"name": "digits"},
    "model": {"name": "small_cnn", "dropout": {"low": 0.0, "high": 0.5}},
}


def limited(limit: float | None, **more: Any) -> optuna.Study:
    study = make_study(40, seed=3, **more)
    if limit is not None:
        study.set_user_attr(attributes.GAP_AT_MOST, limit)
    return study


def told(study: optuna.Study, fresh: optuna.Study | None = None) -> Answer:
    tables = load_tables(study)
    found = confirmation(tables, None if fresh is None else load_tables(fresh))
    return answer(found, tables, verdict(tables, compare(tables), relations(tables)), "results/x")


def test_only_trials_within_the_limit_are_called_the_best_anywhere() -> None:
    free, study = load_tables(limited(None)), limited(0.08)
    tables = load_tables(study)
    allowed = set(tables.trials.loc[tables.eligible(), "number"])
    assert allowed < set(free.trials.loc[free.observed(), "number"])
    line = next(trace for trace in history(tables).figure.data if trace.name == "best so far")
    assert set(line.x) == allowed
    found, without = winners_curse(tables), winners_curse(free)
    assert without is not None and (found is None or found.trials == len(allowed))
    assert {winner.number for winner in other_winners(tables)} <= allowed


def test_weights_of_the_best_baseline_are_kept_whatever_its_gap() -> None:
    study = limited(0.0)
    every, within = usable_trials(study, limited=False), usable_trials(study)
    baseline = next(trial.number for trial in every if trial.user_attrs[attributes.ARM] == "baseline")
    assert within == [] and worth_keeping(within, every) == {baseline}


def test_the_gap_of_a_trial_is_that_of_the_tables() -> None:
    study = limited(None, diverged=1, failed=1)
    rows = load_tables(study).trials.set_index("number")
    for trial in usable_trials(study):
        assert gap_of_trial(trial, ACCURACY) == pytest.approx(rows.at[trial.number, "gap_accuracy"])
    assert math.isnan(gap_of_trial(optuna.trial.create_trial(value=1.0), ACCURACY))


@pytest.mark.parametrize("limit", [None, 0.5, 0.1, 0.08, 0.0])
def test_only_trials_within_the_limit_may_win(limit: float | None) -> None:
    study = limited(limit)
    tables = load_tables(study)
    allowed = tables.trials[tables.observed()]
    if limit is not None:
        allowed = allowed[allowed["gap_accuracy"] <= limit]
    assert {trial.number for trial in usable_trials(study)} == set(allowed["number"])
    row = best(tables)
    if allowed.empty:
        assert (row, best_value(study)) == (None, None)
    else:
        assert row is not None
        assert best_value(study) == row["value"] == allowed["value"].max()
    assert best(tables, "baseline") is not None, "the reference may have any gap"
    assert best_baseline(study) is not None


def test_a_gap_that_is_shown_as_the_limit_keeps_it() -> None:
    study = optuna.create_study(direction="maximize")
    study.set_user_attr(attributes.METRIC, "val_accuracy")
    study.set_user_attr(attributes.GAP_AT_MOST, 0.08)
    rows = {"columns": ["epoch", "clean_train_accuracy", "val_accuracy"], "rows": [[1, 0.9, 0.82]]}
    stored = {attributes.EPOCHS: rows, attributes.BEST_EPOCH: 1, attributes.OUTCOME: "finished"}
    study.add_trial(optuna.trial.create_trial(value=0.82, user_attrs=stored))
    assert 0.9 - 0.82 > 0.08
    assert len(usable_trials(study)) == 1 and load_tables(study).eligible().all()


def test_the_best_baseline_does_not_win_with_a_gap_above_the_limit() -> None:
    study = limited(0.1)
    found = compare(load_tables(study))
    assert found.baseline is not None and found.baseline.gap > 0.1
    assert found.best is found.challenger and not found.baseline_wins


def test_the_cost_of_the_limit_is_told() -> None:
    study = limited(0.08, effects={"model.dropout": 0.15}, noise=0.03)
    found = gap_limit(load_tables(study))
    assert found is not None and found.best is not None and found.unlimited is not None
    said = told(study).limit
    assert f"{found.within} of {found.finished} finished search trials keep to it" in said
    free = next(t for t in usable_trials(study, limited=False) if t.user_attrs[attributes.ARM] == "search")
    assert (f"trial {free.number} would lead" in said) == (free.number != found.best.number)
    assert told(limited(None)).limit == ""
    assert "the limit cost nothing" in told(limited(0.9)).limit


def test_without_a_trial_within_the_limit_there_is_no_winner() -> None:
    study = limited(0.0001)
    said = told(study)
    assert said.word == "None within the limit"
    assert "No search trial keeps its gap within 0.01 points" in said.sentence
    assert "The smallest gap is" in said.support and "also the best search trial" in said.support
    assert said.actions == [] or "confirm" not in said.actions[0].command
    found = find(study)
    page = render(found, answer_to(found, "x"), sections(found))
    assert "None within the limit" in page
    with pytest.raises(StudyError, match=r"No search trial keeps its gap within .* choose it with --trial"):
        choose(study, Choice())
    assert first_screen(found, answer_to(found, "x")).answer.tone == "none"


@pytest.mark.parametrize(
    ("limit", "kept", "word", "words"),
    [
        (0.2, "kept", "Confirmed", "within the limit of 20.0 points"),
        (0.066, "undecided", "Confirmed", "too uncertain to say whether the limit"),
        (0.03, "broken", "Confirmed, gap above the limit", "above the limit of 3.0 points: it does not hold"),
    ],
)
def test_the_confirmation_judges_the_limit_on_fresh_runs(limit: float, kept: str, word: str, words: str) -> None:
    search, fresh = planted_race(Truth())
    search.set_user_attr(attributes.GAP_AT_MOST, limit)
    tables = load_tables(search)
    found = confirmation(tables, load_tables(fresh))
    assert found is not None and found.limit_kept == kept, found.gap
    said = told(search, fresh)
    assert said.word == word and words in said.limit
    trust = trust_in(search, search.trials[found.winner.number], found)
    assert (words in trust.claim.replace("\N{NO-BREAK SPACE}", " ")) == (kept == "kept")
    assert any(words in one for one in trust.warnings) == (kept != "kept")


def test_the_confirmation_says_that_none_keeps_the_limit() -> None:
    search, _ = planted_race(Truth())
    search.set_user_attr(attributes.GAP_AT_MOST, 0.0)
    assert why_not_confirmed(search)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (-0.1, "study.gap_at_most"),
        (5, "0.05 stands for a gap of 5 points. Did you mean 0.05?"),
        (100, "must be a share below 1"),
        (1.0, "Did you mean 0.01?"),
        ("5 %", "study.gap_at_most"),
        (True, "study.gap_at_most"),
        (float("nan"), "study.gap_at_most"),
        ([0.05], "study.gap_at_most"),
        ({"low": 0.01, "high": 0.1}, "study.gap_at_most"),
    ],
)
def test_wrong_limits_are_told(value: object, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_space({**TREE, "study": {"gap_at_most": value}}, "s", "s.yaml")
    assert says in str(caught.value)


def test_a_limit_changes_the_fingerprint_and_its_absence_does_not() -> None:
    plain, same, other = (
        parse_space({**TREE, "study": section}, "s", "s.yaml").fingerprint
        for section in ({}, {"gap_at_most": None}, {"gap_at_most": 0.05})
    )
    assert plain == same != other
    assert (
        parse_space({**TREE, "study": {"metric": "val_loss", "gap_at_most": 2}}, "s", "s.yaml").study.gap_at_most == 2
    )


def test_optuna_knows_the_limit() -> None:
    space: Plan = parse_space({**TREE, "study": {"gap_at_most": 0.15}}, "s", "s.yaml")
    study, done = optuna.create_study(direction="maximize"), make_study(8, prune=0.0)
    for old in done.trials:
        trial = study.ask()
        for name, value in old.user_attrs.items():
            trial.set_user_attr(name, value)
        constrain(trial, space)
        study.tell(trial, old.value)
    gaps = [gap_of_trial(old, ACCURACY) for old in done.trials]
    assert [trial.constraints["gap"] for trial in study.trials] == pytest.approx([gap - 0.15 for gap in gaps])
    unmeasured = study.ask()
    constrain(unmeasured, space)
    assert unmeasured.storage.get_trial(unmeasured._trial_id).constraints["gap"] > 1
    unlimited = study.ask()
    constrain(unlimited, parse_space(TREE, "s", "s.yaml"))
    assert unlimited.storage.get_trial(unlimited._trial_id).constraints == {}


def test_a_search_tells_optuna_which_trials_the_limit_allows(tmp_path: Path) -> None:
    tree = {
        "data": {"name": "digits", "train_limit": 60, "validation": 60},
        "model": {"name": "small_cnn", "dropout": {"low": 0.0, "high": 0.5}},
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "training": {"epochs": 1, "batch_size": 32},
        "study": {"gap_at_most": 0.02},
    }
    space = space_from_tree(tree, "s", "s")
    result = library.run_study(
        space, trials=3, confirm=0, doctor=False, results=tmp_path, device="cpu", threads=1, progress=lambda _: None
    )
    for trial in result.study.trials:
        assert trial.constraints["gap"] == pytest.approx(gap_of_trial(trial, ACCURACY) - 0.02, abs=1e-6)
