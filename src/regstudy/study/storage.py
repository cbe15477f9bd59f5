"""Optuna's database storage, with claims that cannot be won twice and patience with a server that is away.

One code path for SQLite (the default, on a local disk) and PostgreSQL (many machines).
"""

from __future__ import annotations

import functools
import json
import re
import sqlite3
import time
import warnings
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import TrialHeartbeatModel, TrialModel, TrialUserAttributeModel
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import DBAPIError, PendingRollbackError, SQLAlchemyError

from regstudy.errors import StorageError
from regstudy.files import DISK_FULL
from regstudy.study import attributes
from regstudy.study.owner import this_process

BUSY_TIMEOUT = 60  # seconds that a SQLite writer waits for another one
OPENINGS = 20  # attempts at a new database, in which others may be creating the same tables
CONNECT_TIMEOUT = 10  # seconds for a server to answer a new connection
HEARTBEAT = 60  # seconds between signs of life of a trial on a server
GRACE = 900  # seconds of silence until such a trial counts as dead
PATIENCE = (0.5, 1, 2, 4, 8, 15, 30, 30, 60, 60, 90)  # seconds between attempts to reach a server: five minutes in all
FREE_SPACE = "Free some space and give the same command again; finished trials are safe."
# fmt: off
NETWORK_FILE_SYSTEMS = {
    "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs",
    "nfs4", "smb2", "smb3", "smbfs",
}
# fmt: on


class NoSlotLeft(Exception):
    """A worker asked for a trial, but none is waiting: its way to learn that its work is done."""


class SlotStorage(RDBStorage):
    """Hands out waiting trials and nothing else, each to exactly one worker.

    Optuna claims a waiting trial by reading its state and then writing it, which on SQLite, where rows cannot be
    locked, lets two processes claim the same one. Here the claim is a single conditional UPDATE, in one transaction
    with the owner's name and, on a server, the first heartbeat: a running trial always has both.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._waiting: dict[int, FrozenTrial] = {}

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """As in Optuna, which reads every unfinished trial anew at each call, several times per epoch.

        A waiting trial does not change until it is claimed, so those read before are only asked whether they still
        wait, which is one query for numbers instead of six for whole trials.
        """
        if not self._waiting or states is not None:
            fresh, known = super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than), []
        else:
            lowest = min([trial_id_greater_than, *included_trial_ids])
            query = sqlalchemy.select(TrialModel.trial_id, TrialModel.state).where(
                TrialModel.study_id == study_id, TrialModel.trial_id >= lowest
            )
            with _create_scoped_session(self.scoped_session) as session:
                now = {row.trial_id: row.state for row in session.execute(query)}
            wanted = {number for number in now if number > trial_id_greater_than or number in included_trial_ids}
            same = {number for number in wanted & self._waiting.keys() if now[number] == TrialState.WAITING}
            known = [self._waiting[number] for number in same]
            fresh = super()._get_trials(study_id, states, wanted - same, max([trial_id_greater_than, *now]))
        for trial in fresh:
            if trial.state == TrialState.WAITING:
                self._waiting[trial._trial_id] = trial
            else:
                self._waiting.pop(trial._trial_id, None)
        return sorted([*known, *fresh], key=lambda trial: trial._trial_id)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """As in Optuna; a change to RUNNING succeeds only for the one caller that finds the trial waiting."""
        if state != TrialState.RUNNING:
            return super().set_trial_state_values(trial_id, state, values)
        claim = (
            sqlalchemy.update(TrialModel)
            .where(TrialModel.trial_id == trial_id, TrialModel.state == TrialState.WAITING)
            .values(state=TrialState.RUNNING, datetime_start=datetime.now())
        )
        with _create_scoped_session(self.scoped_session) as session:
            won = bool(session.connection().execute(claim).rowcount == 1)
            if won:
                self._set_trial_attr_without_commit(
                    session, TrialUserAttributeModel, trial_id, attributes.OWNER, this_process()
                )
                if self.heartbeat_interval is not None:
                    session.add(TrialHeartbeatModel(trial_id=trial_id))
            else:  # an earlier try may have won, and only its answer was lost with the connection
                trial = session.get_one(TrialModel, trial_id)
                owner = TrialUserAttributeModel.find_by_trial_and_key(trial, attributes.OWNER, session)
                mine = owner is not None and json.loads(str(owner.value_json)) == this_process()
                won = bool(mine and trial.state == TrialState.RUNNING)
        return won

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        if template_trial is None:  # `study.optimize` found nothing waiting and would invent a trial
            raise NoSlotLeft
        return super()._create_new_trial(study_id, template_trial)


def _patient(method: Callable[..., Any]) -> Callable[..., Any]:
    """A storage method that tries again for a while when the connection to the server is lost."""

    @functools.wraps(method)
    def call(storage: SlotStorage, *args: Any, **kwargs: Any) -> Any:
        for wait in PATIENCE:
            try:
                return method(storage, *args, **kwargs)
            except (StorageInternalError, SQLAlchemyError) as error:
                if not connection_lost(error):
                    raise
                storage.remove_session()
                time.sleep(wait)
        return method(storage, *args, **kwargs)

    return call


# Each of these may safely be done twice. Creating a trial may not: `slots.top_up` is repeated as a whole instead.
for _name in [
    "set_study_user_attr",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "get_all_studies",
    "set_trial_param",
    "_set_trial_param",
    "get_trial_param",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "get_trial",
    "get_all_trials",
    "_get_trials",
    "get_trial_id_from_study_id_trial_number",
    "record_heartbeat",
    "_get_stale_trial_ids",
]:
    setattr(SlotStorage, _name, _patient(getattr(SlotStorage, _name)))


def connection_lost(error: BaseException) -> bool:
    """Whether an error means that a database server could not be reached or went away."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(cause, PendingRollbackError):  # the connection went away within a transaction; the session is dropped
        return True
    if not isinstance(cause, DBAPIError) or isinstance(cause.orig, sqlite3.Error):
        return False
    away = ("connection", "shutting down", "starting up", "terminating", "server closed", "recovery mode")
    return cause.connection_invalidated or any(word in str(cause.orig).lower() for word in away)


