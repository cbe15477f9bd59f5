"""What `regstudy preview` does: draw what a space's augmentation does to its training images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from regstudy import data
from regstudy.api import load_space
from regstudy.cli.listener import ConsoleListener
from regstudy.data.preprocessing import prepare
from regstudy.errors import ConfigError
from regstudy.files import write_atomically
from regstudy.files.outputs import check_output, mark
from regstudy.search.study_images import gather
from regstudy.text import counted
from regstudy.training.contact_sheet import draw_sheet
from regstudy.training.preview_rows import STRENGTHS, operations, positions_in_turn, regularizer_rows, strength_rows

MAX_PREVIEW_IMAGES = 64


def execute(
    space: str,
    output: Path,
    sets: Sequence[str],
    data_dir: Path,
    images: int,
    console: Console,
    overwrite: bool = False,
) -> int:
    """Write a contact sheet of training images at increasing strengths and with the space's other image augmentations.

    The test set is not used. Returns the exit code; raises RegstudyError for problems that the user can fix.
    """
    _check(output, images, overwrite)
    asked = load_space(space, sets)
    with ConsoleListener(console) as listener:
        found, used = gather(asked, asked.fallback, data_dir, listener)
    splits, config = used.splits, found.defaults()
    preprocessing = prepare(config.preprocessing, splits.train)
    picked = splits.train.subset(torch.from_numpy(positions_in_turn(splits.train.labels.numpy(), images)))
    ops, named = operations(config.augmentation.ops, sorted(data.operations(config.data.name)))
    rows = [*strength_rows(picked.images, ops, preprocessing), *regularizer_rows(picked, found, preprocessing)]
    lines = [
        f"{splits.name}: training images, {preprocessing.side} by {preprocessing.side} pixels, as the network sees"
        " them",
        f"Operations: {named}",
    ]
    titles = [picked.classes[label] for label in picked.labels.tolist()]
    write_atomically(output, draw_sheet(f"Space {found.name}", lines, titles, rows, mark("preview")))
    others = [row.label.partition("\n")[0] for row in rows[len(STRENGTHS) :]]
    shown = f", then {', '.join(others)}" if others else ""
    console.print(
        f"Wrote {output}: {counted(len(picked), 'training image')} of {splits.name} at strengths 0 to 1 of"
        f" {named}{shown}."
    )
    return 0


def _check(output: Path, images: int, overwrite: bool) -> None:
    """Check the arguments before any image is loaded."""
    if output.suffix.lower() != ".png":
        raise ConfigError(f"The output file '{output}' must end in .png.")
    if not 1 <= images <= MAX_PREVIEW_IMAGES:
        raise ConfigError(f"A preview can show 1 to {MAX_PREVIEW_IMAGES} images, not {images}.")
    check_output(output, "preview", overwrite)
