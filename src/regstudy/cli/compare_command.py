"""What `regstudy compare` does: call the library, then show the arms and say how they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from regstudy.analysis.arm_statistics import Comparison
from regstudy.api import compare
from regstudy.cli.shared import run, where_to_look
from regstudy.report.comparison.arm_rows import arm_rows, timing_note
from regstudy.report.comparison.comparison_phrasing import comparison_verdict
from regstudy.report.comparison.comparison_result import ComparisonResult
from regstudy.report.study_result import StudyResult
from regstudy.text import printable


def execute(console: Console, spaces: Sequence[str], dry_run: bool, arguments: dict[str, Any]) -> int:
    """Run a comparison and write its page; ``arguments`` are those of `compare`. Returns the exit code."""
    return run(console, dry_run, lambda listener: compare(spaces, progress=listener, **arguments), _show)


def _show(console: Console, result: StudyResult) -> None:
    if isinstance(result, ComparisonResult):
        show(console, result.comparison)
    where_to_look(console, result, "Page")


def show(console: Console, found: Comparison) -> None:
    """The arms as a table, or line by line without a terminal, then the verdict."""
    names, rows = [arm.name for arm in found.arms], arm_rows(found)
    if console.is_terminal:
        table = Table("", *map(printable, names))
        for row in rows:
            table.add_row(*map(printable, row))
        console.print(table, soft_wrap=False)
    else:
        for position, name in enumerate(names, start=1):
            console.print(f"{name}:")
            for row in rows:
                console.print(f"  {row[0]}: {row[position]}")
    text = comparison_verdict(found)
    for line in [text.headline, *text.sentences, timing_note(found), *text.cautions]:
        if line:
            console.print(line)
