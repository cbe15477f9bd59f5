"""Optuna's database storage: opening it, waiting for a server that is away, and errors of it in plain words.

One code path for SQLite (the default, on a local disk) and PostgreSQL (many machines). Only public parts of Optuna are
used: what must not happen twice is done within `exclusive`, and what a lost connection interrupted is repeated by
`OpenStudy.patiently`.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import optuna
import psutil
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import DBAPIError, PendingRollbackError, SQLAlchemyError

from regstudy.errors import FileError, StorageError
from regstudy.files import check_file, locked
from regstudy.files.paths import DISK_FULL

BUSY_TIMEOUT = 60  # seconds that a SQLite writer waits for another one
OPENINGS = 20  # attempts at a new database, in which others may be creating the same tables
CONNECT_TIMEOUT = 10  # seconds for a server to answer a new connection
PATIENCE = (0.5, 1, 2, 4, 8, 15, 30, 30, 60, 60, 90)  # seconds between attempts to reach a server: five minutes in all
FREE_SPACE = "Free some space and give the same command again; finished trials are safe."
# fmt: off
NETWORK_FILE_SYSTEMS = {
    "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs",
    "nfs4", "smb2", "smb3", "smbfs",
}
# fmt: on


def connection_lost(error: BaseException) -> bool:
    """Whether an error means that a database server could not be reached or went away."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(cause, PendingRollbackError):  # the connection went away within a transaction; the session is dropped
        return True
    if not isinstance(cause, DBAPIError) or isinstance(cause.orig, sqlite3.Error):
        return False
    away = ("connection", "shutting down", "starting up", "terminating", "server closed", "recovery mode")
    return cause.connection_invalidated or any(word in str(cause.orig).lower() for word in away)


T = TypeVar("T")


@dataclass(frozen=True)
class OpenStudy:
    """A study with the storage behind it, which is needed for what Optuna's study alone cannot do."""

    study: optuna.Study
    storage: RDBStorage
    url: str

    def patiently(self, action: Callable[[], T]) -> T:
        """What an action gives, which is repeated for a while when the connection to the server is lost.

        The action must be safe to do twice, or do what it does within `exclusive`. Raises what the action raises.
        """
        for wait in PATIENCE:
            try:
                return action()
            except (StorageInternalError, SQLAlchemyError) as error:
                if not connection_lost(error):
                    raise
                self.storage.remove_session()
                time.sleep(wait)
        return action()

    def close(self) -> None:
        """Give back the connections."""
        self.storage.remove_session()
        self.storage.engine.dispose()

    def trial_id(self, number: int) -> int:
        """The storage's own number of a trial."""
        study_id = self.storage.get_study_id_from_name(self.study.study_name)
        return self.storage.get_trial_id_from_study_id_trial_number(study_id, number)


def open_named(url: str, name: str) -> OpenStudy:
    """The study of a name in a database; KeyError if there is none, StorageError if it cannot be opened."""
    storage = open_storage(url)
    return OpenStudy(optuna.load_study(study_name=name, storage=storage), storage, url)


def sqlite_url(path: Path) -> str:
    """The storage URL of a database file."""
    return f"sqlite:///{path.absolute()}"


def sqlite_path(url: str) -> Path | None:
    """The database file of a SQLite URL, None for any other."""
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def open_storage(url: str) -> RDBStorage:
    """The storage at a URL.

    A SQLite file is created if need be, in WAL mode: readers and one writer do not block each other. Raises
    StorageError in words if the database cannot be used.
    """
    path = sqlite_path(url)
    for attempt in range(OPENINGS):
        try:
            return _open_server(url) if path is None else _open_sqlite(url, path)
        except (SQLAlchemyError, StorageInternalError, ImportError, sqlite3.Error, RuntimeError, ValueError) as error:
            raced = any(words in str(error) for words in ("already exists", "duplicate key", "UNIQUE constraint"))
            if not raced or attempt + 1 == OPENINGS:
                raise storage_error(url, error) from None
            time.sleep(0.1)
    raise AssertionError


