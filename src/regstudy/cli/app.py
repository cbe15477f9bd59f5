"""The commands. Heavy modules are imported inside them, so that `--help` answers instantly."""

from __future__ import annotations

import json as json_format
import os
import shlex
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from regstudy.cli.completion import complete_space
from regstudy.cli.console import err, out
from regstudy.cli.path_options import path_argument, path_option
from regstudy.cli.signals import ending_on_signals
from regstudy.cli.trained_options import Images, Onnx, PredictionsFile, Pt2, TrainedFolder, formats
from regstudy.config.user_code import user_code
from regstudy.errors import RegstudyError
from regstudy.files.paths import system_error

SPIN_COUNT = "30000"


class Commands(TyperGroup):
    """The commands; a `sys.exit(0)` in code that they call must not end the program as if all were done."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except SystemExit as error:
            if error.code not in (0, None):
                raise  # as rich does when nobody reads its output any more
            with user_code("The command", RegstudyError):
                raise


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)

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
    int, typer.Option(min=1, max=256, help="Worker processes. They share the CPU cores, or are spread over the GPUs.")
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


def _show_version(wanted: bool) -> None:
    if wanted:
        from regstudy import __version__

        out.print(f"regstudy {__version__}")
        raise typer.Exit


@app.callback()
def _about(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the whole traceback of every error, also of failed trials.")
    ] = False,
) -> None:
    """Find out which regularizers really close the train/validation gap of an image classifier."""


@app.command()
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
    workers: Workers = 1,
    budget: Annotated[str | None, typer.Option(help="Time budget: start no new trial after 90s, 30m, 2h, …")] = None,
    trial_timeout: Annotated[
        str | None, typer.Option(help="Kill a trial that takes longer than this: 90s, 30m, 2h, …")
    ] = None,
    pruner: Annotated[
        Literal["signal", "median", "hyperband", "none"],
        typer.Option(help="Pruning strategy; 'signal' is regstudy's own, 'none' disables pruning."),
    ] = "signal",
    confirm: Annotated[
        float | None,
        typer.Option(
            help="Share of the trials that confirm the winner with fresh seeds; 0 turns it off. Default: 0.3.",
        ),
    ] = None,
    dry_run: OnlyCheck = False,
    no_doctor: Annotated[
        bool, typer.Option("--no-doctor", help="Skip the doctor's checks of data, split and network before the study.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Start even if the doctor reports a serious problem.")] = False,
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Run a hyperparameter study and confirm its winner with fresh seeds. Re-running the same command resumes it."""
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
        "confirm": confirm,
        "doctor": not no_doctor,
        "force": force,
        "device": device,
        "threads": threads,
        "command": _typed(),
    }
    raise typer.Exit(study_command.execute(out, space, dry_run, arguments))


@app.command()
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
    workers: Workers = 1,
    budget: RunBudget = None,
    trial_timeout: RunTimeout = None,
    dry_run: OnlyCheck = False,
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Compare fixed configurations over several seeds. Re-running the same command resumes it."""
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
    workers: Workers = 1,
    budget: RunBudget = None,
    trial_timeout: RunTimeout = None,
    dry_run: OnlyCheck = False,
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Confirm the winner of a study: train the leaders and the baseline again with fresh seeds. Resumable."""
    from regstudy.cli import confirm_command

    arguments = {
        "runs": runs,
        "study": name,
        "storage": storage,
        "data_dir": data_dir,
        "workers": workers,
        "budget": budget,
        "trial_timeout": trial_timeout,
        "device": device,
        "threads": threads,
    }
    raise typer.Exit(confirm_command.execute(out, path, dry_run, arguments))


@app.command()
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
    workers: Workers = 1,
    budget: RunBudget = None,
    trial_timeout: RunTimeout = None,
    dry_run: OnlyCheck = False,
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Find out which regularizer did it: train the winner of a study again without each of them. Resumable."""
    from regstudy.cli import ablate_command

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
        "workers": workers,
        "budget": budget,
        "trial_timeout": trial_timeout,
        "device": device,
        "threads": threads,
    }
    raise typer.Exit(ablate_command.execute(out, path, dry_run, arguments))


@app.command()
def worker(
    name: Annotated[str, typer.Option("--study", help="Name of the study.")],
    storage: Annotated[str, typer.Option(help="Database server that holds the study: postgresql://user@host/name.")],
    workers: Workers = 1,
    results: Annotated[
        Path, path_option("--results", help="Folder for checkpoints and weights on this machine.")
    ] = Path("results"),
    data_dir: DataDir = Path("data"),
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Run trials of a study started on another machine. It ends when nothing is left to run."""
    from regstudy.cli import worker_command

    raise typer.Exit(worker_command.execute(out, name, storage, workers, results, data_dir, device, threads))


@app.command()
def report(
    path: StudyPath,
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
    overwrite: Overwrite = False,
) -> None:
    """Write (or rewrite) the report of a study or comparison."""
    from regstudy.cli import report_command

    raise typer.Exit(report_command.execute(path, storage, name, watch, every, plots, out, overwrite))


@app.command()
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


