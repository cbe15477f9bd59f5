"""The commands for the time before a study: which spaces there are, and whether images and network are sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regstudy.cli.common_options import DataDir, Device, Overwrite, SetOption, Storage, StudyName, Threads
from regstudy.cli.completion import complete_shipped, complete_space
from regstudy.cli.console import err, out
from regstudy.cli.path_options import path_argument, path_option


def init(
    photos: Annotated[
        Path | None,
        path_argument(
            "The folder of images",
            metavar="PHOTOS",
            help="Folder with one subfolder of images per class, perhaps within train, val, test; or a CSV file.",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="SPACE", help="Copy this shipped space.", autocompletion=complete_shipped),
    ] = None,
    output: Annotated[
        Path | None,
        path_option("-o", "--output", help="YAML file to write. Default: the folder's name with .yaml."),
    ] = None,
    budget: Annotated[str | None, typer.Option(help="Time that 50 trials may take: 20m, 8h, … Default: 2h30m.")] = None,
    device: Device = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a first space for your images: with comments, and so that 50 trials fit an evening on this machine."""
    from regstudy.cli import init_command

    raise typer.Exit(init_command.execute(out, photos, source, output, device, threads, overwrite, budget))


def preview(
    space: Annotated[
        str,
        typer.Argument(help="Name of a space (see `regstudy spaces`), or a YAML file.", autocompletion=complete_space),
    ],
    output: Annotated[Path, path_option("-o", "--output", help="PNG file to write.")] = Path("preview.png"),
    sets: SetOption = [],  # noqa: B006
    images: Annotated[int, typer.Option(min=1, max=64, help="Number of training images to show.")] = 8,
    data_dir: DataDir = Path("data"),
    overwrite: Overwrite = False,
) -> None:
    """Draw training images at increasing augmentation strength. The result is one PNG file."""
    from regstudy.cli import preview_command

    raise typer.Exit(preview_command.execute(space, output, tuple(sets), data_dir, images, out, overwrite))


def doctor(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="SPACE|CONFIG|STUDY",
            help="Name of a space, a YAML file, or a study folder.",
            autocompletion=complete_space,
        ),
    ],
    preflight: Annotated[
        bool,
        typer.Option(
            "--preflight", help="Only the quick checks, with hardly any training. Every study runs these first."
        ),
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Also run the slow checks, such as training on parts of the data.")
    ] = False,
    sets: SetOption = [],  # noqa: B006
    json: Annotated[
        Path | None, path_option("--json", help="Write the findings as JSON to a file; - prints them.")
    ] = None,
    output: Annotated[
        Path | None, path_option("-o", "--output", help="Write an HTML page with figures: NAME.html.")
    ] = None,
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Print the configuration with the fixable problems fixed: … --fix > fixed.yaml."),
    ] = False,
    storage: Storage = None,
    name: StudyName = None,
    data_dir: DataDir = Path("data"),
    device: Device = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Check for problems that would make a study meaningless. Examples: data leaks, wrong labels, dead networks."""
    from regstudy.cli import doctor_command

    request = doctor_command.Request(
        subject=subject,
        sets=tuple(sets),
        data_dir=data_dir,
        storage=storage,
        name=name,
        preflight=preflight,
        full=full,
        json=json,
        output=output,
        fix=fix,
        device=device,
        threads=threads,
        overwrite=overwrite,
    )
    raise typer.Exit(doctor_command.execute(request, out, err))


def spaces() -> None:
    """List the spaces that can be used by name."""
    from regstudy.space.loader import known_spaces, question, size_in_words

    for name, path in known_spaces().items():
        out.print("\n    ".join(line for line in (name, question(path), size_in_words(path)) if line))
    out.print("Preview one with `regstudy preview NAME`; run it with `regstudy study --space NAME`.")
