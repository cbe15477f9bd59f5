"""What `regstudy dashboard` does: serve the Optuna dashboard on a study, and keep our plots in it up to date."""

from __future__ import annotations

import socket
from pathlib import Path
from threading import Event, Thread

from optuna_dashboard import wsgi
from rich.console import Console

from regstudy.cli.local_server import LOCAL_HOST, serve
from regstudy.errors import RegstudyError
from regstudy.interrupts import noting_interrupts
from regstudy.report.dashboard import refresher, repeat
from regstudy.report.next_actions import arguments_of
from regstudy.study.companion import find_ablation, find_confirmation
from regstudy.study.place import kind_of, open_study, place_at
from regstudy.study.storage import in_words, open_existing

LOOK_EVERY = 0.2  # between looks whether the dashboard is to stop


def execute(path: Path, storage: str | None, name: str | None, port: int, refresh: float, console: Console) -> int:
    """Serve until Ctrl-C; returns its exit code. Raises RegstudyError if the port is taken."""
    place = place_at(path, storage, name)
    study, stop = open_study(place), Event()
    check_port(port)
    if kind_of(study) == "search":
        update = refresher(
            study,
            console.print,
            lambda: find_confirmation(place, study),
            arguments_of(place),
            lambda: find_ablation(place, study),
        )
        update()
        Thread(target=repeat, args=(update, refresh, stop), daemon=True).start()
    console.print(f"Optuna dashboard for {place}: http://{LOCAL_HOST}:{port}")
    console.print(
        "It has no login, and anyone who can reach the port can delete studies, so it listens on this machine only."
        " Stop it with Ctrl-C."
    )
    # the server would swallow the exception that Ctrl-C raises while it answers a request
    with in_words(place.url), noting_interrupts() as interrupts:
        server = Thread(target=serve, args=(wsgi(open_existing(place.url)), port), daemon=True)
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
            probe.bind((LOCAL_HOST, port))
        except OSError as error:
            raise RegstudyError(f"Port {port} cannot be used: {error.strerror}. Choose another with --port.") from None
