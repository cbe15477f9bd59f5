from __future__ import annotations

import json
import re
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
from conftest import require
from optuna.storages import RDBStorage
from optuna_dashboard import get_note, save_note
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects
from postgres import PASSWORD, Server, binaries
from synthetic import make_study
from test_browser import browse, console_errors

from regstudy.analysis import importance
from regstudy.report import dashboard
from regstudy.report.dashboard import MAX_FIGURE_CHARS, MAX_POINTS_PER_TRACE, REMOVED_TEXT, push, refresher, repeat
from regstudy.study import attributes
from regstudy.study.storage import open_storage, sqlite_url

pytestmark = pytest.mark.table

EVIL = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def few_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    original = importance.importances
    monkeypatch.setattr(
        "regstudy.report.page.importances", lambda study, tables: original(study, tables, permutations=20)
    )


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
    assert "“Hyperparameter importance” of the dashboard differs from the importance above" in get_note(study)
    own = [figure["layout"]["title"]["text"] for name, figure in seen.items() if "importance" in name]
    assert len(own) == 2 and all("differs from the dashboard's own: pruned trials count" in text for text in own)


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


def test_a_word_changed_in_our_note_makes_it_the_users() -> None:
    study = make_study(20)
    push(study)
    edited = get_note(study).replace("validation", "my words", 1)
    save_note(study, edited)
    push(study)
    assert get_note(study) == edited


def test_our_note_is_known_again_even_if_the_push_was_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(20)

    def cut(*_: object) -> None:
        raise OSError("server closed the connection")

    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(study, "set_user_attr", cut)
        push(study)
    first = get_note(study)
    study.add_trials(make_study(40, seed=5).trials[20:])
    push(study)
    assert "40 trials" in get_note(study) and get_note(study) != first


def test_a_plot_that_is_no_longer_drawn_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(30)
    push(study)
    before = set(plots(study))
    monkeypatch.setattr(dashboard, "PUSHED_SECTIONS", ("gap", "importance"))
    push(study)
    after = plots(study)
    assert set(after) == before
    for name, figure in after.items():
        assert (figure["layout"]["title"]["text"] == REMOVED_TEXT) == name.startswith("regstudy-curves")
    assert push(study) == 0


def test_figures_stay_small_and_say_what_is_not_drawn() -> None:
    study = make_study(700)
    push(study)
    sizes = {name: len(json.dumps(figure)) for name, figure in plots(study).items()}
    assert max(sizes.values()) <= MAX_FIGURE_CHARS and sum(sizes.values()) < 500_000
    seen = plots(study)["regstudy-gap-01"]
    assert max(len(trace["x"]) for trace in seen["data"]) == MAX_POINTS_PER_TRACE
    assert f"newest {MAX_POINTS_PER_TRACE}" in seen["layout"]["title"]["text"]
    numbers = [value for trace in seen["data"] for value in trace["y"]]
    assert all(len(repr(value).replace(".", "").lstrip("-0")) <= 5 for value in numbers)
    assert not any(
        "trials, by epoch" in f["layout"]["title"]["text"] and "700" not in f["layout"]["title"]["text"]
        for f in plots(study).values()
    )


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
    study, said = make_study(12), []
    pushed: list[int] = []

    def failing(study: optuna.Study, *_: object) -> int:
        pushed.append(len(study.trials))
        if len(pushed) < 3:
            raise OSError("disk full\npostgresql://me:secret@host/x")
        return 1

    monkeypatch.setattr(dashboard, "push", failing)
    look = refresher(study, said.append)
    for _ in range(5):
        look()
    assert pushed == [12] * 3  # two failures, one success, and nothing has ended since
    assert len(said) == 1 and "disk full" in said[0] and "\n" not in said[0] and "secret" not in said[0]
    study.add_trial(make_study(13, seed=5).trials[-1])
    look()
    assert pushed[3:] == [13]


def test_a_study_of_several_objectives_is_told_and_does_not_end_the_dashboard() -> None:
    said: list[str] = []
    refresher(optuna.create_study(directions=["minimize", "maximize"]), said.append)()
    assert len(said) == 1 and "2 objectives" in said[0]


def test_it_is_repeated_until_it_is_stopped() -> None:
    stop, calls = Event(), []

    def look() -> None:
        calls.append(1)
        if len(calls) == 3:
            stop.set()

    thread = Thread(target=repeat, args=(look, 0.01, stop))
    thread.start()
    thread.join(10)
    assert len(calls) == 3 and not thread.is_alive()


def copy_into(storage: RDBStorage, name: str, original: optuna.Study) -> optuna.Study:
    """A study in memory, copied into a database."""
    study = optuna.create_study(study_name=name, storage=storage, direction="maximize")
    for key, value in original.user_attrs.items():
        study.set_user_attr(key, value)
    study.add_trials(original.trials)
    return study


@pytest.mark.postgres
@pytest.mark.slow
def test_on_a_server_too_while_others_write(tmp_path: Path) -> None:
    programs = binaries()
    require(programs is not None, "no PostgreSQL server is installed (Debian: apt install postgresql)")
    assert programs is not None
    server = Server(programs)
    url = server.create(tmp_path.name)
    storage, elsewhere = open_storage(url), open_storage(url)
    try:
        study = copy_into(storage, EVIL, make_study(30, name=EVIL))
        more, errors = make_study(45, seed=5).trials[30:], []

        def write() -> None:
            try:
                optuna.load_study(study_name=EVIL, storage=elsewhere).add_trials(more)
            except Exception as error:
                errors.append(error)
            elsewhere.remove_session()

        thread = Thread(target=write)
        thread.start()
        for _ in range(3):
            push(study)
        thread.join(60)
        assert errors == []
        push(study)
        assert push(study) == 0
        assert "45 trials" in get_note(study) and len(plots(study)) > 10
        assert PASSWORD not in get_note(study) + json.dumps(study.user_attrs)
    finally:
        for opened in (storage, elsewhere):
            opened.remove_session()
            opened.engine.dispose()
        server.remove()


@pytest.mark.browser
def test_the_dashboard_shows_note_and_plots(tmp_path: Path) -> None:
    folder = tmp_path / "shown"
    folder.mkdir()
    url = sqlite_url(folder / "study.db")
    opened = open_storage(url)
    study = copy_into(opened, "shown", make_study(40, name="shown"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "regstudy", "dashboard", str(folder), "--port", str(port)]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(address)
        done = browse(f"{address}/dashboard/studies/1/note", tmp_path / "note", "--dump-dom")
        assert "Use the settings of trial" in done.stdout and "[//]" not in done.stdout
        assert console_errors(done.stderr) == []
        done = browse(f"{address}/dashboard/studies/1", tmp_path / "study", "--dump-dom", "--window-size=1400,9000")
        drawn = re.findall(
            r'<div[^>]*id="user-defined-plot:(regstudy-[a-z0-9-]+)"[^>]*class="[^"]*js-plotly', done.stdout
        )
        drawn += re.findall(
            r'<div[^>]*class="[^"]*js-plotly[^>]*id="user-defined-plot:(regstudy-[a-z0-9-]+)"', done.stdout
        )
        assert len(drawn) > 10 and "regstudy-gap-01" in drawn
        assert "model.dropout: the gap" in done.stdout
        assert console_errors(done.stderr) == []
    finally:
        server.terminate()
        said, _ = server.communicate(timeout=30)
    assert "no login" in said
    assert attributes.PUSHED in study.user_attrs
    opened.remove_session()
    opened.engine.dispose()


def wait_for(address: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"nothing answers at {address}")
