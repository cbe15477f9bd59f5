"""The connection to a Ray cluster: checked before anything is written, and ended with the command if it began it."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from regstudy.config.plugins import own_modules
from regstudy.data.packed_source import pack
from regstudy.data.split_source import SplitSource
from regstudy.errors import ArgumentError, DataError, Problem, StudyError, argument_error
from regstudy.search.launcher import Ray
from regstudy.search.ray_address import answers
from regstudy.search.ray_arrival import file_on_one_machine
from regstudy.search.ray_files import CarriedFiles, FolderKeeper
from regstudy.text import counted

LOOK_EVERY, LOST_AFTER = 5.0, 15.0  # seconds between looks at the head, and without an answer until it counts as lost
PATIENCE = 5.0  # seconds for what should be quick
STORE = "object_store_memory"


@dataclass
class Cluster:
    """The cluster to which this process is connected; a process has one connection at most."""

    asked: Ray
    head: tuple[str, int]
    given: bool = False  # the caller of the library has connected
    idle: list[Any] = field(default_factory=list)  # workers whose work has ended
    told: bool = False  # that workers wait for room
    lost: bool = False
    _stored: tuple[SplitSource, Any] | None = None
    _keepers: dict[Path, CarriedFiles] = field(default_factory=dict)
    _looked: float = field(default_factory=time.monotonic)
    _heard: float = field(default_factory=time.monotonic)

    def check_alive(self) -> None:
        """StudyError if the head of the cluster is gone, which Ray itself would wait for, and then end the process."""
        if time.monotonic() - self._looked < LOOK_EVERY:
            return
        if answers(*self.head):
            self._heard = time.monotonic()
        self._looked = time.monotonic()
        if self._looked - self._heard > LOST_AFTER:
            self.lost = True
            raise StudyError(
                f"The Ray cluster does not answer any more (its head was at {_shown(self.head)}). Finished trials are"
                " safe, and the others keep their checkpoints. Give the same command again when the cluster is back."
            )

    def stored(self, images: SplitSource) -> Any:
        """A reference to a source in the object store; each node gets one copy, which its workers map."""
        if self._stored is None or self._stored[0] is not images:
            self._stored = None  # gives back the memory first
            packed = pack(images)
            room = min((node.get(STORE, 0.0) for node in _alive()), default=0.0)
            if packed.nbytes > room:
                raise DataError(
                    f"The images need {packed.nbytes / 1e9:.1f} GB, but a node's object store has {room / 1e9:.1f} GB."
                    " Put the data set on every node and add --data-on-nodes, or give Ray more memory (ray start"
                    " --object-store-memory)."
                )
            self._stored = images, ray.put(packed)
        return self._stored[1]

    def files(self, folder: Path) -> CarriedFiles:
        """A folder of this machine for workers that do not see it."""
        if folder not in self._keepers:
            here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
            actor = ray.remote(FolderKeeper).options(num_cpus=0, scheduling_strategy=here)
            self._keepers[folder] = CarriedFiles(actor.remote(folder))
        return self._keepers[folder]

    def close(self) -> None:
        """End all actors."""
        for actor in [*self.idle, *(files.keeper for files in self._keepers.values())]:
            with contextlib.suppress(RayError):
                ray.kill(actor)

    def in_words(self) -> str:
        """What each worker needs, and what the cluster has."""
        total, free = _sum(_alive()), _free()
        names = ["CPU", *(["GPU"] if total.get("GPU") or self.asked.gpus_per_worker else [])]
        has = ", ".join(f"{total.get(name, 0):g} {name}s ({free.get(name, 0):g} free)" for name in names)
        return f"each needs {_needs(self.asked)}, and the cluster has {has} on {counted(len(_alive()), 'node')}"


_connection: Cluster | None = None


def current() -> Cluster:
    """The cluster of this process; within `connected`."""
    assert _connection is not None
    return _connection


@contextmanager
def connected(asked: Ray, *, one_machine: bool) -> Iterator[Cluster]:
    """A connection to the cluster that is asked for; a Ray that is started here is ended with the block.

    A connection that the caller of the library has made is used as it is, and stays. ``one_machine``: the study is
    stored in a file. ArgumentError if workers would not fit anywhere, or if there are other machines than this one.
    """
    global _connection
    given = ray.is_initialized()
    if not given:
        _connect(asked)
    try:
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        problems = [*_room_problems(asked), *(_machine_problems() if one_machine else [])]
        if problems:
            raise argument_error(problems)
        _connection = Cluster(asked, (host.strip("[]"), int(port)), given)
        yield _connection
    finally:
        if _connection is not None and not _connection.lost:
            _connection.close()
        lost = _connection is not None and _connection.lost
        _connection = None
        if not given:
            _limited(ray.shutdown) if lost else ray.shutdown()


@contextmanager
def mark_in(folder: Path) -> Iterator[Path]:
    """A file of a new name in a folder: a worker that finds it sees the folder, and not another one of this path."""
    path = folder / f".seen_by_workers_{secrets.token_hex(16)}"
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def room_now(asked: Ray) -> int:
    """How many workers fit at this moment, at least one."""
    free = _free()
    by_total = sum(asked.fitting(node) for node in _alive())
    return max(1, min(by_total, *(int(free.get(name, 0.0) / share + 1e-9) for name, share in asked.needs.items())))


def where_words(asked: Ray, cluster: Cluster) -> str:
    """Which cluster it is."""
    total, nodes = _sum(_alive()), len(_alive())
    gpus = f", {counted(int(total['GPU']), 'GPU')}" if total.get("GPU") else ""
    has = f"{counted(int(total.get('CPU', 0)), 'CPU')}{gpus}"
    if asked.address is None and not cluster.given:
        return f"Ray runs on this machine for this command ({has})"
    return f"Ray cluster at {_shown(cluster.head)} ({counted(nodes, 'node')}, {has})"


def unused_gpus(asked: Ray) -> str:
    """Sentence about the GPUs of a cluster whose workers train on the CPU, preceded by a space; empty otherwise."""
    gpus = int(_sum(_alive())["GPU"])
    if not gpus or asked.gpus_per_worker:
        return ""
    return f" They train on the CPU. To use the {counted(gpus, 'GPU')}: --gpus-per-worker 1, or a share such as 0.25."


def _connect(asked: Ray) -> None:
    before = signal.getsignal(signal.SIGTERM)
    main = threading.current_thread() is threading.main_thread()
    options: dict[str, Any] = {"address": asked.address, "runtime_env": _own_code()}
    if asked.address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # else Ray keeps one in the home folder, for which clusters that are started there would ask from then on
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        options = {"address": "local", "include_dashboard": False}
    try:
        ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **options)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        if asked.address is None:
            raise ArgumentError(f"Ray cannot be started here: {reason}.") from error
        raise ArgumentError(
            f"address (--address): {asked.address}: {reason}. Start a cluster with `ray start --head` on this machine"
            " and `ray start --address HOST:PORT` on others, or leave --address out for a Ray on this machine alone. If"
            " the cluster asks for a token (~/.ray/auth_token), set RAY_AUTH_MODE=token."
        ) from error
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)  # Ray would end the process at once


def _own_code() -> dict[str, Any]:
    """The user's own modules, for nodes that do not have them."""
    modules = own_modules()
    return {"py_modules": modules} if modules else {}


