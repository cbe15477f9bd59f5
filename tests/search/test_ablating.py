"""Ablations with real trainings: how many runs, which, on which images, and what they leave alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from search.ablated import ONE, TWO, ablate, assert_paired, repeats_of, runs_of, searched, space, table
from search.confirmed import load
from search.test_confirming import SOURCES, of, pictures

import regstudy as library
from regstudy import data
from regstudy.analysis.ablation_rates import FACTORS, arm_at, is_try
from regstudy.config.run_config import parse_config
from regstudy.errors import ArgumentError, RegstudyError
from regstudy.search.events import AblationStarted, NothingLeft, Notice, StudyEnded
from regstudy.search.sampler import make_sampler
from regstudy.space.round_plan import ROUND
from regstudy.study import attributes
from regstudy.study.load_tables import load_tables
from regstudy.study.queue_state import count_finished
from regstudy.study.ranking import best_value
from regstudy.study.storage import sqlite_url

pytestmark = pytest.mark.table
ARMS = ["winner", "without dropout", "without label smoothing", "without augmentation", "baseline"]
ONE_BY_ONE = ["without augmentation by shift", "without augmentation by rotate"]


@pytest.fixture(autouse=True)
def learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs on sixty images may well learn nothing; that is a case of its own."""
    monkeypatch.setattr("regstudy.analysis.learned.nothing_learned", lambda _tables: False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of four trials whose winner has three regularizers on, without confirmation."""
    results = tmp_path_factory.mktemp("made")
    searched(results)
    return results


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "results")
    return tmp_path / "results" / "s"


def said(events: list[Any]) -> str:
    return " ".join(map(str, of(Notice, events)))


def test_what_is_left_over_is_said_and_more_go_on(folder: Path) -> None:
    events = ablate(folder, runs=24)
    assert repeats_of(folder) == {arm: [1, 2, 3, 4] for arm in ARMS}
    seeds = assert_paired(folder)
    assert "the best trial of the search, which is not confirmed: 24 runs of 5 arms" in said(events)
    assert "on a fresh split" in said(events) and "Effects from" in said(events)
    assert "4 runs of the 24 are left over: too few for a further repeat, which has 5 runs." in said(events)
    assert str(of(StudyEnded, events)[0]) == "All 20 trials finished."
    assert len(of(AblationStarted, events)) == 1
    before = table(folder)

    (nothing,) = of(NothingLeft, ablate(folder))
    assert "20 ablation runs" in str(nothing) and "4 runs of the 24 are left over" in str(nothing)

    ablate(folder, runs=60)
    after = table(folder)
    assert before.items() <= after.items() and len(before) < len(after) <= 60
    later = assert_paired(folder)
    assert later.items() >= seeds.items()
    assert all(repeats == list(range(1, len(repeats) + 1)) for repeats in repeats_of(folder).values())
    with pytest.raises(RegstudyError, match=r"already has \d+ ablation runs"):
        ablate(folder, runs=24)
    assert table(folder) == after


def test_the_search_does_not_see_the_ablation(folder: Path) -> None:
    """The next suggestions, the best value and the tables are the same to the bit without these runs."""
    without = folder.parent / "without"
    shutil.copytree(folder, without)
    ablate(folder, runs=20)
    both = [load(folder), load(without, "s")]
    assert both[0].best_value == both[1].best_value == best_value(both[0])
    assert len(both[0].trials) == len(both[1].trials) and both[0].user_attrs == both[1].user_attrs
    tables = [load_tables(one) for one in both]
    pd.testing.assert_frame_equal(tables[0].trials, tables[1].trials, check_exact=True)
    pd.testing.assert_frame_equal(tables[0].epochs, tables[1].epochs, check_exact=True)
    names = {one.study_name: one.n_trials for one in optuna.get_all_study_summaries(sqlite_url(folder / "study.db"))}
    assert names == {"s": 4, "s/ablation": 20}
    drawn = []
    for one in both:
        one.sampler = make_sampler(space(), 0, 0, count_finished(one))
        values = []
        for _ in range(10):
            trial = one.ask()
            values.append((trial.suggest_float("model.dropout", 0.1, 0.3), trial.suggest_float("x", 0, 1)))
            one.tell(trial, values[-1][0])
        drawn.append(values)
    assert drawn[0] == drawn[1]


def test_without_enough_runs_nothing_is_written(folder: Path) -> None:
    with pytest.raises(ArgumentError, match=r"must be at least 20 here: 4 repeats of 5 arms .* but it is 19"):
        ablate(folder, runs=19)
    with pytest.raises(ArgumentError, match="must be at least 32 here"):
        ablate(folder, runs=24, add_one_in=True)
    assert optuna.get_all_study_names(sqlite_url(folder / "study.db")) == ["s"]


@pytest.mark.parametrize(
    ("sections", "more", "runs", "arms"),
    [
        (ONE, {}, 8, ["winner", "baseline"]),
        (ONE, {"add_one_in": True, "fine": True}, 8, ["winner", "baseline"]),
        (TWO, {"interactions": True}, 16, ["winner", "without dropout", "without label smoothing", "baseline"]),
        ({}, {"fine": True}, 24, [*ARMS[:3], *ONE_BY_ONE, "baseline"]),
        ({}, {"add_one_in": True}, 32, [*ARMS, "only dropout", "only label smoothing", "only augmentation"]),
        ({}, {"interactions": True}, 32, [*ARMS, "only dropout", "only label smoothing", "only augmentation"]),
    ],
    ids=["one regularizer", "one and all options", "two and interactions", "fine", "add one in", "interactions"],
)  # fmt: skip
def test_each_arm_runs_in_each_repeat(
    sections: dict[str, Any], more: dict[str, Any], runs: int, arms: list[str], folder: Path, tmp_path: Path
) -> None:
    path = searched(tmp_path / "other", space(**sections), trials=3) if sections else folder
    ablate(path, runs=runs, **more)
    assert repeats_of(path) == {arm: [1, 2, 3, 4] for arm in arms}
    assert_paired(path)
    winner = parse_config(runs_of(path)[0].user_attrs[attributes.CONFIG], "")
    for one in runs_of(path):
        config = parse_config(one.user_attrs[attributes.CONFIG], "")
        if one.user_attrs[attributes.ARM] == "baseline":
            assert config == config.without_regularizers()
        if one.user_attrs[attributes.ARM] == "without augmentation by shift":
            assert config.augmentation.ops == ("rotate",) and config.augmentation.strength > 0
        assert config.optimizer == winner.optimizer
    assert of(NothingLeft, ablate(path)), "the options are remembered"


def test_a_winner_without_regularizers_cannot_be_taken_apart(tmp_path: Path) -> None:
    sections = {"model": {"name": "tiny:cnn"}, "optimizer": {"name": "adamw", "lr": {"low": 0.02, "high": 0.1}}}
    path = searched(tmp_path, space(**{**ONE, **sections}), trials=3)
    with pytest.raises(RegstudyError, match="has no regularizer on; there is nothing to leave out"):
        ablate(path)
    assert optuna.get_all_study_names(sqlite_url(path / "study.db")) == ["s"]


def test_a_study_that_has_learned_nothing_is_not_taken_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regstudy.analysis.learned.nothing_learned", lambda _tables: True)
    with pytest.raises(RegstudyError, match="no trial beats always giving the same answer"):
        ablate(folder)


def test_the_winner_of_the_confirmation_is_taken_and_stays(folder: Path) -> None:
    library.confirm(folder, runs=8, threads=1, progress=lambda _: None)
    events = ablate(folder, runs=20)
    assert "not confirmed" not in said(events) and "winner" in said(events)
    assert_paired(folder)
    result = library.load_results(folder)
    taken = {one.params["trial"] for one in runs_of(folder)}
    assert taken == {load(folder, "s/ablation").user_attrs[attributes.ABLATION]["winner"]}
    assert len(result.trials) == 4


def test_each_arm_takes_the_rate_that_its_tries_chose(tmp_path: Path) -> None:
    path = searched(tmp_path, space(**ONE), trials=3)
    with pytest.raises(
        ArgumentError, match=r"at least 20 here: 12 runs that choose learning rates, and 4 repeats of 2"
    ):
        ablate(path, runs=19, retune_lr=True)
    words = said(ablate(path, runs=20, retune_lr=True))
    assert "20 runs of 2 arms" in words and "12 runs of these come first" in words and "the other 8 runs" in words
    assert "Learning rates: 12 runs to choose them." in words and words.count("chosen by runs that enter no") == 1
    assert_paired(path)
    made = repeats_of(path)
    compared = {arm: repeats for arm, repeats in made.items() if not is_try(arm)}
    assert compared == {"winner": [1, 2, 3, 4], "baseline": [1, 2, 3, 4]}
    assert {tuple(made[arm]) for arm in made if is_try(arm)} == {(1, 2)} and len(made) == 8
    values = table(path)
    taken = load(path, "s/ablation").user_attrs[attributes.ABLATION]["factors"]
    for arm in compared:
        means = {factor: sum(values[arm_at(arm, rate), n][0] for n in (1, 2)) for rate, factor in FACTORS.items()}
        assert means[taken[arm]] == max(means.values())
        rates = {one.user_attrs[attributes.CONFIG]["optimizer"]["lr"] for one in runs_of(path)
                 if one.user_attrs[attributes.ARM] == arm}  # fmt: skip
        assert rates == {0.05 * taken[arm]}
    frame = library.load_results(path).ablation
    assert frame is not None and frame["runs"].tolist() == [8]
    assert frame[["lr_factor_with", "lr_factor_without"]].values.tolist() == [[taken["winner"], taken["baseline"]]]
    assert of(NothingLeft, ablate(path)), "the option is remembered"


@pytest.mark.parametrize("kind", ["groups", "folds", "own"])
def test_repeats_get_the_splits_that_belong_to_their_images(kind: str, tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    pictures(root, *(("train", "validation") if kind == "own" else (".",)))
    training = {"batch_size": 12, "epochs": 1, "patience": None}
    path = searched(tmp_path, space(**{**ONE, "data": SOURCES[kind](root), "training": training}), trials=3)
    words = said(ablate(path, runs=8))
    assert repeats_of(path) == {"winner": [1, 2, 3, 4], "baseline": [1, 2, 3, 4]}
    seeds = assert_paired(path)
    expected = {"own": "on the same validation images as", "folds": "on a fresh assignment to 3 folds"}
    assert expected.get(kind, "on a fresh split") in words
    used = {one.user_attrs[attributes.CONFIG]["data"]["split_seed"] for one in load(path).trials}
    splits = {split for _, split in seeds.values()}
    assert splits == used if kind == "own" else len(splits) == 4 and not splits & used
    assert load(path, "s/ablation").user_attrs[attributes.DATA]["own_validation"] is (kind == "own")
    if kind == "folds":
        assert all(len(one.user_attrs[attributes.FOLDS]) == 3 for one in runs_of(path))
    if kind == "groups":
        for one in runs_of(path):
            parts = data.prepare(parse_config(one.user_attrs[attributes.CONFIG], "").data, tmp_path)
            assert not set(parts.train.groups.tolist()) & set(parts.validation.groups.tolist())
    assert {one.params[ROUND] for one in runs_of(path)} == {1, 2, 3, 4}


def test_a_budget_stops_it_and_the_same_command_goes_on(folder: Path) -> None:
    (ended,) = of(StudyEnded, ablate(folder, runs=20, budget=0))
    assert (ended.why, ended.left) == ("budget", 20)
    ablate(folder)
    assert repeats_of(folder) == {arm: [1, 2, 3, 4] for arm in ARMS}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"fine": True}, "other options than --fine. Leave it out"),
        ({"interactions": True, "add_one_in": True}, "other options than --add-one-in and --interactions. Leave them"),
        ({"margin": 1.0}, "other options than --margin"),
        ({"retune_lr": True}, "other options than --retune-lr. Leave it out"),
    ],
)
def test_options_cannot_change_later(more: dict[str, Any], words: str, folder: Path) -> None:
    ablate(folder, runs=20, budget=0)
    with pytest.raises(RegstudyError, match="optuna delete-study --study-name s/ablation") as raised:
        ablate(folder, **more)
    assert words in str(raised.value)
    assert of(StudyEnded, ablate(folder, budget=0, margin=0.3))


def test_an_ablation_that_was_deleted_is_made_anew(folder: Path) -> None:
    ablate(folder, runs=20)
    before = table(folder)
    optuna.delete_study(study_name="s/ablation", storage=sqlite_url(folder / "study.db"))
    ablate(folder, runs=20)
    assert table(folder) == before
