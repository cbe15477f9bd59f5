"""Where the workers of a study run, if not as processes of this machine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from regstudy.errors import Problem, argument_error, did_you_mean

MOST_CPUS = 1024  # of a worker


@dataclass(frozen=True)
class Ray:
    """Workers are actors of a Ray cluster. Without ``address``, a Ray is started on this machine and ended again.

    - ``address``: of a running cluster, ``"host:port"``; ``"auto"``: the one to which this machine belongs.
    - ``gpus_per_worker``: a share of a GPU such as 0.25, or 1; 0: workers train on the CPU.
    - ``cpus_per_worker``: also the number of threads of each worker, so the same number gives the same curves.
    - ``data_on_nodes``: every node reads the images from its own ``data_dir`` instead of getting them from here.

    Raises ArgumentError that lists every invalid value.
    """

    address: str | None = None
    gpus_per_worker: float = 0.0
    cpus_per_worker: int = 1
    data_on_nodes: bool = False

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise argument_error(problems)

    @property
    def needs(self) -> dict[str, float]:
        """What a worker takes of a node, by the name of Ray's resource."""
        return {"CPU": self.cpus_per_worker} | ({"GPU": self.gpus_per_worker} if self.gpus_per_worker else {})

    def _problems(self) -> Iterator[Problem]:
        yield from _address_problems(self.address)
        share, cpus = self.gpus_per_worker, self.cpus_per_worker
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            yield Problem(
                "gpus_per_worker (--gpus-per-worker)",
                "must be a share of one GPU from 0 (none) to 1, such as 0.25 for four workers on each, but it is"
                f" {share!r}. A training uses one GPU; use more of them with more workers.",
            )
        if isinstance(cpus, bool) or not isinstance(cpus, int) or not 1 <= cpus <= MOST_CPUS:
            yield Problem(
                "cpus_per_worker (--cpus-per-worker)",
                f"must be a whole number from 1 to {MOST_CPUS:,}, but it is {cpus!r}.",
            )
        if not isinstance(self.data_on_nodes, bool):
            yield Problem(
                "data_on_nodes (--data-on-nodes)", f"must be True or False, but it is {self.data_on_nodes!r}."
            )

    def fitting(self, node: dict[str, float]) -> int:
        """How many workers fit on a node with these resources; a share of a GPU lies on one GPU."""
        by_cpu = math.floor(node.get("CPU", 0) / self.cpus_per_worker + 1e-9)
        if not self.gpus_per_worker:
            return by_cpu
        return min(by_cpu, math.floor(node.get("GPU", 0)) * math.floor(1 / self.gpus_per_worker + 1e-9))


def _address_problems(address: object) -> Iterator[Problem]:
    where, allowed = "address (--address)", "must be auto or HOST:PORT of a running Ray cluster, such as 10.0.0.5:6379"
    if address is None or address == "auto":
        return
    if not isinstance(address, str):
        yield Problem(where, f"{allowed}, but it is {address!r}.")
        return
    if address.startswith("ray://"):
        yield Problem(
            where,
            f"{allowed}, but it is {address!r}, of a Ray client. Give the command on a node of the cluster, with"
            " --address auto.",
        )
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in address or not (port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
        yield Problem(where, f"{allowed}, but it is {address!r}.{did_you_mean(address, ['auto'])}")
