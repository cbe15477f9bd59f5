"""Options and arguments that several commands share, and the command line as it was typed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from regstudy.cli.name_options import device_option, name_option, number_or_auto
from regstudy.cli.path_options import path_argument, path_option
from regstudy.errors import ArgumentError
from regstudy.search.launcher import Ray
from regstudy.search.search_options import LIMITS
from regstudy.text import listing

MOST_WORKERS = LIMITS["workers"]

SetOption = Annotated[
    list[str], typer.Option("--set", metavar="A.B=C", help="Override a configuration value. Repeatable.")
]
DataDir = Annotated[Path, path_option("--data-dir", envvar="REGSTUDY_DATA", help="Folder for data sets.")]
Device = Annotated[
    str | None,
    device_option(help="cpu, cuda, or mps, or one of several GPUs, such as cuda:1. Default: the fastest available."),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads. Results are bit-identical only with the same number of threads.")
]
Storage = Annotated[
    str | None, typer.Option(help="Database server to use instead of a file: postgresql://user@host/name.")
]
RunWorkers = Annotated[
    Any,
    number_or_auto(
        MOST_WORKERS,
        "--workers",
        help="Workers: processes that share the CPU cores, or are spread over the GPUs (default 1), or actors of Ray"
        " (default auto: as many as fit).",
    ),
]
Launcher = Annotated[
    Literal["local", "ray"],
    name_option(
        "launcher",
        ("local", "ray"),
        "--launcher",
        help="Where workers run: processes of this machine, or actors of a Ray cluster (extra 'ray').",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="auto|HOST:PORT",
        help="Ray cluster to use. Default: start Ray on this machine for this command. auto: the running one.",
    ),
]
GpusPerWorker = Annotated[
    float | None,
    typer.Option(help="GPUs of each Ray worker: 1, or a share such as 0.25. Default: 0, the CPU."),
]
CpusPerWorker = Annotated[int | None, typer.Option(help="CPUs and threads of each Ray worker. Default: 1.")]
DataOnNodes = Annotated[
    bool, typer.Option("--data-on-nodes", help="Every node of Ray reads the images from its own --data-dir.")
]
Workers = Annotated[
    int,
    typer.Option(
        min=1, max=MOST_WORKERS, help="Worker processes. They share the CPU cores, or are spread over the GPUs."
    ),
]
MeasuredWorkers = Annotated[
    Any,
    number_or_auto(
        MOST_WORKERS,
        "--workers",
        help="Worker processes. They share the CPU cores, or are spread over the GPUs. auto: as many as a short"
        " measurement finds fastest for a study that takes minutes on a CPU, else 1.",
    ),
]
StudyPath = Annotated[
    Path, path_argument("The study folder", help="Study folder, such as results/svhn_resnet, or a database file.")
]
StudyName = Annotated[
    str | None, typer.Option("--study", help="Name of the study, if the database holds several. Default: the folder's.")
]
RunBudget = Annotated[str | None, typer.Option(help="Time budget: start no new run after 90s, 30m, 2h, …")]
RunTimeout = Annotated[str | None, typer.Option(help="Kill a run that takes longer than this: 90s, 30m, 2h, …")]
OnlyCheck = Annotated[bool, typer.Option("--dry-run", help="Check everything and estimate the cost, but do not start.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace existing files even if this command did not write them.")
]


def launcher_of(
    launcher: str, address: str | None, gpus: float | None, cpus: int | None, data_on_nodes: bool
) -> Ray | None:
    """The launcher that options ask for; ArgumentError for those that only fit another one."""
    if launcher == "ray":
        return Ray(address, 0.0 if gpus is None else gpus, 1 if cpus is None else cpus, data_on_nodes)
    only = {
        "--address": address is not None,
        "--gpus-per-worker": gpus is not None,
        "--cpus-per-worker": cpus is not None,
        "--data-on-nodes": data_on_nodes,
    }
    if wrong := [name for name, given in only.items() if given]:
        raise ArgumentError(
            f"{listing(wrong)} {'is' if len(wrong) == 1 else 'are'} only for workers on Ray: add --launcher ray, or"
            f" leave {'it' if len(wrong) == 1 else 'them'} out."
        )
    return None


def typed_command() -> str:
    """The command line as the user typed it, without the interpreter's path and without passwords."""
    from regstudy.study.passwords import masked_words

    script = Path(sys.argv[0]).name
    program = ["python", "-m", "regstudy"] if script == "__main__.py" else [script]
    program = ["python", script] if script == "study.py" else program
    return shlex.join([*program, *masked_words(sys.argv[1:])])
