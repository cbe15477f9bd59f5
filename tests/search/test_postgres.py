"""A study on a real PostgreSQL server: restarts, lost connections, helpers elsewhere, and a password kept secret."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import optuna
import psycopg
import pytest
from faults.checks import assert_curves_repeat, assert_sound
from faults.commands import Command, Start, prepare_folder, until
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from optuna_dashboard import get_note
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects
from postgres import PASSWORD, Server
from sqlalchemy import NullPool
from sqlalchemy.exc import DBAPIError
from synthetic import make_study

from regstudy.report.dashboard import push
from regstudy.search import queue
from regstudy.search.heartbeat import beating
from regstudy.space.parsing import parse_space
from regstudy.study import attributes, storage
from regstudy.study.storage import OpenStudy, exclusive, open_named, open_storage

pytest_plugins = ["faults.fixtures", "postgres_fixture"]
pytestmark = [pytest.mark.postgres, pytest.mark.slow]
STUDY = ("study", "--space", "faulty.yaml", "--no-doctor", "--device", "cpu", "--data-dir", ".")
SPACE = parse_space({"data": {"name": "digits"}, "model": {"name": "x"}, "optimizer": {"name": "sgd"}}, "x", "")


@pytest.fixture
def url(server: Server, tmp_path: Path) -> str:
    """The URL of an empty database of the test's own."""
    return server.create(tmp_path.name)


@pytest.fixture
def opened(url: str) -> Iterator[RDBStorage]:
    """Our storage on that database, in this process."""
    storage_here = open_storage(url)
    yield storage_here
    storage_here.engine.dispose()


def query(url: str, sql: str) -> int:
    """One number from the database, 0 while it has no such table."""
    with psycopg.connect(url) as connection:
        try:
            row = connection.execute(sql.encode()).fetchone()
        except psycopg.errors.UndefinedTable:
            return 0
    return int(row[0]) if row else 0


def running(url: str) -> int:
    return query(url, "SELECT count(*) FROM trials WHERE state = 'RUNNING'")


def finished(url: str) -> int:
    return query(url, "SELECT count(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED')")


def load(url: str) -> optuna.Study:
    """The study as plain Optuna sees it; no connection stays open."""
    url = url.replace("postgresql://", "postgresql+psycopg://")
    return optuna.load_study(study_name="faulty", storage=RDBStorage(url, engine_kwargs={"poolclass": NullPool}))


def assert_secret(folder: Path, url: str, commands: list[Command]) -> None:
    """The password, as typed and as meant, is in no output, no file and no attribute."""
    secrets = [PASSWORD.encode(), quote(PASSWORD, safe="").encode()]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path for command in commands for path in command.files} <= set(files)
    told = {str(path) for path in files for secret in secrets if secret in path.read_bytes()}
    assert told == set()
    kept = load(url)
    attrs = repr(kept.user_attrs) + repr([(t.user_attrs, t.system_attrs, t.params) for t in kept.trials])
    assert not any(secret.decode() in attrs for secret in secrets)
    assert "***" in kept.user_attrs[attributes.COMMAND]


def test_a_study_survives_restarts_and_lost_connections_and_tells_nobody_the_password(
    server: Server, url: str, folder: Path, start: Start
) -> None:
    command = start(*STUDY, "--trials", "14", "--workers", "2", "--threads", "2", "--storage", url, step=0.06)
    until(lambda: finished(url) >= 2 and running(url) > 0, "trials are under way")
    titles = [title for child in command.children() for title in child.cmdline()]
    assert len(command.workers()) == 2
    assert not any(secret in title for title in titles for secret in (PASSWORD, quote(PASSWORD, safe="")))
    server.restart(away=3)
    before = finished(url)
    assert before < 12
    until(lambda: finished(url) > before, "the study goes on after the restart")
    assert server.drop_connections(url.rpartition("/")[2]) > 0
    until(lambda: finished(url) >= 9, "the search is about to end")
    for _ in range(6):  # between the stages, too
        server.drop_connections(url.rpartition("/")[2])
        time.sleep(0.5)
    assert command.wait(240) == 0, command.said
    assert "Traceback" not in command.said
    trials = assert_sound(folder / "results" / "faulty", 14, study=load(url))
    failed = [t.user_attrs for t in load(url).trials if t.state == TrialState.FAIL]
    withdrawn = [facts for facts in failed if facts.get(attributes.REASON) == queue.TWICE]  # of a claim cut short
    assert failed == withdrawn, "no attempt was lost"
    assert not any(attributes.CONFIG in facts for facts in withdrawn)
    assert_curves_repeat(folder, trials, through_cli=0)
    assert_secret(folder, url, [command])


