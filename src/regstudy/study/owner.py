"""Which process runs a trial, and whether it is still alive."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from functools import cache
from typing import Any

import psutil


@cache
def _of(pid: int) -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": pid, "started": psutil.Process(pid).create_time()}


def this_process() -> dict[str, Any]:
    """Host, process number and start time (seconds since 1970) of this process; together they identify it."""
    return _of(os.getpid())


def is_dead(owner: Mapping[str, Any] | None) -> bool:
    """Whether a trial's owner is known to be dead: a process of this host that is gone, or no recorded owner.

    A process on another host cannot be checked from here; its heartbeat decides.
    """
    if owner is None:
        return True
    if owner["host"] != socket.gethostname():
        return False
    try:
        process = psutil.Process(owner["pid"])
        return bool(process.create_time() != owner["started"] or process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def is_elsewhere(owner: Mapping[str, Any] | None) -> bool:
    """Whether a trial's owner is a process of another host."""
    return owner is not None and owner["host"] != socket.gethostname()
