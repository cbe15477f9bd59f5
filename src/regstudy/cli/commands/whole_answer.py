"""The command that does everything within a time budget."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from regstudy.cli.common_options import (
    DataDir,
    Device,
    SetOption,
    Storage,
    Threads,
    Workers,
    typed_command,
)
from regstudy.cli.completion import complete_subject
from regstudy.cli.console import out
from regstudy.cli.path_options import path_option


def answer(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="SPACE|PHOTOS",
            help="Name of a space, a YAML file, or a folder or CSV file of images.",
            autocompletion=complete_subject,
        ),
    ],
    budget: Annotated[str, typer.Option(help="Time for everything, earlier runs included: 20m, 8h, …")],
    margin: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Effects up to this do not matter: in points (default 0.3) or, where the loss decides, in nats.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--study", help="Name of the study. Default: the name of the space.")
    ] = None,
    sets: SetOption = [],  # noqa: B006
    results: Annotated[Path, path_option("--results", help="Folder that holds the studies.")] = Path("results"),
    data_dir: DataDir = Path("data"),
    storage: Storage = None,
    workers: Workers = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the plan, and the separate commands that do the same.")
    ] = False,
    no_doctor: Annotated[
        bool, typer.Option("--no-doctor", help="Skip the doctor's checks of data, split and network.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Go on even if the doctor reports a serious problem.")] = False,
    device: Device = None,
    threads: Threads = None,
) -> None:
    """From images to the answer in one command: search, confirm, take apart, train, within a time budget. Resumable."""
    began = time.time()  # before torch is loaded: that is part of the budget
    from regstudy.cli import answer_command

    arguments = {
        "subject": subject,
        "budget": budget,
        "margin": margin,
        "overrides": sets,
        "name": name,
        "results": results,
        "data_dir": data_dir,
        "storage": storage,
        "workers": workers,
        "doctor": not no_doctor,
        "force": force,
        "device": device,
        "threads": threads,
    }
    raise typer.Exit(answer_command.execute(out, dry_run, arguments, typed_command(), began))
