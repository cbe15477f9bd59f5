"""Whether something answers at the address of a cluster. Ray itself would try for two minutes."""

from __future__ import annotations

import importlib.util
import os
import socket
from pathlib import Path

from regstudy.errors import ArgumentError, Problem, argument_error, installing
from regstudy.search.launcher import Ray

ANSWER = 5.0  # seconds
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # HTTP/2, as gRPC speaks it
SETTINGS = 4  # the kind of the first frame that a server sends


def check_launcher(asked: Ray) -> None:
    """ArgumentError if Ray is not installed, or if no cluster answers at the address; loads nothing."""
    if importlib.util.find_spec("ray") is None:
        raise ArgumentError(f"launcher (--launcher ray) needs Ray, which is not installed: {installing('ray')}.")
    found = _cluster_of_this_machine() if asked.address == "auto" else asked.address
    if found is None:
        return  # Ray is started here, or looks for a cluster by itself
    host, _, port = found.rpartition(":")
    if not port.isdigit() or not answers(host.strip("[]"), int(port)):
        raise argument_error(
            [
                Problem(
                    "address (--address)",
                    f"no Ray cluster answers at {found}. Look with `ray status` whether it runs, start one with `ray"
                    " start --head`, or leave --address out for a Ray on this machine alone.",
                )
            ]
        )


def answers(host: str, port: int) -> bool:
    """Whether a server of Ray's kind accepts a connection within a few seconds."""
    try:
        with socket.create_connection((host, port), timeout=ANSWER) as connection:
            connection.sendall(GREETING)
            return len(frame := connection.recv(9)) == 9 and frame[3] == SETTINGS
    except OSError:
        return False


def _cluster_of_this_machine() -> str | None:
    """Where ``auto`` leads: as Ray finds it itself."""
    if given := os.environ.get("RAY_ADDRESS"):
        return None if given in ("auto", "local") or "://" in given else given
    try:
        written = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster").read_text(encoding="utf-8")
    except OSError:
        return None
    return written.strip() or None
