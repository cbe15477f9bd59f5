"""What `regstudy evaluate` does: measure the test set with the weights of a training, and show the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from regstudy.api import evaluate
from regstudy.cli.listener import ConsoleListener
from regstudy.cli.train_command import evaluation_lines
from regstudy.config.user_code import user_code
from regstudy.errors import StudyError


def execute(console: Console, output: Path, arguments: dict[str, Any]) -> int:
    """Evaluate once; ``arguments`` are those of `evaluate`. Returns the exit code, 130 after Ctrl-C."""
    with ConsoleListener(console) as listener:
        try:
            with user_code("The evaluation", StudyError):
                metrics = evaluate(output, progress=listener, **arguments)
        except KeyboardInterrupt:
            console.print("Interrupted. The same command takes it up; it is no further opening of the test set.")
            return 130
    for line in evaluation_lines(metrics):
        console.print(line)
    console.print(
        f"metrics.json, the tables, errors.html and the model card in {output} are about the test images now."
    )
    return 0
