"""The commands. Heavy modules are imported inside them, so that `--help` answers at once."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from regstudy.errors import RegstudyError

SPIN_COUNT = "30000"
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
out = Console(soft_wrap=True, markup=False, highlight=False)
err = Console(soft_wrap=True, markup=False, highlight=False, stderr=True)

SetOption = Annotated[list[str], typer.Option("--set", metavar="A.B=C", help="Override a value; may be repeated.")]
DataDir = Annotated[Path, typer.Option(envvar="REGSTUDY_DATA", help="Where data sets are kept.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps; the fastest there is if not given.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads; curves are the same to the bit only with the same number.")
]
Storage = Annotated[str | None, typer.Option(help="Database server instead of a file: postgresql://user@host/name.")]
Workers = Annotated[int, typer.Option(min=1, max=256, help="Processes that share the cores, or take GPUs in turn.")]
StudyPath = Annotated[Path, typer.Argument(help="Folder of a study, such as results/svhn_resnet.")]


@app.callback()
def _about() -> None:
    """Find out which regularizers really close the gap between training and validation."""


@app.command()
def study(
    space: Annotated[str, typer.Option(help="Name of a space, or a YAML file.")],
    trials: Annotated[int, typer.Option(min=1, help="Finished trials in all, those of earlier runs included.")] = 50,
    name: Annotated[str | None, typer.Option("--study", help="Name of the study; the space's if not given.")] = None,
    sets: SetOption = [],  # noqa: B006
    results: Annotated[Path, typer.Option(help="Folder under which studies are kept.")] = Path("results"),
    data_dir: DataDir = Path("data"),
    storage: Storage = None,
    workers: Workers = 1,
    budget: Annotated[str | None, typer.Option(help="Start no trial after this time: 90s, 30m, 2h.")] = None,
    trial_timeout: Annotated[str | None, typer.Option(help="End a trial that takes longer, with its process.")] = None,
    pruner: Annotated[
        Literal["signal", "median", "hyperband", "none"], typer.Option(help="What cuts trials short; none for no cuts.")
    ] = "signal",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, say what it would cost, and stop.")
    ] = False,
    no_doctor: Annotated[
        bool, typer.Option("--no-doctor", help="Do not examine data, split and network first.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Start in spite of what the doctor found.")] = False,
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Search a space; the same command again goes on where it stopped."""
    from regstudy.cli import study_command

    arguments = {
        "trials": trials,
        "overrides": sets,
        "name": name,
        "results": results,
        "data_dir": data_dir,
        "storage": storage,
        "workers": workers,
        "budget": budget,
        "trial_timeout": trial_timeout,
        "pruner": pruner,
        "doctor": not no_doctor,
        "force": force,
        "device": device,
        "threads": threads,
        "command": _typed(),
    }
    raise typer.Exit(study_command.execute(out, space, dry_run, arguments))


@app.command()
def compare(
    spaces: Annotated[list[str], typer.Argument(metavar="SPACE...", help="Names of spaces, or YAML files.")],
    arms: Annotated[
        list[str], typer.Option("--arm", metavar="NAME: A.B=C, …", help="Values instead of a file's; may be repeated.")
    ] = [],  # noqa: B006
    repeats: Annotated[
        int, typer.Option(min=1, max=1000, help="Seeds per arm in all, those of earlier runs included.")
    ] = 5,
    margin: Annotated[float, typer.Option(min=0.0, help="Points of accuracy up to which arms count as equal.")] = 0.3,
    name: Annotated[str | None, typer.Option("--study", help="Name of the study; the files' if not given.")] = None,
    sets: SetOption = [],  # noqa: B006
    results: Annotated[Path, typer.Option(help="Folder under which studies are kept.")] = Path("results"),
    data_dir: DataDir = Path("data"),
    storage: Storage = None,
    workers: Workers = 1,
    budget: Annotated[str | None, typer.Option(help="Start no run after this time: 90s, 30m, 2h.")] = None,
    trial_timeout: Annotated[str | None, typer.Option(help="End a run that takes longer, with its process.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, say what it would cost, and stop.")
    ] = False,
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Run fixed configurations with several seeds each, and say how they differ and how sure that is."""
    from regstudy.cli import compare_command

    arguments = {
        "arms": arms,
        "repeats": repeats,
        "margin": margin,
        "overrides": sets,
        "name": name,
        "results": results,
        "data_dir": data_dir,
        "storage": storage,
        "workers": workers,
        "budget": budget,
        "trial_timeout": trial_timeout,
        "device": device,
        "threads": threads,
        "command": _typed(),
    }
    raise typer.Exit(compare_command.execute(out, spaces, dry_run, arguments))


@app.command()
def worker(
    name: Annotated[str, typer.Option("--study", help="Name of the study.")],
    storage: Annotated[str, typer.Option(help="Database server of the study: postgresql://user@host/name.")],
    workers: Workers = 1,
    results: Annotated[Path, typer.Option(help="Folder for checkpoints and weights on this machine.")] = Path(
        "results"
    ),
    data_dir: DataDir = Path("data"),
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Help with a study that was started elsewhere, until none of its trials is waiting."""
    from regstudy.cli import worker_command

    raise typer.Exit(worker_command.execute(out, name, storage, workers, results, data_dir, device, threads))


@app.command()
def report(
    path: StudyPath,
    storage: Storage = None,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Write it again as the study moves on, 100 × its CPU time apart."),
    ] = False,
    every: Annotated[float, typer.Option(min=1.0, help="With --watch: seconds between two reports, at least.")] = 30.0,
    plots: Annotated[bool, typer.Option("--plots", help="Draw the figures as SVG files too; needs a browser.")] = False,
) -> None:
    """Write the report of a study anew, or the page of a comparison."""
    from regstudy.cli import report_command

    raise typer.Exit(report_command.execute(path, storage, watch, every, plots, out))