@app.command()
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
        typer.Option(
            "--format",
            metavar="yaml|json|python",
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


@app.command()
def train(
    config: Annotated[
        Path,
        path_argument(
            "The configuration file", help="Configuration file without ranges, as written by `regstudy export`."
        ),
    ],
    output: Annotated[Path, path_option("-o", "--output", help="Folder for weights, metrics and curves.")] = Path(
        "out"
    ),
    sets: SetOption = [],  # noqa: B006
    init: Annotated[
        Path | None, path_option("--init", help="Weights file to start from. Same as --set model.weights=…")
    ] = None,
    on: Annotated[
        str,
        typer.Option(
            metavar="PART",
            help="Images to train on: train, or train+validation. The latter first trains on train to fix the epochs.",
        ),
    ] = "train",
    seeds: Annotated[
        int, typer.Option(help="Number of trainings with different seeds; the best by validation is kept.")
    ] = 1,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="With --seeds: keep all of them and average their probabilities.")
    ] = False,
    temperature: Annotated[
        bool, typer.Option("--temperature", help="Calibrate the probabilities on the validation images.")
    ] = False,
    data_dir: DataDir = Path("data"),
    onnx: Onnx = False,
    pt2: Pt2 = False,
    device: Device = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Train one configuration and evaluate it on the test set. Re-running the command resumes an interrupted one."""
    from regstudy.cli import train_command

    if init is not None:
        sets = [*sets, f"model.weights={json_format.dumps(str(init))}"]  # a path, which need not be plain YAML
    arguments = {
        "overrides": sets,
        "on": on,
        "seeds": seeds,
        "ensemble": ensemble,
        "temperature": temperature,
        "data_dir": data_dir,
        "device": device,
        "threads": threads,
        "overwrite": overwrite,
        "formats": formats(onnx, pt2),
        "command": _typed(),
    }
    raise typer.Exit(train_command.execute(out, config, output, arguments))


@app.command()
def evaluate(
    trained: TrainedFolder,
    data_dir: DataDir = Path("data"),
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Measure the test set with the weights of a training. The opening is logged and counted."""
    from regstudy.cli import evaluate_command

    arguments = {"data_dir": data_dir, "device": device, "threads": threads}
    raise typer.Exit(evaluate_command.execute(out, trained, arguments))


@app.command()
def verify(
    trained: TrainedFolder,
    test: Annotated[
        bool, typer.Option("--test", help="Also measure the test set again, which is logged as another opening.")
    ] = False,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Also train again, in a temporary folder, and compare the curves.")
    ] = False,
    data_dir: DataDir = Path("data"),
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Check that a training's numbers come out the same on this machine. Exit code 0 if they do, 1 if not."""
    from regstudy.cli import verify_command

    arguments = {"test": test, "retrain": retrain, "data_dir": data_dir, "device": device, "threads": threads}
    raise typer.Exit(verify_command.execute(out, trained, arguments))


@app.command()
def predict(
    trained: TrainedFolder,
    images: Images,
    output: PredictionsFile = None,
    device: Device = None,
    overwrite: Overwrite = False,
) -> None:
    """Classify images with a trained network, and score it on a folder whose subfolders are named like the classes."""
    from regstudy.cli import predict_command

    raise typer.Exit(predict_command.execute(out, trained, images, output, device, overwrite))


@app.command()
def convert(trained: TrainedFolder, onnx: Onnx = False, pt2: Pt2 = False, overwrite: Overwrite = False) -> None:
    """Write a trained network as model.onnx or model.pt2, next to its weights."""
    from regstudy.cli import convert_command

    raise typer.Exit(convert_command.execute(out, trained, formats(onnx, pt2), overwrite))


@app.command()
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


@app.command()
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


@app.command()
def spaces() -> None:
    """List the spaces that can be used by name."""
    from regstudy.space.loader import known_spaces, question, size_in_words

    for name, path in known_spaces().items():
        out.print("\n    ".join(line for line in (name, question(path), size_in_words(path)) if line))
    out.print("Preview one with `regstudy preview NAME`; run it with `regstudy study --space NAME`.")


def main(arguments: list[str] | None = None) -> None:
    """Run a command; errors that the user can fix become one paragraph and exit code 2."""
    # Threads waiting for each other would spin for milliseconds, which takes cores away from other programs and from
    # each other; too short a wait is slow, too (dropout_cnn, batch 32, images/s alone and with two busy programs:
    # 1,000 turns 5,800 and 1,170; 30,000 turns 6,380 and 2,860).
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    given = sys.argv[1:] if arguments is None else arguments
    others = [word for word in given if word != "--debug"]  # it may stand before or behind the command
    out.debug = err.debug = len(others) < len(given)
    with ending_on_signals():
        try:
            app(others, prog_name="regstudy")
        except (RegstudyError, OSError) as error:
            if err.debug:
                err.print("".join(traceback.format_exception(error)))
            words = system_error(error) if isinstance(error, OSError) else str(error)
            err.print(f"error: {words}{_more(error)}", style="red")
            sys.exit(2)


def _more(error: Exception) -> str:
    """How to see more of an error that was not ours at first, such as one of the user's own code."""
    first: BaseException = error
    while first.__cause__ is not None:
        first = first.__cause__
    hint = "\nTo see the whole traceback, add --debug."
    return "" if err.debug or isinstance(first, RegstudyError | OSError) else hint


def _typed() -> str:
    """The command line as the user typed it, without the interpreter's path and without passwords."""
    from regstudy.study.passwords import masked_words

    script = Path(sys.argv[0]).name
    program = ["python", "-m", "regstudy"] if script == "__main__.py" else [script]
    program = ["python", script] if script == "study.py" else program
    return shlex.join([*program, *masked_words(sys.argv[1:])])