def test_a_worker_elsewhere_helps_and_is_replaced_when_it_dies(url: str, tmp_path: Path, start: Start) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    prepare_folder(here)
    prepare_folder(there)
    first = start(*STUDY, "--trials", "12", "--threads", "1", "--storage", url, step=0.1, at=here)
    until(lambda: running(url) > 0, "the study runs")
    helping = ("worker", "--study", "faulty", "--device", "cpu", "--data-dir", ".", "--storage", url)
    helper = start(*helping, "--workers", "2", "--threads", "2", step=0.1, at=there)
    until(lambda: running(url) == 3, "both machines work")
    titles = [title for child in helper.children() for title in child.cmdline()]
    assert not any(secret in title for title in titles for secret in (PASSWORD, quote(PASSWORD, safe="")))
    helper.workers()[0].kill()
    assert [first.wait(), helper.wait()] == [0, 0], first.said + helper.said
    if finished(url) < 12:  # the last slot may have come back when nobody was looking any more
        assert start(*STUDY, "--trials", "12", "--threads", "1", "--storage", url, at=here).wait() == 0
    trials = assert_sound(here / "results" / "faulty", 12, study=load(url))
    assert len({t.user_attrs[attributes.OWNER]["pid"] for t in trials}) >= 3
    failed = [t.user_attrs[attributes.FAULT] for t in load(url).trials if t.state == TrialState.FAIL]
    assert failed == ["killed"]
    assert_secret(tmp_path, url, [first, helper])


def test_kill_of_everything_on_a_server_and_again(url: str, folder: Path, start: Start) -> None:
    arguments = (*STUDY, "--trials", "6", "--workers", "2", "--threads", "2", "--storage", url)
    first = start(*arguments, step=0.1)
    until(lambda: finished(url) > 0 and running(url) == 2, "two trials are under way")
    first.kill_everything()
    assert running(url) > 0
    assert start(*arguments).wait() == 0
    assert_sound(folder / "results" / "faulty", 6, study=load(url))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("port", "refused"),
        ("password", "password authentication failed"),
        ("database", "does not exist"),
        ("silent", "timeout"),
    ],
)
def test_a_server_that_cannot_be_used_is_told_at_once(
    server: Server, folder: Path, start: Start, wrong: str, words: str
) -> None:
    with socket.socket() as listener:  # it never answers
        listener.bind(("127.0.0.1", 0))
        silent = listener.getsockname()[1]
        if wrong == "silent":
            listener.listen()
        where = {
            "port": server.url("postgres").replace(f":{server.port}/", f":{silent}/"),
            "silent": server.url("postgres").replace(f":{server.port}/", f":{silent}/"),
            "password": server.url("postgres", "not the " + PASSWORD),
            "database": server.url("nowhere"),
        }[wrong]
        command = start(*STUDY, "--trials", "2", "--storage", where)
        began = time.monotonic()
        assert command.wait(60) == 2, command.said
    assert time.monotonic() - began < 30, "five minutes of patience are for studies under way"
    assert command.stderr.startswith("error: The study's database postgresql://study:***@127.0.0.1:")
    assert words in command.stderr
    assert "Traceback" not in command.said
    for secret in (PASSWORD, quote(PASSWORD, safe="")):
        assert secret not in command.said
    assert not (folder / "results").exists()


def new_study(url: str, total: int) -> OpenStudy:
    """A study of so many trials on the server, none of which has begun."""
    storage = open_storage(url)
    optuna.create_study(study_name="s", storage=storage).set_user_attr(attributes.TRIALS, total)
    storage.remove_session()
    storage.engine.dispose()
    return open_named(url, "s")


