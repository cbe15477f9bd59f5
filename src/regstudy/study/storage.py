"""Optuna's database storage: opening it, waiting for a server that is away, and errors of it in plain words.

One code path for SQLite (the default, on a local disk) and PostgreSQL (many machines). Only public parts of Optuna are
used: what must not happen twice is done within `exclusive`, and what a lost connection interrupted is repeated by
`OpenStudy.patiently`.
"""

from __future__ import annotations

import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import optuna
import psutil
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import DBAPIError, PendingRollbackError, SQLAlchemyError
from sqlalchemy.orm import Session, scoped_session

from regstudy.errors import FileError, ServerLost, StorageError, installing
from regstudy.files import check_file, locked
from regstudy.files.paths import DISK_FULL
from regstudy.study.database import BUSY_TIMEOUT, UPGRADE, connect_args, connect_file, content_of, server_url
from regstudy.study.database import sqlite_path as sqlite_path
from regstudy.study.database import sqlite_url as sqlite_url
from regstudy.study.passwords import masked, masked_url

OPENINGS = 20  # attempts at a new database, in which others may be creating the same tables
PATIENCE = (0.5, 1, 2, 4, 8, 15, 30, 30, 60, 60, 90)  # seconds between attempts to reach a server: five minutes in all
STEADY = 600.0  # seconds of work after which a loss is a new one
FREE_SPACE = "Free some space and give the same command again; finished trials are safe."
# fmt: off
NETWORK_FILE_SYSTEMS = {
    "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs",
    "nfs4", "smb2", "smb3", "smbfs",
}
# fmt: on


def connection_lost(error: BaseException) -> bool:
    """Whether an error means that a database server could not be reached or went away."""
    if isinstance(error, ServerLost):
        return True
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(cause, PendingRollbackError):  # the connection went away within a transaction; the session is dropped
        return True
    if not isinstance(cause, DBAPIError) or isinstance(cause.orig, sqlite3.Error):
        return False
    away = ("connection", "shutting down", "starting up", "terminating", "server closed", "recovery mode")
    return cause.connection_invalidated or any(word in str(cause.orig).lower() for word in away)


T = TypeVar("T")


def outlast(action: Callable[[], T], on_loss: Callable[[], object] = lambda: None) -> T:
    """What an action gives, which is begun again when the connection to a server is lost, for five minutes at most.

    The action must be safe to begin again. One that ran for ten minutes before the loss gets the five minutes anew.
    ``on_loss`` is called before each wait. Raises what the action raises.
    """
    waits = list(PATIENCE)
    while True:
        began = time.monotonic()
        try:
            return action()
        except (StorageInternalError, SQLAlchemyError, ServerLost) as error:
            if time.monotonic() - began > STEADY:
                waits = list(PATIENCE)
            if not waits or not connection_lost(error):
                raise
            on_loss()
            time.sleep(waits.pop(0))


