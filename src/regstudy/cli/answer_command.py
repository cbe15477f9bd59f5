"""What `regstudy answer` does: call the library, then write the report and say what was found."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from regstudy.answering.answer import answer_since
from regstudy.cli.shared import run, show_answer
from regstudy.report.study_result import StudyResult
from regstudy.search.events import Listener


def execute(console: Console, dry_run: bool, arguments: dict[str, Any], command: str, began: float) -> int:
    """Answer; ``arguments`` are those of `regstudy.answer`. Returns the exit code."""

    def call(listener: Listener) -> StudyResult:
        return answer_since(arguments, listener, command, began)

    return run(console, dry_run, call, show_answer)