def on_another_machine(url: str, slot: int, silent_for: int) -> int:
    """Let a process elsewhere take a slot and give a last sign of life; returns the trial's number."""
    storage = open_storage(url)
    study = optuna.load_study(study_name="faulty", storage=storage)
    study.enqueue_trial({}, user_attrs={attributes.SLOT: slot, attributes.ARM: "search"})
    trial = study.ask()
    trial.set_user_attr(attributes.OWNER, {"host": "another-machine", "pid": 1, "started": 0.0})
    trial.set_user_attr(attributes.ALIVE, time.time() - silent_for)
    storage.remove_session()
    storage.engine.dispose()
    return trial.number


@pytest.mark.parametrize(("silent_for", "comes_back"), [(0, False), (queue.GRACE + 60, True)])
def test_a_slot_of_a_machine_gone_silent_comes_back_even_if_it_is_the_last(
    url: str, folder: Path, start: Start, silent_for: int, comes_back: bool
) -> None:
    arguments = (*STUDY, "--threads", "1", "--storage", url)
    assert start(*arguments, "--trials", "2", step=0).wait() == 0
    number = on_another_machine(url, 2, silent_for)
    command = start(*arguments, "--trials", "3", step=0)
    assert command.wait() == 0, command.said
    assert load(url).trials[number].state == (TrialState.FAIL if comes_back else TrialState.RUNNING)
    if comes_back:
        assert_sound(folder / "results" / "faulty", 3, study=load(url))
    else:
        assert "1 of 3 trials are left" in command.stdout


def test_a_trial_on_a_server_says_that_it_lives(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regstudy.search.heartbeat.INTERVAL", 0.05)
    with closing(new_study(url, 1)) as opened:
        trial = queue.claim(opened, SPACE)
        assert trial is not None
        with beating(opened, trial):
            time.sleep(0.3)
            first = opened.study.trials[0].user_attrs[attributes.ALIVE]
            time.sleep(0.3)
            assert time.time() - 1 < first < opened.study.trials[0].user_attrs[attributes.ALIVE]


def test_a_claim_whose_answer_was_lost_is_still_ours(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server commits the claim and goes away before saying so; asking again must not orphan the slot."""
    monkeypatch.setattr(storage, "PATIENCE", (0.1,) * 5)
    real, asked = optuna.Study.ask, []

    def lose_the_answer(study: optuna.Study) -> optuna.Trial:
        asked.append(real(study))
        if len(asked) == 1:
            raise DBAPIError("COMMIT", None, psycopg.OperationalError("server closed the connection unexpectedly"))
        return asked[-1]

    monkeypatch.setattr(optuna.Study, "ask", lose_the_answer)
    with closing(new_study(url, 2)) as opened:
        taken = queue.claim(opened, SPACE)
        assert taken is not None and taken.number == asked[0].number and len(asked) == 1
        assert taken.user_attrs[attributes.SLOT] == 0
        taken.set_user_attr("note", 1)
        assert [t.state for t in opened.study.trials] == [TrialState.RUNNING]
        second = queue.claim(opened, SPACE)
        assert second is not None and second.user_attrs[attributes.SLOT] == 1


def test_only_one_at_a_time_has_a_server_to_itself_and_the_lock_ends_with_its_holder(url: str) -> None:
    with exclusive(url), psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_try_advisory_xact_lock(hashtext('regstudy'))").fetchone()
        assert row == (False,)
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_try_advisory_xact_lock(hashtext('regstudy'))").fetchone()
        assert row == (True,)


def test_plots_and_findings_are_pushed_into_a_study_on_the_server(opened: RDBStorage) -> None:
    original = make_study(12, baseline=3)
    study = optuna.create_study(study_name="pushed", storage=opened, direction="maximize")
    for key, value in original.user_attrs.items():
        study.set_user_attr(key, value)
    study.add_trials(original.trials)
    assert push(study) > 5
    assert push(study) == 0
    assert "validation accuracy" in get_note(study)
    attrs = opened.get_study_system_attrs(study._study_id)
    assert all(json.loads(text)["data"] for text in get_plotly_graph_objects(attrs).values())
