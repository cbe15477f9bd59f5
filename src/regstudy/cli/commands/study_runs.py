"""The commands that run a study, or more runs of one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regstudy.cli.common_options import (
    Address,
    CpusPerWorker,
    DataDir,
    DataOnNodes,
    Device,
    GpusPerWorker,
    Launcher,
    MeasuredWorkers,
    OnlyCheck,
    RunBudget,
    RunTimeout,
    RunWorkers,
    SetOption,
    Storage,
    StudyName,
    StudyPath,
    Threads,
    Workers,
    launcher_of,
    typed_command,
)
from regstudy.cli.completion import complete_space
from regstudy.cli.console import out
from regstudy.cli.name_options import name_option
from regstudy.cli.path_options import path_option
from regstudy.search.search_options import PRUNERS, UNTILS, PrunerName, Until


def study(
    space: Annotated[
        str,
        typer.Option(help="Name of a space (see `regstudy spaces`), or a YAML file.", autocompletion=complete_space),
    ],
    trials: Annotated[
        int, typer.Option(min=1, max=10_000_000, help="Total number of finished trials, including earlier runs.")
    ] = 50,
    name: Annotated[
        str | None, typer.Option("--study", help="Name of the study. Default: the name of the space.")
    ] = None,
    sets: SetOption = [],  # noqa: B006
    results: Annotated[Path, path_option("--results", help="Folder that holds the studies.")] = Path("results"),
    data_dir: DataDir = Path("data"),
    storage: Storage = None,
    workers: MeasuredWorkers = "auto",
    budget: Annotated[str | None, typer.Option(help="Time budget: start no new trial after 90s, 30m, 2h, …")] = None,
    trial_timeout: Annotated[
        str | None, typer.Option(help="Kill a trial that takes longer than this: 90s, 30m, 2h, …")
    ] = None,
    pruner: Annotated[
        PrunerName,
        name_option(
            "pruner", PRUNERS, "--pruner", help="Pruning strategy; 'signal' is regstudy's own, 'none' disables pruning."
        ),
    ] = "signal",
    confirm: Annotated[
        float | None,
        typer.Option(
            help="Share of the trials that confirm the winner with fresh seeds; 0 turns it off. Default: 0.3.",
        ),
    ] = None,
    until: Annotated[
        Until,
        name_option(
            "end of the search",
            UNTILS,
            "--until",
            help="'worth' ends the search once the next ten trials would gain too little; the trials and the time that"
            " are left confirm the winner.",
        ),
    ] = "trials",
    tries: Annotated[
        list[str],
        typer.Option(
            "--try",
            metavar="FILE",
            help="Try this configuration first: a file as `regstudy export` writes it, or some hyperparameters as"
            " path: value. Repeatable.",
        ),
    ] = [],  # noqa: B006
    sources: Annotated[
        list[str],
        typer.Option(
            "--from",
            metavar="STUDY",
            help="Start from what an earlier study has found: its folder. Its trials do not count. Repeatable.",
        ),
    ] = [],  # noqa: B006
    dry_run: OnlyCheck = False,
    no_doctor: Annotated[
        bool, typer.Option("--no-doctor", help="Skip the doctor's checks of data, split and network before the study.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Start even if the doctor reports a serious problem.")] = False,
    device: Device = None,
    threads: Threads = None,
    launcher: Launcher = "local",
    address: Address = None,
    gpus_per_worker: GpusPerWorker = None,
    cpus_per_worker: CpusPerWorker = None,
    data_on_nodes: DataOnNodes = False,
) -> None:
    """Run a hyperparameter study and confirm its winner with fresh seeds. Re-running the same command resumes it."""
    from regstudy.cli import study_command

    ray = launcher_of(launcher, address, gpus_per_worker, cpus_per_worker, data_on_nodes)
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
        "confirm": confirm,
        "until": until,
        "try_first": tries,
        "start_from": sources,
        "doctor": not no_doctor,
        "force": force,
        "device": device,
        "threads": threads,
        "launcher": ray,
        "command": typed_command(),
    }
    raise typer.Exit(study_command.execute(out, space, dry_run, arguments))


def compare(
    spaces: Annotated[
        list[str],
        typer.Argument(metavar="SPACE...", help="Names of spaces, or YAML files.", autocompletion=complete_space),
    ],
    arms: Annotated[
        list[str],
        typer.Option(
            "--arm",
            metavar="NAME: A.B=C, …",
            help="An arm (one configuration to compare): its name and the values it overrides. Repeatable.",
        ),
    ] = [],  # noqa: B006
    repeats: Annotated[
        int, typer.Option(min=1, max=1000, help="Total number of seeds per arm, including earlier runs.")
    ] = 5,
    margin: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Arms that differ by at most this count as equal: in points (default 0.3) or, where the loss decides, "
            "in nats (default 0.003).",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--study", help="Name of the study. Default: compare- and the names of the files.")
    ] = None,
    sets: SetOption = [],  # noqa: B006
    results: Annotated[Path, path_option("--results", help="Folder that holds the studies.")] = Path("results"),
    data_dir: DataDir = Path("data"),
    storage: Storage = None,
    workers: RunWorkers = None,
    budget: RunBudget = None,
    trial_timeout: RunTimeout = None,
    dry_run: OnlyCheck = False,
    device: Device = None,
    threads: Threads = None,
    launcher: Launcher = "local",
    address: Address = None,
    gpus_per_worker: GpusPerWorker = None,
    cpus_per_worker: CpusPerWorker = None,
    data_on_nodes: DataOnNodes = False,
) -> None:
    """Compare fixed configurations over several seeds. Re-running the same command resumes it."""
    from regstudy.cli import compare_command

    ray = launcher_of(launcher, address, gpus_per_worker, cpus_per_worker, data_on_nodes)
    arguments = {
        "arms": arms,
        "repeats": repeats,
        "margin": margin,
        "overrides": sets,
        "name": name,
        "results": results,
        "data_dir": data_dir,
        "storage": storage,
        "workers": workers or ("auto" if ray else 1),
        "budget": budget,
        "trial_timeout": trial_timeout,
        "device": device,
        "threads": threads,
        "launcher": ray,
        "command": typed_command(),
    }
    raise typer.Exit(compare_command.execute(out, spaces, dry_run, arguments))


def confirm(
    path: StudyPath,
    runs: Annotated[
        int | None,
        typer.Option(
            help="Total number of confirmation runs, including earlier ones. Default: as many as were asked for, else"
            " three for seven trials of the search.",
        ),
    ] = None,
    storage: Storage = None,
    name: StudyName = None,
    data_dir: DataDir = Path("data"),
    workers: RunWorkers = None,
    budget: RunBudget = None,
    trial_timeout: RunTimeout = None,
    dry_run: OnlyCheck = False,
    device: Device = None,
    threads: Threads = None,
    launcher: Launcher = "local",
    address: Address = None,
    gpus_per_worker: GpusPerWorker = None,
    cpus_per_worker: CpusPerWorker = None,
    data_on_nodes: DataOnNodes = False,
) -> None:
    """Confirm the winner of a study: train the leaders and the baseline again with fresh seeds. Resumable."""
    from regstudy.cli import confirm_command

    ray = launcher_of(launcher, address, gpus_per_worker, cpus_per_worker, data_on_nodes)
    arguments = {
        "runs": runs,
        "study": name,
        "storage": storage,
        "data_dir": data_dir,
        "workers": workers or ("auto" if ray else 1),
        "budget": budget,
        "trial_timeout": trial_timeout,
        "device": device,
        "threads": threads,
        "launcher": ray,
    }
    raise typer.Exit(confirm_command.execute(out, path, dry_run, arguments))


def ablate(
    path: StudyPath,
    runs: Annotated[
        int | None,
        typer.Option(min=1, max=10_000_000, help="Total number of runs, including earlier ones. Default: 70."),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Differences up to this do not matter: in points (default 0.3) or, where the loss decides, in nats.",
        ),
    ] = None,
    fine: Annotated[bool, typer.Option("--fine", help="Leave out each augmentation operation by itself.")] = False,
    add_one_in: Annotated[
        bool, typer.Option("--add-one-in", help="Also train the baseline with each regularizer alone.")
    ] = False,
    interactions: Annotated[
        bool, typer.Option("--interactions", help="Train every on/off combination of two to four active regularizers.")
    ] = False,
    retune_lr: Annotated[
        bool,
        typer.Option("--retune-lr", help="Choose each arm's learning rate first, by runs that enter no comparison."),
    ] = False,
    storage: Storage = None,
    name: StudyName = None,
    data_dir: DataDir = Path("data"),
    workers: RunWorkers = None,
    budget: RunBudget = None,
    trial_timeout: RunTimeout = None,
    dry_run: OnlyCheck = False,
    device: Device = None,
    threads: Threads = None,
    launcher: Launcher = "local",
    address: Address = None,
    gpus_per_worker: GpusPerWorker = None,
    cpus_per_worker: CpusPerWorker = None,
    data_on_nodes: DataOnNodes = False,
) -> None:
    """Find out which regularizer did it: train the winner of a study again without each of them. Resumable."""
    from regstudy.cli import ablate_command

    ray = launcher_of(launcher, address, gpus_per_worker, cpus_per_worker, data_on_nodes)
    arguments = {
        "runs": runs,
        "margin": margin,
        "fine": fine,
        "add_one_in": add_one_in,
        "interactions": interactions,
        "retune_lr": retune_lr,
        "study": name,
        "storage": storage,
        "data_dir": data_dir,
        "workers": workers or ("auto" if ray else 1),
        "budget": budget,
        "trial_timeout": trial_timeout,
        "device": device,
        "threads": threads,
        "launcher": ray,
    }
    raise typer.Exit(ablate_command.execute(out, path, dry_run, arguments))


def worker(
    name: Annotated[str, typer.Option("--study", help="Name of the study.")],
    storage: Annotated[
        str,
        typer.Option(help="Database of the study: postgresql://user@host/name, or sqlite:///results/NAME/study.db."),
    ],
    workers: Workers = 1,
    results: Annotated[
        Path, path_option("--results", help="Folder for checkpoints and weights on this machine.")
    ] = Path("results"),
    data_dir: DataDir = Path("data"),
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Help with a running study, from this or another machine. It ends when nothing is left to run."""
    from regstudy.cli import worker_command

    raise typer.Exit(worker_command.execute(out, name, storage, workers, results, data_dir, device, threads))
