"""The storage: words for its errors, secrets, refused disks, locks, and what it relies on in Optuna."""

from __future__ import annotations

import contextlib
import multiprocessing
import re
import sqlite3
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import optuna
import psutil
import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DatabaseError, OperationalError, PendingRollbackError, ProgrammingError

from regstudy.errors import ServerLost, StorageError
from regstudy.study.place import StudyPlace, find_study
from regstudy.study.storage import (
    NETWORK_FILE_SYSTEMS,
    check_local_disk,
    connection_lost,
    exclusive,
    open_existing,
    open_named,
    open_storage,
    outlast,
    sqlite_path,
    sqlite_url,
    storage_error,
)

AWAY = [
    'connection failed: connection to server at "127.0.0.1", port 5432 failed: Connection refused',
    "server closed the connection unexpectedly",
    "terminating connection due to administrator command",
    "the connection is closed",
    "FATAL:  the database system is starting up",
    "FATAL:  the database system is shutting down",
    "FATAL:  the database system is in recovery mode",
]
HERE = ['column "x" does not exist', "deadlock detected", "permission denied for table trials", "out of memory"]


@pytest.mark.parametrize(
    ("error", "lost"),
    [(OperationalError("SELECT", None, Exception(text)), True) for text in AWAY]
    + [(ProgrammingError("SELECT", None, Exception(text)), False) for text in HERE]
    + [
        (DatabaseError("SELECT", None, Exception("anything"), connection_invalidated=True), True),
        (OperationalError("SELECT", None, sqlite3.OperationalError("database is locked")), False),
        (OperationalError("SELECT", None, sqlite3.OperationalError("connection closed")), False),
        (ValueError("connection"), False),
        (PendingRollbackError("Can't reconnect until invalid transaction is rolled back."), True),
    ],
)
def test_only_a_server_that_went_away_is_waited_for(error: Exception, lost: bool) -> None:
    assert connection_lost(error) == lost
    wrapped = StorageInternalError("within Optuna")
    wrapped.__cause__ = error
    assert connection_lost(wrapped) == lost


def test_errors_of_a_database_are_told_without_the_password() -> None:
    lost = OperationalError("SELECT", None, Exception("cannot reach postgresql://me:secret@host/db"))
    told = str(storage_error("postgresql://me:secret@host/db", lost))
    assert told.startswith("The study's database postgresql://me:***@host/db cannot be used: cannot reach")
    assert "secret" not in told


def test_files_that_are_no_database_are_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("no database " * 100)
    with pytest.raises(StorageError, match="file is not a database"):
        open_storage(sqlite_url(tmp_path / "study.db"))
    with pytest.raises(StorageError, match="unable to open database file"):
        open_storage(sqlite_url(tmp_path / "nowhere" / "study.db"))


@pytest.mark.parametrize("kind", sorted(NETWORK_FILE_SYSTEMS))
def test_network_file_systems_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    mounts = [SimpleNamespace(mountpoint="/", fstype="ext4"), SimpleNamespace(mountpoint=str(tmp_path), fstype=kind)]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts if all else [])
    check_local_disk(tmp_path.parent)
    for folder in (tmp_path, tmp_path / "results" / "not made yet"):
        with pytest.raises(StorageError, match=rf"network file system \({kind}\).*--results.*--storage"):
            check_local_disk(folder)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "apfs", "tmpfs", "overlay"])
def test_a_local_disk_within_a_network_file_system_is_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mounts = [SimpleNamespace(mountpoint="/", fstype="nfs4"), SimpleNamespace(mountpoint=str(tmp_path), fstype=kind)]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)  # noqa: ARG005
    check_local_disk(tmp_path / "results")


def test_a_link_to_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "share").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "share")
    mounts = [SimpleNamespace(mountpoint=str(tmp_path / "share"), fstype="nfs4")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)  # noqa: ARG005
    with pytest.raises(StorageError):
        check_local_disk(tmp_path / "results" / "study")


def test_paths_and_urls_are_inverse(tmp_path: Path) -> None:
    for name in ("study.db", "with blank.db", "ünder%20.db"):
        assert sqlite_path(sqlite_url(tmp_path / name)) == tmp_path / name
        open_storage(sqlite_url(tmp_path / name))
        assert (tmp_path / name).is_file()
    assert sqlite_path("postgresql://host/db") is None


def test_a_database_is_in_write_ahead_mode_and_flushed_at_checkpoints_only(tmp_path: Path) -> None:
    storage = open_storage(sqlite_url(tmp_path / "study.db"))
    with storage.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 60_000


def write_and_leave(url: str) -> None:
    """Change a study from a process that then ends; the last one to leave tidies the write-ahead log away."""
    optuna.load_study(study_name="s", storage=open_storage(url)).set_user_attr("seen", True)


