"""Studies whose winner is confirmed with fresh seeds: how many runs, which, and what they leave alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from faults.checks import assert_curves_repeat
from PIL import Image
from search.confirmed import assert_paired, confirm, finished, load, runs_of, space, study, table

import regstudy as library
from regstudy import data
from regstudy.config.run_config import parse_config
from regstudy.errors import StudyError
from regstudy.search.events import (
    ConfirmationStarted,
    Event,
    NothingLeft,
    Notice,
    StudyEnded,
    StudyStarted,
    TrialEnded,
)
from regstudy.search.sampler import make_sampler
from regstudy.space.round_plan import ROUND
from regstudy.study import attributes
from regstudy.study.companion import find_confirmation
from regstudy.study.glance import glance_at
from regstudy.study.load_tables import load_tables
from regstudy.study.place import StudyPlace
from regstudy.study.queue_state import count_finished
from regstudy.study.ranking import best_value
from regstudy.study.storage import sqlite_url

pytestmark = pytest.mark.table
OLD = Path(__file__).parents[1] / "fixtures" / "studies"


def of(kind: type[Event], events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of 14 trials, of which 8 confirm, and one that was only searched."""
    results = tmp_path_factory.mktemp("made")
    study(results, 14, confirm=0.6)
    study(results, 8, confirm=0.0, name="searched")
    return results


@pytest.fixture
def results(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "results")
    return tmp_path / "results"


def test_as_many_as_asked_for_are_finished_and_more_go_on(tmp_path: Path) -> None:
    events = study(tmp_path, 30)
    folder = tmp_path / "s"
    assert finished(folder) == (21, 9)
    assert_paired(folder)
    (search, confirmation) = of(StudyStarted, events)
    assert isinstance(confirmation, ConfirmationStarted)
    assert (search.total, confirmation.total) == (21, 9)
    assert [ended.confirms for ended in of(TrialEnded, events)] == [False] * 21 + [True] * 9
    assert [ended.finished for ended in of(TrialEnded, events)] == [*range(1, 22), *range(1, 10)]
    assert str(of(StudyEnded, events)[0]) == "All 30 trials finished."
    before = table(folder)

    again = study(tmp_path, 30)
    assert "already has 30 finished trials (9 confirmation runs among them)" in str(of(NothingLeft, again)[0])
    assert finished(folder) == (21, 9)

    study(tmp_path, 60)
    assert finished(folder) == (42, 18)
    assert_paired(folder)
    assert before.items() <= table(folder).items(), "what was confirmed is left alone"
    study(tmp_path, 40)  # fewer than there are
    assert finished(folder) == (42, 18)


def test_confirm_0_searches_only_and_stays_so(results: Path) -> None:
    folder = results / "searched"
    assert finished(folder) == (8, 0)
    study(results, 10, name="searched")  # the share is remembered
    assert finished(folder) == (10, 0)
    events = confirm(folder, runs=9)
    assert finished(folder) == (10, 9)
    assert_paired(folder)
    assert "fresh seeds, on a fresh split" in " ".join(map(str, of(Notice, events)))
    assert str(of(StudyEnded, events)[0]) == "All 9 trials finished."
    assert of(NothingLeft, confirm(folder)) and of(NothingLeft, confirm(folder, runs=9))
    confirm(folder, runs=12)
    assert finished(folder) == (10, 12)
    assert_paired(folder)
    study(results, 30, name="searched")
    assert sum(finished(folder)) == 30


def test_the_share_can_be_changed_later(results: Path) -> None:
    study(results, 30, name="searched", confirm=0.3)
    assert finished(results / "searched") == (21, 9)


def test_a_confirmation_that_was_deleted_is_made_anew(results: Path) -> None:
    before = table(results / "s")
    optuna.delete_study(study_name="s/confirmation", storage=sqlite_url(results / "s" / "study.db"))
    study(results, 14)
    assert finished(results / "s") == (6, 8) and table(results / "s") == before


@pytest.mark.parametrize("name", ["search", "half_finished"])
def test_a_study_of_an_earlier_version_stays_unconfirmed_until_asked(name: str, tmp_path: Path) -> None:
    shutil.copytree(OLD / name, tmp_path / name)
    database, trials = tmp_path / name, len(load(tmp_path / name).trials)
    before = [trial.user_attrs for trial in load(database).trials if trial.state.is_finished()]
    total = 27  # enough for a new study to confirm its winner
    study(tmp_path, total, name=name, space=library.load_space(OLD / "digits.yaml"))
    assert finished(database) == (total, 0)
    confirm(database, runs=8)
    assert finished(database) == (total, 8)
    assert_paired(database)
    assert trials < total
    for one in before:
        assert one in [trial.user_attrs for trial in load(database).trials]


