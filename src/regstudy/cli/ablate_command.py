"""What `regstudy ablate` does: call the library, then write the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from regstudy.api import ablate
from regstudy.cli.shared import run, show_answer


def execute(console: Console, path: Path, dry_run: bool, arguments: dict[str, Any]) -> int:
    """Take the winner of a study apart; ``arguments`` are those of `regstudy.ablate`. Returns the exit code."""
    return run(
        console,
        dry_run,
        lambda listener: ablate(path, progress=listener, **arguments),
        show_answer,
    )
