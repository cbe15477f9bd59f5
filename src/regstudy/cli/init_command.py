"""What `regstudy init` does: write a first space for a folder of images, or a copy of a shipped one."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import torch
from rich.console import Console

from regstudy.cli.listener import ConsoleListener
from regstudy.data.loading_events import listening
from regstudy.errors import ArgumentError
from regstudy.files import write_atomically
from regstudy.files.outputs import check_output
from regstudy.first_space.draft import check_name_of, default_output, draft_space
from regstudy.first_space.evening import EVENING, TRIALS
from regstudy.first_space.look import check_place
from regstudy.first_space.shipped_copy import copied_text, copy_output
from regstudy.search.arguments import seconds_of, use_device

CORES_PER_WORKER = 4


def execute(
    console: Console,
    photos: Path | None,
    source: str | None,
    output: Path | None,
    device: str | None,
    threads: int | None,
    overwrite: bool,
    budget: str | None = None,
) -> int:
    """Write the file and say what was seen and chosen. Returns the exit code; raises RegstudyError."""
    evening = EVENING if budget is None else seconds_of("budget", budget)
    if not evening > 0:
        raise ArgumentError(f"budget (--budget) must be a time above 0, such as 30m, but it is '{budget}'.")
    if (photos is None) == (source is None):
        both = "both a folder and --from" if photos is not None else "neither a folder nor --from"
        raise ArgumentError(
            f"`regstudy init` got {both}. Give a folder (or a CSV file) of images to write a space for them, or --from"
            " NAME to copy a shipped space (see `regstudy spaces`)."
        )
    if source is not None and budget is not None:
        raise ArgumentError(
            "budget (--budget) is for new spaces; a copy of a shipped one stays as it is. Leave it out."
        )
    if source is not None:
        return _copy(console, source, output or copy_output(source), overwrite)
    return _draft(console, photos or Path(), output, device, threads, overwrite, evening)


def _copy(console: Console, source: str, output: Path, overwrite: bool) -> int:
    text = copied_text(source)
    check_name_of(output)
    check_output(output, "init", overwrite)
    write_atomically(output, text)
    console.print(f"Wrote {output}, a copy of the space {source}. Change what you like.")
    _next(console, output)
    return 0


def _draft(
    console: Console,
    photos: Path,
    output: Path | None,
    device: str | None,
    threads: int | None,
    overwrite: bool,
    evening: float,
) -> int:
    output = output or default_output(photos)
    check_name_of(output)
    check_output(output, "init", overwrite)
    check_place(photos)
    used = use_device(device, threads)
    with ConsoleListener(console) as listener, listening(listener):
        console.print(f"Looking at {photos}, then timing networks on this machine. This takes seconds to a minute.")
        draft = draft_space(photos, output, used, evening)
    write_atomically(output, draft.text)
    for title, lines in (("Seen", [*draft.seen, *draft.notes]), ("Chosen", draft.chosen)):
        console.print(f"\n{title}")
        for line in lines:
            console.print(f"  {line}")
    console.print(f"  {draft.cost}")
    console.print(f"\nWrote {output}. Each value has a comment that says why; change what you like.")
    _next(console, output, used)
    return 0


def _next(console: Console, output: Path, device: str = "") -> None:
    study = ["regstudy", "study", "--space", str(output), "--trials", str(TRIALS), *_workers(device)]
    console.print(f"Look at the augmentation: {shlex.join(['regstudy', 'preview', str(output)])}")
    console.print(f"Run the study:            {shlex.join(study)}")


def _workers(device: str) -> list[str]:
    """The option for several workers, on machines that have room for them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = torch.cuda.device_count() if device == "cuda" else cores // CORES_PER_WORKER if device == "cpu" else 1
    return ["--workers", str(min(count, 4))] if count > 1 else []