def test_a_budget_keeps_a_share_of_the_time(tmp_path: Path) -> None:
    events = study(tmp_path, 100_000, budget=12, space=space(training={"epochs": 1}))
    searched, confirmed = finished(tmp_path / "s")
    assert searched > 0 and confirmed >= 1
    (ended,) = of(StudyEnded, events)
    assert ended.why == "budget" and ended.left == 100_000 - searched - confirmed
    seconds = {
        kind: sum(one.seconds for one in of(TrialEnded, events) if one.confirms is kind) for kind in (False, True)
    }
    assert seconds[True] < seconds[False]


def test_a_budget_that_is_over_before_the_confirmation_is_no_error(results: Path) -> None:
    optuna.delete_study(study_name="s/confirmation", storage=sqlite_url(results / "s" / "study.db"))
    (ended,) = of(StudyEnded, study(results, 14, budget=0))
    assert (ended.why, ended.left) == ("budget", 8) and finished(results / "s") == (6, 0)
    (ended,) = of(StudyEnded, confirm(results / "s", budget=0))
    assert (ended.why, ended.left) == ("budget", 8)
    study(results, 14)
    assert finished(results / "s") == (6, 8)


def pictures(folder: Path, *parts: str) -> None:
    """Dark and bright pictures, three of each patient."""
    for part in parts:
        for number in range(36):
            name = "ab"[number % 2]
            (folder / part / name).mkdir(parents=True, exist_ok=True)
            shade = number + 120 * (number % 2)
            Image.new("L", (8, 8), shade).save(folder / part / name / f"p{number // 6}{name}_{number}.png")


SOURCES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "split off": lambda root: {"name": "image_folder", "root": str(root), "size": 8, "validation": 0.4},
    "groups": lambda root: {
        "name": "image_folder", "root": str(root), "size": 8, "validation": 0.4, "group": r"(p\d+[ab])_",
    },
    "folds": lambda root: {
        "name": "image_folder", "root": str(root), "size": 8, "resampling": {"kfold": 3}, "group": r"(p\d+[ab])_",
    },
    "own": lambda root: {"name": "image_folder", "root": str(root), "size": 8},
}  # fmt: skip


