"""Options and arguments that several commands share, and the command line as it was typed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from regstudy.cli.path_options import path_argument, path_option
from regstudy.search.search_options import LIMITS

MOST_WORKERS = LIMITS["workers"]


def number_of_workers(text: str) -> int | Literal["auto"]:
    """The value of --workers where it may be measured; typer.BadParameter for another one."""
    if text == "auto":
        return "auto"
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_WORKERS:
        raise typer.BadParameter(f"{text!r} is neither auto nor a whole number from 1 to {MOST_WORKERS}.")
    return int(text)


SetOption = Annotated[
    list[str], typer.Option("--set", metavar="A.B=C", help="Override a configuration value. Repeatable.")
]
DataDir = Annotated[Path, path_option("--data-dir", envvar="REGSTUDY_DATA", help="Folder for data sets.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps. Default: the fastest one available.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads. Results are bit-identical only with the same number of threads.")
]
Storage = Annotated[
    str | None, typer.Option(help="Database server to use instead of a file: postgresql://user@host/name.")
]
Workers = Annotated[
    int,
    typer.Option(
        min=1, max=MOST_WORKERS, help="Worker processes. They share the CPU cores, or are spread over the GPUs."
    ),
]
MeasuredWorkers = Annotated[
    Any,
    typer.Option(
        parser=number_of_workers,
        metavar="N|auto",
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


def typed_command() -> str:
    """The command line as the user typed it, without the interpreter's path and without passwords."""
    from regstudy.study.passwords import masked_words

    script = Path(sys.argv[0]).name
    program = ["python", "-m", "regstudy"] if script == "__main__.py" else [script]
    program = ["python", script] if script == "study.py" else program
    return shlex.join([*program, *masked_words(sys.argv[1:])])
