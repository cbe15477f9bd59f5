"""A PostgreSQL server of one's own: started, stopped and restarted by the tests, and gone after them."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import psycopg

PASSWORD = "gé/h@e:im?% 1"  # every sign that means something in a URL
USER = "study"


def binaries() -> Path | None:
    """The newest installed server's programs, where Debian's packages put them or on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    somewhere = shutil.which("initdb")
    return Path(somewhere).parent if somewhere else None


class Server:
    """A server on a free port of 127.0.0.1 that lets nobody in without the password."""

    def __init__(self, programs: Path, connections: int = 60) -> None:
        self.programs, self.connections = programs, connections
        self.folder = Path(tempfile.mkdtemp(prefix="regstudy-postgres-"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        secret = self.folder / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
            shutil.chown(secret, "postgres", "postgres")
        self._run("initdb", "-U", USER, "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "-D", self.data)
        self.start()

    @property
    def data(self) -> str:
        """The server's data directory."""
        return str(self.folder / "data")

    def url(self, database: str, password: str = PASSWORD) -> str:
        """The storage URL of a database, as a user would type it."""
        return f"postgresql://{USER}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, template: str = "template1") -> str:
        """Make a database, an empty one or a copy of another; returns its URL."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"'.encode())
        return self.url(database)

    def ask(self, sql: str) -> int:
        """One number from the server."""
        with psycopg.connect(self.url("postgres")) as connection:
            row = connection.execute(sql.encode()).fetchone()
        return int(row[0]) if row else 0

    def start(self) -> None:
        """Start, and wait until connections are accepted."""
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder} -c max_connections={self.connections}"
        self._run("pg_ctl", "-D", self.data, "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop; `immediate` is as good as pulling the plug."""
        self._run("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    def restart(self, away: float) -> None:
        """Pull the plug, and start again after some seconds."""
        self.stop()
        time.sleep(away)
        self.start()

    def drop_connections(self, database: str) -> int:
        """End every connection to a database, as a failing network would; returns how many."""
        query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s"
        with psycopg.connect(self.url("postgres")) as connection:
            row = connection.execute(query, (database,)).fetchone()
        return int(row[0]) if row else 0

    def remove(self) -> None:
        """Stop if it runs, and leave nothing behind."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), *arguments]
        if os.geteuid() == 0:  # the server refuses to run as root
            command = ["runuser", "-u", "postgres", "--", *command]
        with (self.folder / "output").open("a+b") as output:
            done = subprocess.run(command, stdout=output, stderr=output, cwd="/", check=False)
            output.seek(0)
            assert done.returncode == 0, f"{program} as {getpass.getuser()}: {output.read().decode(errors='replace')}"
