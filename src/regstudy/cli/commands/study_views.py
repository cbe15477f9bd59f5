"""The commands that show what a study has found, or take a configuration out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regstudy.cli.common_options import Overwrite, Storage, StudyName, StudyPath
from regstudy.cli.console import err, out
from regstudy.cli.name_options import name_option
from regstudy.cli.path_options import path_argument, path_option


def report(
    paths: Annotated[
        list[Path],
        path_argument(
            "The study folder",
            help="Study folder, such as results/svhn_resnet, or a database file. Several compare these studies.",
        ),
    ],
    storage: Storage = None,
    name: StudyName = None,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Keep the report up to date while the study runs, using at most 1% of CPU time."),
    ] = False,
    every: Annotated[
        float, typer.Option(min=1.0, help="With --watch: minimum number of seconds between two updates.")
    ] = 30.0,
    plots: Annotated[
        bool, typer.Option("--plots", help="Also write the figures as SVG files. Needs a browser.")
    ] = False,
    output: Annotated[
        Path | None,
        path_option("-o", "--output", help="With several studies: the page. Default: A-vs-B.html beside the first."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write (or rewrite) the report of a study or comparison, or compare several searched studies on one page."""
    from regstudy.cli import report_command

    if len(paths) > 1:
        raise typer.Exit(report_command.compare(paths, storage, name, watch, plots, output, out, overwrite))
    raise typer.Exit(report_command.execute(paths[0], storage, name, watch, every, plots, out, overwrite, output))


def dashboard(
    path: StudyPath,
    storage: Storage = None,
    name: StudyName = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 8080,
    refresh: Annotated[float, typer.Option(min=1.0, help="Seconds between checks for newly finished trials.")] = 30.0,
) -> None:
    """Open a study in the Optuna dashboard, with regstudy's figures and findings. No login, so local access only."""
    from regstudy.cli import dashboard_command

    raise typer.Exit(dashboard_command.execute(path, storage, name, port, refresh, out))


def export(
    path: StudyPath,
    storage: Storage = None,
    name: StudyName = None,
    output: Annotated[
        Path | None,
        path_option("-o", "--output", help="File to write. Default: best.yaml, best.json or train.py, by the format."),
    ] = None,
    file_format: Annotated[
        str | None,
        name_option(
            "format",
            ("yaml", "json", "python"),
            "--format",
            help="python: a training script without regstudy. Default: what the file's suffix says, else yaml.",
        ),
    ] = None,
    trial: Annotated[
        int | None,
        typer.Option(help="Number of the trial. Default: the winner of the confirmation runs, else the best one."),
    ] = None,
    rank: Annotated[int | None, typer.Option(help="Place of the trial in the ranking: 1 is the best.")] = None,
    simplest: Annotated[
        bool,
        typer.Option("--simplest", help="The fewest, weakest regularizers that cannot be distinguished from the best."),
    ] = False,
    pareto: Annotated[
        bool,
        typer.Option("--pareto", help="Only list the trials that no other beats in both metric and gap."),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Export a trial's configuration: YAML or JSON for `regstudy train`, or a plain PyTorch script."""
    from regstudy.cli import export_command

    arguments = {
        "format": file_format,
        "trial": trial,
        "rank": rank,
        "simplest": simplest,
        "study": name,
        "storage": storage,
        "overwrite": overwrite,
    }
    raise typer.Exit(export_command.execute(out, err, path, output, pareto, arguments))
