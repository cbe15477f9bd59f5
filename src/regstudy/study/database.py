"""A study's database before Optuna opens it: what it is, found out without changing a byte of it.

Optuna would create its tables in any database that it is given. A connection to a SQLite file never creates the file,
except where a study is created.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Literal

import sqlalchemy
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import ArgumentError

from regstudy.errors import StorageError
from regstudy.study.passwords import masked_url

BUSY_TIMEOUT = 60  # seconds that a SQLite writer waits for another one
CONNECT_TIMEOUT = 10  # seconds for a server to answer a new connection
TABLES = frozenset({"studies", "trials", "version_info", "alembic_version"})  # some of those that Optuna creates
STUDY_COLUMNS = frozenset({"study_id", "study_name"})
DRIVER = "postgresql+psycopg"  # of the extra `postgres`
SHOWN_TABLES = 5

Content = Literal["studies", "nothing"]


def sqlite_url(path: Path) -> str:
    """The storage URL of a database file."""
    return f"sqlite:///{path.absolute()}"


def sqlite_path(url: str) -> Path | None:
    """The database file of a SQLite URL, None for any other."""
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def connect_file(path: Path, mode: Literal["ro", "rw", "rwc"]) -> sqlite3.Connection:
    """A connection to a SQLite file; only the mode ``rwc`` creates it. Any character may be in its path."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous=NORMAL")  # safe in WAL mode, and saves a disk flush per commit
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def server_url(url: str) -> str:
    """A server's URL as SQLAlchemy reads it, with its driver; an @ in the password may be typed as it is.

    StorageError, without the password, if it is not a URL of a database.
    """
    try:
        parsed = make_url(url)
        if parsed.host is not None and "@" in parsed.host:  # of the password
            user, _, rest = url.partition("://")[2].partition(":")
            password, _, server = rest.rpartition("@")
            quoted = password.replace("@", "%40")
            parsed = make_url(f"{parsed.drivername}://{user}:{quoted}@{server}")
    except (ArgumentError, ValueError):
        raise StorageError(
            f"'{masked_url(url)}' is not the URL of a database. It must look like postgresql://USER@HOST/NAME or"
            " postgresql://USER@HOST:PORT/NAME; keep the password in ~/.pgpass or in the variable PGPASSWORD. A study's"
            " file on this machine is sqlite:///PATH/study.db."
        ) from None
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername=DRIVER)
    return parsed.render_as_string(hide_password=False)


def connect_args(url: str) -> dict[str, Any]:
    """A server that never answers must not be waited for; only PostgreSQL's drivers know this argument."""
    return {"connect_args": {"connect_timeout": CONNECT_TIMEOUT}} if url.startswith("postgres") else {}


def content_of(url: str) -> Content:
    """Whether a database holds Optuna's studies, or nothing yet, as after an interrupted creation.

    StorageError if it is something else. Raises what SQLAlchemy raises if it cannot be read.
    """
    path = sqlite_path(url)
    if path is not None and not _has_content(path):
        return "nothing"
    engine = _reader(url, path)
    try:
        tables = set(sqlalchemy.inspect(engine).get_table_names())
        if not tables:
            return "nothing"
        columns = (
            {str(c["name"]) for c in sqlalchemy.inspect(engine).get_columns("studies")} if "studies" in tables else ()
        )
        ours = STUDY_COLUMNS.issubset(columns)
        if ours and tables >= TABLES and _value(engine, "SELECT COUNT(*) FROM alembic_version"):
            return "studies"
        if ours and not _value(engine, "SELECT COUNT(*) FROM studies"):
            return "nothing"
        if ours:
            raise StorageError(f"{_shown(url)} was created by a very old version of Optuna. {UPGRADE}")
        if path is None:  # a server's database may serve several programs
            return "nothing"
        listed = ", ".join(sorted(tables)[:SHOWN_TABLES]) + (", …" if len(tables) > SHOWN_TABLES else "")
        raise StorageError(
            f"{path} is a SQLite database, but not one of Optuna: its tables are {listed}. Give the folder of a study,"
            " such as results/NAME."
        )
    finally:
        engine.dispose()


UPGRADE = (
    "Copy it, upgrade the copy (`optuna storage upgrade --storage URL`, see Optuna's documentation), and open the copy."
)


def _has_content(path: Path) -> bool:
    """Whether there is a SQLite file; an empty one, from an interrupted creation, does not count.

    Only SQLite may open it: closing any other handle drops the locks of this process's connections, whereupon the
    next process to leave deletes the log that they go on reading (sqlite.org/howtocorrupt.html, 2.2).
    """
    if path.is_dir():
        raise StorageError(f"{path} is a folder, but it should be a database file. Move it away.")
    return path.is_file() and path.stat().st_size > 0


def _reader(url: str, path: Path | None) -> Engine:
    if path is None:
        return sqlalchemy.create_engine(server_url(url), poolclass=sqlalchemy.NullPool, **connect_args(url))
    return sqlalchemy.create_engine(
        "sqlite://", creator=lambda: connect_file(path, "ro"), poolclass=sqlalchemy.NullPool
    )


def _value(engine: Engine, query: str) -> Any:
    with engine.connect() as connection:
        return connection.execute(sqlalchemy.text(query)).scalar()


def _shown(url: str) -> str:
    return str(sqlite_path(url) or masked_url(url))