@pytest.mark.slow
def test_a_process_that_looks_twice_goes_on_seeing_what_others_write(tmp_path: Path) -> None:
    """Closing a handle of its own on the file would drop its locks: others would then delete the log it reads."""
    place = StudyPlace(tmp_path / "s")
    place.folder.mkdir()
    optuna.create_study(study_name="s", storage=open_storage(place.url))
    looked = [find_study(place), find_study(place)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.map(write_and_leave, [place.url])
        pool.close()
        pool.join()
    assert (place.folder / "study.db-wal").exists()
    assert [study.user_attrs for study in looked if study] == [{"seen": True}] * 2


def in_eight(action: Callable[[str], object], argument: str) -> list[object]:
    """What an action gives in eight processes that begin together."""
    with multiprocessing.get_context("spawn").Pool(8) as pool:
        return pool.map(action, [argument] * 8, chunksize=1)


def stay(url: str) -> tuple[float, float]:
    """Be alone for a moment; returns when it began and ended."""
    with exclusive(url):
        began = time.monotonic()
        time.sleep(0.05)
        return began, time.monotonic()


def open_new(url: str) -> str:
    """Open a database that others are opening too; what went wrong."""
    try:
        open_storage(url).get_all_studies()
    except StorageError as error:
        return str(error)
    return ""


@pytest.mark.slow
def test_only_one_process_at_a_time_has_the_database_to_itself(tmp_path: Path) -> None:
    stays = sorted(in_eight(stay, sqlite_url(tmp_path / "study.db")))  # type: ignore[type-var]
    assert len(stays) == 8
    assert all(one[1] <= other[0] for one, other in pairwise(stays))  # type: ignore[index]


@pytest.mark.slow
def test_eight_processes_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    for attempt in range(3):
        assert set(in_eight(open_new, sqlite_url(tmp_path / f"{attempt}.db"))) == {""}


def lost(error: str = "server closed the connection unexpectedly") -> DatabaseError:
    return DatabaseError("COMMIT", None, Exception(error), connection_invalidated=True)


def test_what_a_lost_connection_interrupted_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regstudy.study.storage.PATIENCE", (0.0,) * 5)
    url = sqlite_url(tmp_path / "study.db")
    optuna.create_study(study_name="s", storage=open_storage(url))
    opened = open_named(url, "s")
    tries: list[int] = []

    def twice_lost() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise lost()
        return 7

    assert opened.patiently(twice_lost) == 7 and len(tries) == 3

    def broken() -> None:
        tries.append(1)
        raise ProgrammingError("SELECT", None, Exception("no such table"))

    tries.clear()
    with pytest.raises(ProgrammingError):
        opened.patiently(broken)
    assert len(tries) == 1

    def always_lost() -> None:
        tries.append(1)
        raise lost()

    tries.clear()
    with pytest.raises(DatabaseError):
        opened.patiently(always_lost)
    assert len(tries) == 6


@pytest.mark.parametrize(
    ("attempts", "waits", "ends"),
    [
        ([(0, True), (0, False)], [1], True),
        ([(0, True), (0, True), (0, True)], [1, 2], False),
        ([(0, True), (999, True), (0, True), (0, True), (0, False)], [1, 1, 2], False),
        ([(0, True), (0, True), (999, True), (0, True), (0, False)], [1, 2, 1, 2], True),
    ],
)
def test_a_stage_that_ran_for_long_before_a_loss_gets_the_whole_patience_anew(
    attempts: list[tuple[float, bool]], waits: list[float], ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, waited, told, left = [0.0], list[float](), list[str](), list(attempts)
    monkeypatch.setattr("regstudy.study.storage.PATIENCE", (1, 2))
    monkeypatch.setattr("regstudy.study.storage.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("regstudy.study.storage.time.sleep", waited.append)

    def stage() -> None:
        seconds, loses = left.pop(0)
        clock[0] += seconds
        if loses:
            raise storage_error("postgresql://server/db", lost())

    with contextlib.nullcontext() if ends else pytest.raises(ServerLost):
        outlast(stage, lambda: told.append("lost"))
    assert waited == waits and len(told) == len(waits)


def test_a_trials_own_number_in_the_database_is_found(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "study.db")
    storage = open_storage(url)
    optuna.create_study(study_name="other", storage=storage).ask()
    optuna.create_study(study_name="s", storage=storage).ask()
    opened = open_named(url, "s")
    opened.storage.set_trial_user_attr(opened.trial_id(0), "note", "mine")
    assert opened.study.trials[0].user_attrs == {"note": "mine"}


def test_nothing_private_of_optuna_is_used() -> None:
    source = Path(__file__).parents[2] / "src" / "regstudy"
    private = re.compile(r"optuna[a-z_.]*\._|\._storage\b|\._trial_id\b|\._study_id\b|system_attrs")
    found = {path.name for path in source.rglob("*.py") if private.search(path.read_text(encoding="utf-8"))}
    assert found == set()


def test_a_missing_driver_is_told_with_the_way_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StorageError, match=r"the driver psycopg is not installed. Install it: pip"):
        open_existing("postgresql://me@localhost/x")