def sqlite_url(path: Path) -> str:
    """The storage URL of a database file."""
    return f"sqlite:///{path.absolute()}"


def sqlite_path(url: str) -> Path | None:
    """The database file of a SQLite URL, None for any other."""
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def open_storage(url: str, stale: Callable[..., None] | None = None) -> SlotStorage:
    """The storage at a URL; `stale` is called with (study, trial) when a trial elsewhere has gone silent.

    A SQLite file is created if need be, in WAL mode: readers and one writer do not block each other. Raises
    StorageError in words if the database cannot be used.
    """
    path = sqlite_path(url)
    for attempt in range(OPENINGS):
        try:
            return _open_server(url, stale) if path is None else _open_sqlite(url, path)
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
    except AssertionError as error:  # Optuna's, where it could not write how a trial ended
        if not isinstance(error.__context__, StorageInternalError | SQLAlchemyError):
            raise
        raise storage_error(url, error.__context__) from None
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
        with FileLock(path.with_suffix(".lock"), timeout=BUSY_TIMEOUT):
            yield
        return
    engine = sqlalchemy.create_engine(_with_driver(url), poolclass=sqlalchemy.NullPool, **_connect_args(url))
    with engine.begin() as connection:  # the lock ends with the transaction, and so with the process
        connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(hashtext('regstudy'))"))
        yield


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


def _open_server(url: str, stale: Callable[..., None] | None) -> SlotStorage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeat
        return SlotStorage(
            _with_driver(url),
            engine_kwargs={"pool_pre_ping": True, **_connect_args(url)},
            heartbeat_interval=HEARTBEAT,
            grace_period=GRACE,
            heartbeat_stale_trial_callback=stale,
        )


def _open_sqlite(url: str, path: Path) -> SlotStorage:
    with sqlite3.connect(path, timeout=BUSY_TIMEOUT) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    storage = SlotStorage(url, engine_kwargs={"connect_args": {"timeout": BUSY_TIMEOUT}})
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
