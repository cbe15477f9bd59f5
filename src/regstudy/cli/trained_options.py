"""Options and arguments of the commands that write or read the output folder of `regstudy train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regstudy.cli.path_options import path_argument, path_option

TrainedFolder = Annotated[
    Path, path_argument("The folder of the training", metavar="OUT", help="Output folder of `regstudy train`.")
]
Images = Annotated[
    list[Path],
    path_argument(
        "The path of an image",
        metavar="IMAGE|FOLDER...",
        help="Image files, and folders, in and below which all images are classified.",
    ),
]
PredictionsFile = Annotated[Path | None, path_option("-o", "--output", help="CSV file to write: a row per image.")]
Onnx = Annotated[bool, typer.Option("--onnx", help="Write model.onnx, for ONNX Runtime. Needs the extra `onnx`.")]
Pt2 = Annotated[bool, typer.Option("--pt2", help="Write model.pt2, for torch.export.load.")]


def formats(onnx: bool, pt2: bool) -> tuple[str, ...]:
    """The formats that these options ask for."""
    return tuple(name for name, wanted in {"onnx": onnx, "pt2": pt2}.items() if wanted)
