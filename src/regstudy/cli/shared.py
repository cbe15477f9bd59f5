"""What `study` and `compare` share: one call of the library, how it ended, and where to look next."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import optuna
from rich.console import Console

from regstudy.cli.listener import ConsoleListener, DryRun
from regstudy.search.events import Listener
from regstudy.study.storage import masked

if TYPE_CHECKING:
    from regstudy.report.study_result import StudyResult

R = TypeVar("R", bound="StudyResult")


def run(
    console: Console, dry_run: bool, call: Callable[[Listener], R], show: Callable[[Console, StudyResult], None]
) -> int:
    """Run a study to its end or to Ctrl-C, then show its result; nothing is run or written in a dry run.

    Returns the exit code: 0, 130 if Ctrl-C ended it early, 2 if every single trial had to be given up.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    interrupted = False
    with ConsoleListener(console, dry_run=dry_run) as listener:
        try:
            result: StudyResult = call(listener)
        except DryRun:
            console.print("Dry run: everything is in order, and nothing was written.")
            return 0
        except KeyboardInterrupt:
            if listener.started is None:
                raise
            from regstudy.report.results import result_in

            interrupted = True
            result = result_in(listener.started.place)
    show(console, result)
    if interrupted:
        return 130
    ended = listener.ended
    return 2 if ended is not None and ended.finished == 0 and ended.left == 0 else 0


def where_to_look(console: Console, result: StudyResult, page: str) -> None:
    """The files of a study and the commands that go on from here; ``page`` is the heading of its page."""
    written, place = result.report(), result.place
    storage = f" --storage {masked(place.storage)}" if place.storage else ""
    console.print(f"{page + ':':<10} {written}")
    console.print(f"Dashboard: regstudy dashboard {place.folder}{storage}")
    console.print(f"Export:    regstudy export {place.folder}{storage} -o best.yaml")