def _room_problems(asked: Ray) -> Iterator[Problem]:
    nodes = _alive()
    total = _sum(nodes)
    where = "this machine has" if asked.address is None else "the cluster has"
    most_cpus = max((node.get("CPU", 0.0) for node in nodes), default=0.0)
    if asked.cpus_per_worker > most_cpus:
        yield Problem(
            "cpus_per_worker (--cpus-per-worker)",
            f"a worker with {counted(asked.cpus_per_worker, 'CPU')} fits on no node; the largest one has"
            f" {most_cpus:g}. Give at most {max(1, int(most_cpus))}.",
        )
    if asked.gpus_per_worker and not total.get("GPU"):
        yield Problem(
            "gpus_per_worker (--gpus-per-worker)",
            f"{where} no GPU that Ray can see, but each worker is to get {asked.gpus_per_worker:g} of one. Leave the"
            " option out to train on the CPU, or add a node with a GPU.",
        )
    elif asked.cpus_per_worker <= most_cpus and not any(asked.fitting(node) for node in nodes):
        yield Problem(
            "cpus_per_worker (--cpus-per-worker)",
            f"no node has {_needs(asked)} at once. Give fewer CPUs for each worker.",
        )


def _machine_problems() -> Iterator[Problem]:
    others = sorted({node["NodeManagerHostname"] for node in _nodes()} - {socket.gethostname()})
    if others:
        yield Problem("storage (--storage)", file_on_one_machine(others))


def _nodes() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _free() -> dict[str, float]:
    free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    return free


def _alive() -> list[dict[str, float]]:
    return [node["Resources"] for node in _nodes()]


def _sum(nodes: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU")}


def _needs(asked: Ray) -> str:
    share = f" and {asked.gpus_per_worker:g} GPU" if asked.gpus_per_worker else ""
    return f"{counted(asked.cpus_per_worker, 'CPU')}{share}"


def _shown(head: tuple[str, int]) -> str:
    return f"{head[0]}:{head[1]}"


def _limited(action: Callable[[], object]) -> None:
    """Do something that may hang, and do not wait for its end."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(PATIENCE)
