"""The commands for one trained network: to make it, to check it, to use it."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated

import typer

from regstudy.cli.common_options import DataDir, Device, Overwrite, SetOption, Threads, typed_command
from regstudy.cli.console import out
from regstudy.cli.path_options import path_argument, path_option
from regstudy.cli.trained_options import Images, Onnx, PredictionsFile, Pt2, TrainedFolder, formats


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
            metavar="train|train+validation",
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
        "command": typed_command(),
    }
    raise typer.Exit(train_command.execute(out, config, output, arguments))


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


def convert(trained: TrainedFolder, onnx: Onnx = False, pt2: Pt2 = False, overwrite: Overwrite = False) -> None:
    """Write a trained network as model.onnx or model.pt2, next to its weights."""
    from regstudy.cli import convert_command

    raise typer.Exit(convert_command.execute(out, trained, formats(onnx, pt2), overwrite))
