"""What benchmarks/answer.py reads: the plain script's log, and the fresh trainings that a kill left behind."""

from __future__ import annotations

import importlib
import json
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import optuna
import pytest
from planted_race import Truth, planted_race

from regstudy.study import attributes
from regstudy.study.storage import sqlite_url

PARAMS = {"dropout": 0.3, "lr": 1e-3, "use_l2": False, "use_l1": True, "l1": 1e-6, "augmentation": 0.5}
PARAMS |= {"schedule": "cosine", "batch_size": 64}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module


@pytest.fixture
def contestants(load: Any) -> ModuleType:
    module: ModuleType = load("answer_contestants")
    return module


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_the_plain_log_becomes_answers_and_a_claim(contestants: ModuleType, tmp_path: Path) -> None:
    entry = contestants.Entry("plain", 3, contestants.Size(3, 2, 200), tmp_path)
    entry.folder.mkdir(parents=True)
    (entry.folder / "run.json").write_text(json.dumps({"began": 1000.0, "seconds": 60.0, "cpu_seconds": 50.0}))
    (entry.folder / "log.jsonl").write_text(
        lines(
            {"time": 1001, "trial": 0, "params": PARAMS},
            {"time": 1010, "trial": 0, "accuracy": 0.31},
            {"time": 1020, "trial": 0, "accuracy": 0.29},
            {"time": 1020, "trial": 0, "ended": "complete"},
            {"time": 1021, "trial": 1, "params": PARAMS | {"dropout": 0.1}},
            {"time": 1030, "trial": 1, "accuracy": 0.4},
            {"time": 1031, "trial": 1, "ended": "pruned"},
            {"time": 1032, "trial": 2, "params": PARAMS | {"dropout": 0.2}},
            {"time": 1040, "trial": 2, "accuracy": 0.35},
            {"time": 1041, "trial": 2, "ended": "complete"},
        )
    )
    contest, configs = contestants.read(entry)
    assert (contest.seed, contest.seconds, contest.epochs) == (3, 60.0, 4)
    dropouts = [(moment, configs[name].model.dropout) for moment, name in contest.answers]
    assert dropouts == [(10, 0.3), (30, 0.1), (31, 0.3), (40, 0.2)]
    assert [(claim.value, configs[claim.configuration].model.dropout) for claim in contest.claims] == [(0.35, 0.2)]
    config = configs[contest.final]
    assert (config.data.train_limit, config.training.epochs, config.training.batch_size) == (200, 2, 64)
    assert (config.schedule.name, config.regularization.l1, config.regularization.l2) == ("cosine", 1e-6, 0.0)


def stored(study: optuna.Study, file: Path, began: datetime, race: dict[str, Any] | None = None) -> None:
    """A planted study in a file, its trials one after the other, ten seconds each."""
    copy = optuna.create_study(study_name=study.study_name, storage=sqlite_url(file), direction="maximize")
    for name, value in {**study.user_attrs, **(race or {})}.items():
        copy.set_user_attr(name, value)
    for number, trial in enumerate(study.get_trials()):
        trial.datetime_start = began + timedelta(seconds=10 * number)
        trial.datetime_complete = trial.datetime_start + timedelta(seconds=10)
        copy.add_trial(trial)


def test_a_stored_study_becomes_answers_and_claims(contestants: ModuleType, tmp_path: Path) -> None:
    entry, began = contestants.Entry("regstudy", 0, contestants.Size(36, 30, 200), tmp_path), datetime(2026, 1, 1)
    file = entry.folder / "results" / "study" / "study.db"
    file.parent.mkdir(parents=True)
    facts = {"began": began.timestamp(), "seconds": 600.0, "cpu_seconds": 500.0}
    (entry.folder / "run.json").write_text(json.dumps(facts))
    search, fresh = planted_race(Truth(), name="study")
    race = {**fresh.user_attrs[attributes.RACE], "since": str(began)}
    stored(search, file, began)
    stored(fresh, file, began + timedelta(seconds=400), {attributes.RACE: race})
    contest, configs = contestants.read(entry)
    in_search = [moment for moment, _ in contest.answers if moment <= 10 * len(search.trials)]
    in_race = [moment for moment, _ in contest.answers if moment > 10 * len(search.trials)]
    ends = {}  # of each round
    for number, trial in enumerate(fresh.get_trials()):
        ends[trial.params["round"]] = 400 + 10 * (number + 1)
    assert in_search and in_race == [*ends.values(), max(ends.values())]
    best = max(search.get_trials(), key=lambda trial: trial.value if trial.state.name == "COMPLETE" else 0.0)
    assert contest.answers[len(in_search) - 1][1] == contest.claims[0].configuration
    assert [claim.name for claim in contest.claims] == ["best value of the search", "confirmed"]
    assert contest.claims[0].value == best.value
    assert configs[contest.claims[0].configuration].optimizer.lr == best.params["optimizer.lr"]
    assert contest.claims[1].value == pytest.approx(Truth().winner, abs=0.02)
    assert contest.final == contest.claims[1].configuration


def test_equal_configurations_share_their_trainings(contestants: ModuleType) -> None:
    config = contestants.Size(3, 2, 200).config()
    seeds = {"training.seed": 7, "data.split_seed": 9, "training.precision": "fp32"}
    assert contestants.identity(config) == contestants.identity(config.replaced(seeds))
    assert contestants.identity(config) != contestants.identity(config.replaced({"model.dropout": 0.1}))


def test_a_line_that_a_kill_left_incomplete_does_not_count(load: Any, tmp_path: Path) -> None:
    file, truth = tmp_path / "truth.jsonl", load("answer_truth")
    assert truth.accuracies(file, 1) == {}
    whole = [{"configuration": "a", "repeat": r, "test_accuracy": 0.3 + r / 10} for r in range(2)]
    whole.append({"configuration": "b", "repeat": 0, "test_accuracy": 0.5})
    file.write_text(lines(*whole) + '{"configuration": "b", "repeat": 1, "test_acc')
    assert truth.accuracies(file, 2) == {"a": [0.3, 0.4]}  # b lacks a repeat
    assert truth.accuracies(file, 1) == {"a": [0.3], "b": [0.5]}
