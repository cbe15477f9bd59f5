"""What `regstudy answer` does: call the library, then write the report and say what was found."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from regstudy.answering.answer import answer_with_words
from regstudy.cli.shared import run, show_answer
from regstudy.report.study_result import StudyResult
from regstudy.search.events import Listener


def execute(console: Console, dry_run: bool, arguments: dict[str, Any], command: str, began: float) -> int:
    """Answer; ``arguments`` are those of `regstudy.answer`. Returns the exit code."""
    words: list[str] = []

    def call(listener: Listener) -> StudyResult:
        result, more = answer_with_words(arguments, listener, command, began)
        words.extend(more)
        return result

    def show(console: Console, result: StudyResult) -> None:
        show_answer(console, result)
        for line in words:
            console.print(line)

    return run(console, dry_run, call, show)
