"""What the shell offers where a command takes a space or images: names, YAML files, tables. Fast: it loads no torch."""

from __future__ import annotations

import glob
from pathlib import Path


def complete_space(incomplete: str) -> list[str]:
    """Names of spaces, YAML files and folders that begin like this."""
    from regstudy.space.loader import known_spaces

    try:
        names = [name for name in known_spaces() if name.startswith(incomplete)]
        paths = [Path(path) for path in sorted(glob.glob(f"{glob.escape(incomplete)}*"))]  # noqa: PTH207
    except OSError:
        return []
    files = [str(path) for path in paths if path.suffix in (".yaml", ".yml") and path.is_file()]
    return [*names, *files, *(f"{path}/" for path in paths if path.is_dir())]


def complete_subject(incomplete: str) -> list[str]:
    """What `complete_space` offers, and tables of images."""
    try:
        paths = [Path(path) for path in sorted(glob.glob(f"{glob.escape(incomplete)}*"))]  # noqa: PTH207
    except OSError:
        return []
    return [*complete_space(incomplete), *(str(path) for path in paths if path.suffix in (".csv", ".tsv"))]


def complete_shipped(incomplete: str) -> list[str]:
    """Names of shipped spaces that begin like this."""
    from regstudy.space.loader import shipped_spaces

    return [name for name in shipped_spaces() if name.startswith(incomplete)]