def storage_error(url: str, error: BaseException) -> StorageError:
    """A database error in words, without the password that the URL may hold."""
    cause = error.__cause__ or error
    text = " ".join(str(getattr(cause, "orig", None) or cause).split())
    if "disk is full" in text or "No space left" in text:
        remedy = f"The disk is full. {FREE_SPACE}"
    elif isinstance(error, ImportError):
        remedy = "Its driver is missing: pip install 'regstudy[postgres]'."
    else:
        remedy = "Check that it is a database of Optuna, that the server runs, and that you may write to it."
    return StorageError(f"The study's database {masked(url)} cannot be used: {masked(text)}. {remedy}")


@contextmanager
def in_words(url: str) -> Iterator[None]:
    """Errors of the database within this block, and of a disk without room, become a StorageError."""
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        raise storage_error(url, error) from None
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        where = f" that should hold {error.filename}" if error.filename else ""
        raise StorageError(f"The disk{where} is full. {FREE_SPACE}") from None


def masked(text: str) -> str:
    """A text with the passwords of all URLs in it replaced by stars, up to the last @ of a word."""
    text = re.sub(r"(password=)[^&\s'\"]*", r"\1***", text)
    return re.sub(r"(://[^:@/\s]*:)[^\s'\"]*@", r"\1***@", text)


@contextmanager
def exclusive(url: str) -> Iterator[None]:
    """Only one process at a time, on any machine, is within this block for the database at a URL."""
    path = sqlite_path(url)
    if path is not None:
        with locked(path.with_suffix(".lock"), BUSY_TIMEOUT):
            yield
        return
    engine = sqlalchemy.create_engine(_with_driver(url), poolclass=sqlalchemy.NullPool, **_connect_args(url))
    with engine.begin() as connection:  # the lock ends with the transaction, and so with the process
        connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(hashtext('regstudy'))"))
        yield


def check_database_file(path: Path) -> None:
    """StorageError if a study's database or its lock cannot be written; creates nothing, and opens no database.

    Closing a handle of a database drops the locks that this process holds on it (sqlite.org/howtocorrupt.html, 2.2).
    """
    try:
        check_file(path.with_suffix(".lock"))
        check_file(path, look_only=True)
    except FileError as error:
        raise StorageError(
            f"{str(error).removesuffix(' Choose another name.')} If something else is in the way of the study's"
            " database, move it, or use another study name (--study NAME)."
        ) from None


def check_local_disk(folder: Path) -> None:
    """StorageError if a folder lies on a network file system, where SQLite's write-ahead log does not work."""
    place = folder.resolve()
    mounts = {Path(mount.mountpoint): mount.fstype.lower() for mount in psutil.disk_partitions(all=True)}
    mounted = next((mounts[parent] for parent in [place, *place.parents] if parent in mounts), "")
    if mounted in NETWORK_FILE_SYSTEMS:
        raise StorageError(
            f"{folder} lies on a network file system ({mounted}), where SQLite loses data when several processes"
            " write. Give a folder on a local disk with --results, or a PostgreSQL server with --storage."
        )


def _open_server(url: str) -> RDBStorage:
    return RDBStorage(_with_driver(url), engine_kwargs={"pool_pre_ping": True, **_connect_args(url)})


def _open_sqlite(url: str, path: Path) -> RDBStorage:
    with suppress(OSError):  # SQLite gives its own files the mode 0644 at most; this one gets that of the umask
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    with sqlite3.connect(path, timeout=BUSY_TIMEOUT) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": BUSY_TIMEOUT}})
    sqlalchemy.event.listen(storage.engine, "connect", _synchronize_at_checkpoints)
    storage.engine.dispose()  # connections opened before the listener stood
    return storage


def _with_driver(url: str) -> str:
    """`postgresql://…` names the driver that the extra `postgres` installs."""
    for scheme in ("postgresql://", "postgres://"):
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url.removeprefix(scheme)
    return url


def _connect_args(url: str) -> dict[str, Any]:
    """A server that never answers must not be waited for; only PostgreSQL's drivers know this argument."""
    return {"connect_args": {"connect_timeout": CONNECT_TIMEOUT}} if url.startswith("postgres") else {}


def _synchronize_at_checkpoints(connection: Any, _record: Any) -> None:
    """In WAL mode this is safe against a crash of the program and saves a disk flush per commit."""
    connection.execute("PRAGMA synchronous=NORMAL")
