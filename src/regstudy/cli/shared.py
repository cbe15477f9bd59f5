"""What `study` and `compare` share: call the library, report how it ended, and show where the results are."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import optuna
from rich.console import Console

from regstudy.cli.listener import ConsoleListener, DryRun
from regstudy.search.events import Listener
from regstudy.study.passwords import masked_url
from regstudy.study.storage import outlast

if TYPE_CHECKING:
    from regstudy.report.study_result import StudyResult
    from regstudy.study.place import StudyPlace

R = TypeVar("R", bound="StudyResult")


def run(
    console: Console, dry_run: bool, call: Callable[[Listener], R], show: Callable[[Console, StudyResult], None]
) -> int:
    """Run a study until it ends or Ctrl-C, then show its result. A dry run neither trains nor writes anything.

    Returns the exit code: 0, 130 if Ctrl-C ended it early, 2 if a trial was given up after repeated failures.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    interrupted = False
    with ConsoleListener(console, dry_run=dry_run) as listener:
        try:
            result: StudyResult = call(listener)
        except DryRun:
            console.print("Dry run: all checks passed. Nothing was written.")
            return 0
        except KeyboardInterrupt:
            if listener.started is None:
                raise
            from regstudy.report.results import result_in

            interrupted = True
            console.print("Writing the report of what has finished. Ctrl-C skips it.")
            result = result_in(listener.started.place)
    show(console, result)
    if interrupted:
        return 130
    return 2 if listener.given_up else 0


def show_answer(console: Console, result: StudyResult) -> None:
    """Print what the study showed, as its report does, and where to read more."""
    answer = outlast(lambda: result.answer)
    console.print("\n" + "\n".join(answer.lines) + "\n")
    where_to_look(console, result, "Report")


def where_to_look(console: Console, result: StudyResult, page: str) -> None:
    """Print where the results are and what to run next; ``page`` is the label of the page."""
    written, place = outlast(result.report), result.place
    there = [str(place.folder), *(["--storage", masked_url(place.storage)] if place.storage else [])]
    console.print(f"{page + ':':<10} {written}")
    show_index(console, place)
    console.print(f"Dashboard: {shlex.join(['regstudy', 'dashboard', *there])}")
    if result.tables.gap_at_most is not None and result.best is None:
        return  # no trial keeps the limit on the gap, so there is none to export
    console.print(f"Export:    {shlex.join(['regstudy', 'export', *there, '-o', 'best.yaml'])}")


def show_index(console: Console, place: StudyPlace) -> None:
    """Update the list of studies in the results folder, and say where it is."""
    from regstudy.report.index_page import write_index

    index = write_index(place)
    if index is not None:
        console.print(f"Index:     {index}")