@dataclass(frozen=True)
class OpenStudy:
    """A study with the storage behind it, which is needed for what Optuna's study alone cannot do."""

    study: optuna.Study
    storage: RDBStorage
    url: str
    file: tuple[int, int] | None = None  # which file on disk the database was when it was opened

    def check_present(self) -> None:
        """StorageError if the database file was deleted or replaced, or if the study was deleted from the database."""
        path = sqlite_path(self.url)
        if path is not None and self.file is not None and file_identity(path) != self.file:
            what = "replaced by another file" if path.exists() else "deleted"
            raise StorageError(
                f"The study's database {path} was {what} while the study ran. The trials that finished in it are lost,"
                " unless you have a copy. Put a copy back, or give the same command again to start anew."
            )
        try:
            self.storage.get_study_id_from_name(self.study.study_name)
        except KeyError:
            raise StorageError(
                f"The study '{self.study.study_name}' was deleted from the database {masked_url(self.url)} while it"
                " ran, and its trials with it. Restore a backup, or give the same command again to start anew."
            ) from None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Errors within this block whose cause is that the database or the study was deleted say so."""
        try:
            yield
        except (StorageInternalError, SQLAlchemyError, KeyError, sqlite3.Error):
            self.check_present()
            raise

    def patiently(self, action: Callable[[], T]) -> T:
        """What an action gives, which is repeated for a while when the connection to the server is lost.

        The action must be safe to do twice, or do what it does within `exclusive`. Raises what the action raises.
        """
        return outlast(action, self.storage.remove_session)

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
    path = sqlite_path(url)
    file = None if path is None else file_identity(path)
    storage = open_existing(url)
    if storage is None:
        raise StorageError(f"There is no study '{name}' in the database {masked_url(url)} any more.")
    return OpenStudy(optuna.load_study(study_name=name, storage=storage), storage, url, file)


def file_identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one of the same name; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def open_storage(url: str) -> RDBStorage:
    """The storage at a URL, which is created if need be.

    A SQLite file is put in WAL mode: readers and one writer do not block each other. Raises StorageError in words if
    the database cannot be used or is not one of Optuna.
    """
    return _opened(url, create=True)


def open_existing(url: str) -> RDBStorage | None:
    """The storage at a URL without changing it; None if nothing has been stored there yet.

    StorageError in words if the database cannot be used or is not one of Optuna.
    """
    try:
        content = content_of(url)
    except (SQLAlchemyError, ImportError, sqlite3.Error) as error:
        raise storage_error(url, error) from None
    return _opened(url, create=False) if content == "studies" else None


def _opened(url: str, *, create: bool) -> RDBStorage:
    path = sqlite_path(url)
    for attempt in range(OPENINGS):
        try:
            if create:
                content_of(url)  # raises if the database is not one of Optuna
            return _open_server(url, create) if path is None else _open_sqlite(url, path, create)
        except (SQLAlchemyError, StorageInternalError, ImportError, sqlite3.Error, RuntimeError, ValueError) as error:
            raced = any(words in str(error) for words in ("already exists", "duplicate key", "UNIQUE constraint"))
            if not raced or attempt + 1 == OPENINGS:
                raise storage_error(url, error) from None
            time.sleep(0.1)
    raise AssertionError


def storage_error(url: str, error: BaseException) -> StorageError:
    """A database error in words, without the password that the URL may hold."""
    cause = error.__cause__ or error
    text = " ".join(masked(str(getattr(cause, "orig", None) or cause), [url]).split())
    if "disk is full" in text or "No space left" in text:
        remedy = f"The disk is full. {FREE_SPACE}"
    elif "no longer compatible with the table schema" in text:
        remedy = f"Another version of Optuna created it. {UPGRADE}"
        text = "its tables are of another version"
    elif "malformed" in text or "not a database" in text:
        remedy = "The file is damaged or something else. Restore a backup, or give another study."
    elif isinstance(error, ImportError):
        text = f"the driver {error.name or ''}".strip() + " is not installed"
        remedy = f"Install it: {installing('postgres')}."
    else:
        remedy = "Check that it is a database of Optuna, that the server runs, and that you may write to it."
    kind = ServerLost if connection_lost(error) else StorageError
    return kind(f"The study's database {masked_url(url)} cannot be used: {text.rstrip('.?!')}. {remedy}")


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


@contextmanager
def exclusive(url: str) -> Iterator[Callable[[], object]]:
    """Only one process at a time, on any machine, is within this block for the database at a URL.

    A server drops the lock with the connection that holds it, and another process may then enter. Call what the block
    is given before writing: it raises if the lock is lost. The end of the block raises then, too.
    """
    path = sqlite_path(url)
    if path is not None:
        with locked(path.with_suffix(".lock"), BUSY_TIMEOUT):
            yield lambda: None
        return
    engine = sqlalchemy.create_engine(server_url(url), poolclass=sqlalchemy.NullPool, **connect_args(url))
    with engine.begin() as connection:  # the lock ends with the transaction, and so with the process
        connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(hashtext('regstudy'))"))
        yield lambda: connection.execute(sqlalchemy.text("SELECT 1"))


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


def _open_server(url: str, create: bool) -> RDBStorage:
    options = {"pool_pre_ping": True, **connect_args(url)}
    storage = RDBStorage(_literal(server_url(url)), engine_kwargs=options, skip_table_creation=not create)
    weakref.finalize(storage, _disconnect, storage.scoped_session, storage.engine)
    return storage


def _disconnect(sessions: scoped_session[Session], engine: sqlalchemy.Engine) -> None:
    """Close the connections of a storage that nobody uses any more, which psycopg asks for."""
    sessions.remove()
    engine.dispose()


def _open_sqlite(url: str, path: Path, create: bool) -> RDBStorage:
    if create:
        with suppress(OSError):  # SQLite gives its own files the mode 0644 at most; this one gets that of the umask
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        with closing(connect_file(path, "rwc")) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    options = {"creator": lambda: connect_file(path, "rw")}
    return RDBStorage(_literal(url), engine_kwargs=options, skip_table_creation=not create)


def _literal(url: str) -> str:
    """A URL whose braces Optuna must not take for the name of a variable."""
    return url.replace("{", "{{").replace("}", "}}")
