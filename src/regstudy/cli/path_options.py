"""Options and arguments that are paths: `~` is expanded, and what cannot be a path is told with the option's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from regstudy.files.paths import given_path

METAVAR = "<path>"


def path_option(*names: str, **settings: Any) -> Any:
    """`typer.Option` for a path, with its names written out."""
    return typer.Option(*names, parser=_parser(names[-1]), metavar=METAVAR, **settings)


def path_argument(name: str, **settings: Any) -> Any:
    """`typer.Argument` for a path; ``name`` is what messages call it."""
    return typer.Argument(parser=_parser(name), **settings)


def _parser(name: str) -> Callable[[str | Path], Path]:
    def path(text: str | Path) -> Path:
        return given_path(text, name)

    return path