@pytest.mark.parametrize("kind", SOURCES)
def test_rounds_get_the_splits_that_belong_to_their_images(kind: str, tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    pictures(root, *(("train", "validation") if kind == "own" else (".",)))
    tree = {
        **space().plain(),
        "data": SOURCES[kind](root),
        "training": {"batch_size": 12, "epochs": 1, "patience": None},
    }
    asked = library.load_space({**tree, "model": {"name": "tiny:cnn", "dropout": {"low": 0.0, "high": 0.5}},
                                "optimizer": {"name": "adamw", "lr": {"low": 0.02, "high": 0.1, "log": True}},
                                "study": {"nuisance": ["optimizer.lr"]}}, name="s")  # fmt: skip
    events = study(tmp_path, 14, confirm=0.6, space=asked)
    folder = tmp_path / "s"
    assert finished(folder) == (6, 8), [str(event) for event in of(Notice, events)]
    assert_paired(folder)
    words = " ".join(map(str, of(Notice, events)))
    assert ("on the same validation images as the search" in words) is (kind == "own")
    splits = {
        one.params[ROUND]: data.prepare(parse_config(one.user_attrs[attributes.CONFIG], "").data, tmp_path)
        for one in runs_of(folder)
    }
    seeds = {each.split_seed for each in splits.values()}
    searched = {one.user_attrs[attributes.CONFIG]["data"]["split_seed"] for one in load(folder).trials}
    assert len(splits) == 4 and (seeds == searched if kind == "own" else len(seeds) == 4 and not seeds & searched)
    assert load(folder, "s/confirmation").user_attrs[attributes.DATA]["own_validation"] is (kind == "own")
    for each in splits.values():
        if kind == "groups":
            mine, others = (set(part.groups.tolist()) for part in (each.train, each.validation))
            assert not mine & others
        if kind == "folds":
            assert each.folds == 3
    if kind == "folds":
        assert all(len(one.user_attrs[attributes.FOLDS]) == 3 for one in runs_of(folder))


def test_runs_repeat_to_the_bit(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(results)
    assert_curves_repeat(results / "s", runs_of(results / "s"), through_cli=0)


def test_two_workers_give_the_same_table_as_one(results: Path) -> None:
    shutil.copytree(results / "searched", results / "two")
    confirm(results / "searched", runs=12)
    confirm(results / "two", runs=12, workers=2, threads=2)
    assert table(results / "searched") == table(results / "two", "searched")


@pytest.mark.parametrize("why", ["no configuration differs", "nothing is learned"])
def test_without_a_winner_the_search_gets_the_trials(why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if why == "nothing is learned":
        monkeypatch.setattr("regstudy.analysis.learned.nothing_learned", lambda _tables: True)
        share, given, words = 0.6, 8, "no trial beats always giving the same answer"
    else:  # the only search trial is the baseline
        share, given, words = 0.9, 9, "no search trial with another configuration than the baseline's"
    trials = 14 if given == 8 else 10
    events = study(tmp_path, trials, confirm=share)
    said = " ".join(map(str, of(Notice, events)))
    assert words in said and f"The search gets the {given} trials left for it" in said
    assert finished(tmp_path / "s") == (trials, 0)
    assert str(of(StudyEnded, events)[0]) == f"All {trials} trials finished."
    assert of(NothingLeft, study(tmp_path, trials))


def test_the_search_does_not_see_the_confirmation(results: Path) -> None:
    """The next twenty suggestions, the best value and the tables are the same to the bit without these runs."""
    shutil.copytree(results / "s", results / "without")
    optuna.delete_study(study_name="s/confirmation", storage=sqlite_url(results / "without" / "study.db"))
    both = [load(results / "s"), load(results / "without", "s")]
    assert len(runs_of(results / "s")) == 8 and not runs_of(results / "without", "s")
    assert both[0].best_value == both[1].best_value == best_value(both[0]) and len(both[0].trials) == 6
    tables = [load_tables(one) for one in both]
    pd.testing.assert_frame_equal(tables[0].trials, tables[1].trials, check_exact=True)
    pd.testing.assert_frame_equal(tables[0].epochs, tables[1].epochs, check_exact=True)
    pd.testing.assert_frame_equal(library.load_results(results / "s").trials, tables[1].trials, check_exact=True)
    drawn = []
    for one in both:
        one.sampler = make_sampler(space(), 0, 0, count_finished(one))
        values = []
        for _ in range(20):
            trial = one.ask()
            lr, dropout = trial.suggest_float("optimizer.lr", 0.02, 0.1, log=True), trial.suggest_float("d", 0, 0.5)
            values.append((lr, dropout))
            one.tell(trial, lr)
        drawn.append(values)
    assert drawn[0] == drawn[1]


def test_resumed_studies_draw_the_same_trials_with_and_without_the_confirmation(results: Path) -> None:
    shutil.copytree(results / "s", results / "without")
    optuna.delete_study(study_name="s/confirmation", storage=sqlite_url(results / "without" / "study.db"))
    study(results, 34, confirm=0.0)
    study(results, 26, confirm=0.0, name="without")
    mine, others = load(results / "s").trials, load(results / "without", "s").trials
    assert len(mine) == len(others) == 26
    assert [one.params for one in mine] == [one.params for one in others]
    assert [one.values for one in mine] == [one.values for one in others]


def test_runs_of_a_study_are_never_taken_for_the_study(results: Path) -> None:
    (results / "s").rename(results / "moved")  # then its name is no longer that of the folder
    assert library.load_results(results / "moved").name == "s"
    assert glance_at(results / "moved" / "study.db").name == "s"
    with pytest.raises(StudyError, match=r"Allowed: s\.") as error:
        library.load_results(results / "moved", study="s/confirmation")
    assert "s/confirmation, " not in str(error.value)


def test_optuna_shows_both_studies(results: Path) -> None:
    found = optuna.get_all_study_summaries(sqlite_url(results / "s" / "study.db"))
    assert {one.study_name: one.n_trials for one in found} == {"s": 6, "s/confirmation": 8}
    (mine,) = (one for one in found if one.study_name == "s/confirmation")
    assert mine.direction == load(results / "s").direction
    place = StudyPlace(results / "s")
    assert find_confirmation(place, load(results / "s")) is not None
    arms = {one.user_attrs[attributes.ARM] for one in runs_of(results / "s")}
    assert "baseline" in arms and all(arm.startswith("trial ") for arm in arms - {"baseline"})
