"""What `regstudy convert` does: call the library and say what was written."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from regstudy.errors import ArgumentError
from regstudy.files.paths import shown
from regstudy.production.conversion import convert


def execute(console: Console, out: Path, formats: tuple[str, ...], overwrite: bool) -> int:
    """Convert, and return the exit code; raises RegstudyError for problems that the user can fix."""
    if not formats:
        raise ArgumentError("Say which format you want: --onnx, --pt2, or both.")
    written = convert(out, formats, overwrite=overwrite)
    console.print(f"Wrote {' and '.join(shown(path) for path in written)}: uint8 N×C×S×S in, probabilities out.")
    return 0
