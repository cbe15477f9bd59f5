"""The examination before a study begins: what it found in a few lines, and whether the study may go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.text import Text

from regstudy.data.image_set import Splits
from regstudy.doctor.findings import Diagnosis
from regstudy.doctor.render.diagnosis_phrasing import short_lines
from regstudy.errors import RegstudyError, StudyError
from regstudy.report.stored_diagnosis import diagnosed, holds_for, kept
from regstudy.search.worker import describe
from regstudy.space.search_space import Space
from regstudy.text import counted


@contextmanager
def progress(console: Console, subject: str) -> Iterator[Callable[[str], None]]:
    """Where there is a terminal, show the check under way; the value takes the name of each check as it begins."""
    if not console.is_terminal:
        yield lambda _name: None
        return
    with console.status(Text(f"Examining {subject} …")) as status:
        yield lambda name: status.update(Text(f"Examining {subject}: {name} …"))


def look(
    space: Space,
    splits: Splits,
    known: dict[str, Any],
    data_dir: Path,
    device: str,
    console: Console,
    command: str,
    force: bool,
) -> dict[str, Any]:
    """Examine what a study is about to search; returns what the study should keep of it.

    ``known`` is what an existing study keeps, ``command`` what shows the whole examination. Raises StudyError where a
    finding makes the study meaningless, unless ``force``. An examination that breaks down stops no study.
    """
    if holds_for(known, splits.hash, space.fingerprint):
        console.print(f"{diagnosed(known).words} It was not examined again.")
        return known
    try:
        diagnosis = _examine(space, splits, data_dir, device, console)
    except RegstudyError:
        raise
    except Exception as error:  # a network or data of the user's own may raise anything
        why = f"the examination broke down: {describe(error)}"
        console.print(f"Doctor: {why}. The study goes on without it.")
        return {"skipped": why}
    for line in short_lines(diagnosis, command):
        console.print(line)
    blocks = diagnosis.blocks
    if blocks and not force:
        raise StudyError(_refusal(diagnosis, command))
    return kept(diagnosis.plain(), splits.hash, space.fingerprint, forced=bool(blocks))


def _examine(space: Space, splits: Splits, data_dir: Path, device: str, console: Console) -> Diagnosis:
    from regstudy.doctor.from_config import examine_space  # scikit-learn takes a second, not to be spent by --help

    with progress(console, space.name) as on_progress:
        return examine_space(
            space, splits, data_dir=data_dir, device=torch.device(device), depth="preflight", on_progress=on_progress
        )


def _refusal(diagnosis: Diagnosis, command: str) -> str:
    found = " ".join(finding.sentence for finding in diagnosis.blocks)
    return (
        f"{counted(len(diagnosis.blocks), 'finding')} would make this study meaningless: {found} Nothing was written"
        f" and no trial was started. Either mend it ({command} --fix > fixed.yaml, then the study with --space"
        " fixed.yaml), or start it all the same with --force."
    )
