"""What a worker on a node is told before it begins, and whether the node is fit for the study."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from regstudy.errors import StudyError
from regstudy.files.paths import given_path
from regstudy.search.launcher import Ray
from regstudy.search.ray_worker import Arrival, Briefing
from regstudy.search.worker import Job
from regstudy.space.plan import Plan

LIBPQ = "PG"  # variables of PostgreSQL's client, such as PGPASSWORD, begin with it


def briefing_of(mark: Path, plan: Plan) -> Briefing:
    """What all workers of a plan are told; every node needs the files that its configurations name."""
    environment = {name: value for name, value in os.environ.items() if name.startswith(LIBPQ)}
    named = {config.model.weights for config in plan.representatives().values()} - {None}
    files = [path.absolute() for path in (given_path(str(name)) for name in named) if path.is_file()]
    return Briefing(mark, environment, tuple(sorted(files)))


def jobs_of(job: Job, count: int, asked: Ray) -> list[Job]:
    """One job per worker: each has the threads that were asked for, and its share of a GPU's memory."""
    device, gpus = "cuda" if asked.gpus_per_worker else "cpu", asked.gpus_per_worker
    options = replace(job.options, threads=asked.cpus_per_worker, device=device)
    share = gpus if 0 < gpus < 1 else None
    return [replace(job, worker=index, options=options, gpu_share=share) for index in range(count)]


def check_arrival(arrival: Arrival, versions: Mapping[str, str], host: str, asked: Ray, *, on_file: bool) -> None:
    """StudyError if a worker cannot work on its node.

    ``versions`` and ``host`` are those of this process; ``on_file``: the study's database is a file.
    """
    if arrival.versions != versions:
        differs = [
            f"{name} {arrival.versions[name]} instead of {ours}"
            for name, ours in versions.items()
            if arrival.versions[name] != ours
        ]
        raise StudyError(
            f"The node {arrival.host} has {' and '.join(differs)}. Install the same versions on every node, so that all"
            " trials are the same computation."
        )
    if on_file and not (arrival.host == host and arrival.sees_folder):
        raise StudyError(f"storage (--storage): {file_on_one_machine([arrival.host])}")
    if asked.gpus_per_worker and not arrival.cuda:
        raise StudyError(f"torch sees no GPU on the node {arrival.host}, where Ray has one. Install torch with CUDA.")
    if arrival.lacking:
        raise StudyError(
            f"The node {arrival.host} lacks the file {arrival.lacking[0]}, which the study names. Put it there, at the"
            " same path, or on a disk that all nodes share."
        )


def file_on_one_machine(others: list[str]) -> str:
    """Why a file is no storage for workers on other machines."""
    return (
        f"the cluster has other machines ({', '.join(others[:3])}{', …' if len(others) > 3 else ''}), which cannot use"
        " the study's database, a file on this one. Give a server that all of them reach: --storage"
        " postgresql://USER@HOST/DATABASE."
    )
