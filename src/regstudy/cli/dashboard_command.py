"""What `regstudy dashboard` does: serve the Optuna dashboard on a study, and keep our plots in it up to date."""

from __future__ import annotations

import socket
from pathlib import Path
from threading import Event, Thread

from optuna_dashboard import run_server
from rich.console import Console

from regstudy.errors import RegstudyError
from regstudy.interrupts import noting_interrupts
from regstudy.report.dashboard import refresher, repeat
from regstudy.study.place import StudyPlace, kind_of, open_study
from regstudy.study.storage import open_storage

LOOK_EVERY = 0.2  # between looks whether the dashboard is to stop


def execute(path: Path, storage: str | None, port: int, refresh: float, console: Console) -> int:
    """Serve until Ctrl-C; returns its exit code. Raises RegstudyError if the port is taken."""
    place = StudyPlace(path, storage)
    study, stop = open_study(place), Event()
    check_port(port)
    if kind_of(study) == "search":
        update = refresher(study, console.print)
        update()
        Thread(target=repeat, args=(update, refresh, stop), daemon=True).start()
    console.print(f"Optuna dashboard for {place}: http://127.0.0.1:{port}")
    console.print(
        "It has no login, and anyone who can reach the port can delete studies, so it listens on this machine only."
        " Stop it with Ctrl-C."
    )
    # the server would swallow the exception that Ctrl-C raises while it answers a request
    server = Thread(target=run_server, args=(open_storage(place.url), "127.0.0.1", port), daemon=True)
    with noting_interrupts() as interrupts:
        server.start()
        while server.is_alive() and not interrupts.asked:
            server.join(LOOK_EVERY)
    stop.set()
    if not interrupts.asked:
        raise RegstudyError("The dashboard's server has ended by itself; its own message stands above.")
    console.print("Dashboard stopped.")
    return 130


def check_port(port: int) -> None:
    """RegstudyError if another program uses a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise RegstudyError(f"Port {port} cannot be used: {error.strerror}. Choose another with --port.") from None
