"""The guard around code that users write: whatever it raises becomes one error that names their file and line.

A `sys.exit(0)` in a user's module must not end a study as if it were done, so every exception counts, except the
user's own Ctrl-C.
"""

from __future__ import annotations

import functools
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from regstudy.errors import ConfigError, RegstudyError, describe

LONGEST_LINE = 100  # characters of a line of code in a message
_LIBRARIES = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    | {str(Path(__file__).parents[1])}
)


@contextmanager
def user_code(what: str, kind: type[RegstudyError] = ConfigError, remedy: str = "") -> Iterator[None]:
    """Turn whatever this block raises into an error of a kind: ``what`` failed, why, and where in the user's code.

    Errors of regstudy pass unchanged, and so do Ctrl-C and what the operating system refused to regstudy's own code.
    """
    try:
        yield
    except (RegstudyError, KeyboardInterrupt):
        raise
    except BaseException as error:
        if isinstance(error, OSError) and not own_line(error):
            raise
        raise kind(f"{what} failed: {failure(error)}.{remedy and ' '}{remedy}") from error


def guarded(name: str, function: Callable[..., Any], kind: type[RegstudyError]) -> Callable[..., Any]:
    """The same function, whose exceptions are errors of a kind that name it; it keeps its signature."""

    @functools.wraps(function, updated=())
    def call(*arguments: Any, **options: Any) -> Any:
        with user_code(f"'{name}'", kind):
            return function(*arguments, **options)

    return call


def failure(error: BaseException) -> str:
    """Why something failed, in one line without a final period, with the last line of the user's own code."""
    if isinstance(error, RegstudyError):
        return " ".join(str(error).split()).rstrip(".")
    where = own_line(error)
    return f"{describe(error)} ({where})" if where else describe(error)


def returned(value: object) -> str:
    """What a function returned instead of what it should, with the usual reason."""
    if value is None:
        return "None (is its `return` missing?)"
    if isinstance(value, type):
        return f"the class {value.__name__} itself, not an object of it"
    return f"an object of the type {type(value).__name__}"


def is_library(file: str) -> bool:
    """Whether a file belongs to Python, to an installed library or to regstudy."""
    return file.startswith(_LIBRARIES)


def own_line(error: BaseException) -> str:
    """The last line of a traceback that lies neither in regstudy nor in an installed library; empty if none does."""
    if isinstance(error, SyntaxError):
        return ""  # its message names file and line
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not is_library(frame.filename) and not frame.filename.startswith("<")
    ]
    if not own:
        return ""
    file, here = Path(own[-1].filename), Path.cwd()
    shown = file.relative_to(here) if file.is_relative_to(here) else file
    line = own[-1].line or ""
    code = f": {line[:LONGEST_LINE]}{'…' if len(line) > LONGEST_LINE else ''}" if line else ""
    return f"{shown}, line {own[-1].lineno}, in {own[-1].name}{code}"
