"""What `regstudy study` does: call the library, then write the report."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from regstudy.api import run_study
from regstudy.cli.shared import run, show_answer


def execute(console: Console, space: str, dry_run: bool, arguments: dict[str, Any]) -> int:
    """Run a study and write its report; ``arguments`` are those of `run_study`. Returns the exit code."""
    return run(
        console,
        dry_run,
        lambda listener: run_study(space, progress=listener, **arguments),
        show_answer,
    )
