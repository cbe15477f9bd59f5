from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from threading import Event, Thread
from typing import Any

import optuna
import pytest
from optuna_dashboard import get_note, save_note
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects
from synthetic import make_study
from test_browser import browse

from regstudy import attributes
from regstudy.analysis import importance
from regstudy.report.dashboard import keep_pushing, push
from regstudy.search.storage import sqlite_url

EVIL = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def few_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    original = importance.importances
    monkeypatch.setattr(
        "regstudy.report.page.importances", lambda study, tables: original(study, tables, permutations=20)
    )
    monkeypatch.setattr(importance, "above_forest", lambda _tables, _badness, groups, *_: [None] * len(groups))


def plots(study: optuna.Study) -> dict[str, Any]:
    attrs = study._storage.get_study_system_attrs(study._study_id)
    return {name: json.loads(text) for name, text in get_plotly_graph_objects(attrs).items()}


def test_curves_gaps_importances_and_the_findings_are_put_into_the_study() -> None:
    study = make_study(50)
    assert push(study) > 10
    seen = plots(study)
    assert {name.rsplit("-", 1)[0] for name in seen} == {
        "regstudy-curves", "regstudy-gap", "regstudy-importance",
    }  # fmt: skip
    titles = " ".join(figure["layout"]["title"]["text"] for figure in seen.values())
    assert "model.dropout" in titles and "gap" in titles
    assert "Use the settings of trial" in get_note(study)


def test_what_has_not_changed_is_not_written_again() -> None:
    study = make_study(30)
    push(study)
    assert push(study) == 0
    study.add_trial(make_study(31, seed=5).trials[-1])
    assert push(study) > 0


def test_a_note_of_the_users_own_stays() -> None:
    study = make_study(20)
    push(study)
    save_note(study, "mine")
    push(study)
    assert get_note(study) == "mine"


@pytest.mark.parametrize(
    "study",
    [
        pytest.param(lambda: make_study(0), id="empty"),
        pytest.param(lambda: make_study(1, baseline=1), id="single"),
        pytest.param(lambda: make_study(12, baseline=0, prune=1.0), id="all pruned"),
        pytest.param(lambda: make_study(4, baseline=0, failed=4), id="all failed"),
        pytest.param(lambda: make_study(12, name=EVIL), id="script"),
        pytest.param(lambda: plain(), id="plain"),
    ],
)
def test_any_study_gets_a_note_without_markup(study: Any) -> None:
    made = study()
    push(made)
    assert get_note(made)
    prose = [line for line in get_note(made).splitlines() if not line.startswith("    ")]  # indented lines are code
    assert "<script" not in "\n".join(prose) + json.dumps(plots(made))


def plain() -> optuna.Study:
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=12)
    return study


def test_a_trial_that_ends_refreshes_and_a_failure_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    study, stop, said = make_study(12), Event(), []
    pushed: list[int] = []

    def failing(study: optuna.Study) -> int:
        pushed.append(len(study.trials))
        if len(pushed) < 3:
            raise OSError("disk full")
        return 1

    monkeypatch.setattr("regstudy.report.dashboard.push", failing)
    thread = Thread(target=keep_pushing, args=(study, 0.02, stop, said.append))
    thread.start()
    time.sleep(0.1)
    assert pushed == []  # nothing has ended since
    study.add_trial(make_study(13, seed=5).trials[-1])
    for _ in range(200):
        time.sleep(0.02)
        if len(pushed) == 3:
            break
    stop.set()
    thread.join()
    assert pushed == [13, 13, 13]
    assert len(said) == 1 and "disk full" in said[0]


@pytest.mark.browser
def test_the_dashboard_shows_note_and_plots(tmp_path: Path) -> None:
    folder = tmp_path / "shown"
    folder.mkdir()
    original = make_study(40, name="shown")
    storage = sqlite_url(folder / "study.db")
    study = optuna.create_study(study_name="shown", storage=storage, direction="maximize")
    for key, value in original.user_attrs.items():
        study.set_user_attr(key, value)
    study.add_trials(original.trials)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "regstudy", "dashboard", str(folder), "--port", str(port)]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(address)
        done = browse(f"{address}/dashboard/studies/1/note", tmp_path / "note", "--dump-dom")
        assert "Use the settings of trial" in done.stdout
        done = browse(f"{address}/dashboard/studies/1", tmp_path / "study", "--dump-dom", "--window-size=1400,9000")
        assert "regstudy-gap-01" in done.stdout or "model.dropout: the gap" in done.stdout
        assert "CONSOLE" not in done.stderr or "Uncaught" not in done.stderr
    finally:
        server.terminate()
        said, _ = server.communicate(timeout=30)
    assert "no login" in said
    assert attributes.PUSHED in optuna.load_study(study_name="shown", storage=storage).user_attrs


def wait_for(address: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"nothing answers at {address}")
