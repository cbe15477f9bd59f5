"""Which process runs a trial, and whether it still lives."""

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
    """Host, process number and start time (seconds since 1970) of this process; together they name it uniquely."""
    return _of(os.getpid())


def is_dead(owner: Mapping[str, Any] | None) -> bool:
    """Whether a trial's owner is known to live no more: a process of this host that is gone, or was never named.

    Of a process on another host nothing can be said here; its heartbeat decides.
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