@app.command()
def dashboard(
    path: StudyPath,
    storage: Storage = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 8080,
    refresh: Annotated[float, typer.Option(min=1.0, help="Seconds between looks for trials that have ended.")] = 30.0,
) -> None:
    """Open the Optuna dashboard on a study, with our plots and findings in it. It has no login: this machine only."""
    from regstudy.cli import dashboard_command

    raise typer.Exit(dashboard_command.execute(path, storage, port, refresh, out))


@app.command()
def export(
    path: StudyPath,
    storage: Storage = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write.")] = Path("best.yaml"),
    trial: Annotated[int | None, typer.Option(help="Number of the trial; the best one if not given.")] = None,
) -> None:
    """Write the configuration of a study's best trial to a file that `regstudy train` reads."""
    from regstudy.files import write_atomically
    from regstudy.production.export import chosen_trial, config_file
    from regstudy.study.place import StudyPlace, open_study

    opened = open_study(StudyPlace(path, storage))
    chosen = chosen_trial(opened, trial)
    write_atomically(output, config_file(opened, chosen))
    out.print(f"Wrote trial {chosen.number} to {output}. Train on it: regstudy train {output} -o out")


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="A configuration without ranges, as `regstudy export` writes.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for weights, metrics and curves.")] = Path(
        "out"
    ),
    sets: SetOption = [],  # noqa: B006
    init: Annotated[
        Path | None, typer.Option(help="File of weights to start from, as with --set model.weights=…")
    ] = None,
    data_dir: DataDir = Path("data"),
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Train on one configuration, keep the best weights, and open the test part once at the end."""
    from regstudy.cli import train_command

    if init is not None:
        sets = [*sets, f"model.weights={init}"]
    arguments = {"overrides": sets, "data_dir": data_dir, "device": device, "threads": threads}
    raise typer.Exit(train_command.execute(out, config, output, arguments))


@app.command()
def preview(
    space: Annotated[str, typer.Argument(help="Name of a space, or a YAML file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="PNG file to write.")] = Path("preview.png"),
    sets: SetOption = [],  # noqa: B006
    images: Annotated[int, typer.Option(min=1, max=64, help="How many training images to show.")] = 8,
    data_dir: DataDir = Path("data"),
) -> None:
    """Show what a space does to its training images, at rising strength."""
    from regstudy.cli import preview_command

    raise typer.Exit(preview_command.execute(space, output, tuple(sets), data_dir, images, out))


@app.command()
def doctor(
    subject: Annotated[
        str, typer.Argument(metavar="SPACE|CONFIG|STUDY", help="Name of a space, a YAML file, or a study's folder.")
    ],
    preflight: Annotated[
        bool, typer.Option("--preflight", help="Only what takes seconds: hardly any training. Studies begin with it.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Longer trainings as well, such as on parts of the data.")
    ] = False,
    sets: SetOption = [],  # noqa: B006
    json: Annotated[Path | None, typer.Option("--json", help="Write the findings to a file; - prints them.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write a page with pictures: NAME.html.")
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Print the file with what can be mended: … --fix > fixed.yaml.")
    ] = False,
    storage: Storage = None,
    data_dir: DataDir = Path("data"),
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Find out what would make a study meaningless: leaks, wrong labels, a bad split, a network that cannot learn."""
    from regstudy.cli import doctor_command

    request = doctor_command.Request(
        subject=subject,
        sets=tuple(sets),
        data_dir=data_dir,
        storage=storage,
        preflight=preflight,
        full=full,
        json=json,
        output=output,
        fix=fix,
        device=device,
        threads=threads,
    )
    raise typer.Exit(doctor_command.execute(request, out, err))


@app.command()
def spaces() -> None:
    """List the spaces that can be searched by name."""
    from regstudy.space.loader import known_spaces, question, size_in_words

    for name, path in known_spaces().items():
        out.print(f"{name}\n    {question(path)}\n    {size_in_words(path)}")
    out.print("Look into one with `regstudy preview NAME`, search it with `regstudy study --space NAME`.")


def main(arguments: list[str] | None = None) -> None:
    """Run a command; errors that are the user's to mend become one paragraph and exit code 2."""
    # Threads that wait for each other would spin for milliseconds, which takes the cores from other programs and from
    # each other; too short a wait costs as well (dropout_cnn, batch 32, images/s alone and beside two busy programs:
    # 1,000 turns 5,800 and 1,170; 30,000 turns 6,380 and 2,860).
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    try:
        app(arguments, prog_name="regstudy")
    except RegstudyError as error:
        Console(stderr=True, soft_wrap=True).print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(2)


def _typed() -> str:
    """The command line as the user typed it, without the path of the interpreter's scripts and without passwords."""
    from regstudy.study.storage import masked

    script = Path(sys.argv[0]).name
    program = ["python", "-m", "regstudy"] if script == "__main__.py" else [script]
    return masked(shlex.join([*program, *sys.argv[1:]]))
