"""What `regstudy verify` does: measure a training again, and say whether its numbers are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from regstudy.api import verify
from regstudy.cli.listener import ConsoleListener
from regstudy.config.user_code import user_code
from regstudy.errors import StudyError


def execute(console: Console, output: Path, arguments: dict[str, Any]) -> int:
    """Verify; ``arguments`` are those of `verify`. Returns 0 if all is the same, 1 if not, 130 after Ctrl-C."""
    with ConsoleListener(console) as listener:
        try:
            with user_code("The verification", StudyError):
                found = verify(output, progress=listener, **arguments)
        except KeyboardInterrupt:
            console.print("Interrupted. Nothing has been changed.")
            return 130
    console.print(str(found))
    return 0 if found.same else 1
