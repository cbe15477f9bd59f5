"""The console as a listener: bars only where somebody sees them, and a dry run that ends before anything is written."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console
from rich.progress import Progress as Bar

from regstudy.cli import listener
from regstudy.cli.listener import ConsoleListener, DryRun
from regstudy.search.events import Cost, NothingLeft, Notice, Progress, Ready, SubstituteData

READY = Ready("search", {"defaults": Cost(0.5, 10, 1000, 1000)}, {"defaults": 4})


@pytest.mark.parametrize(
    ("terminal", "many", "soon", "shown"),
    [
        (True, 10, 60.0, True),  # many things
        (True, 1000, 0.0, True),  # few, but it takes a while
        (True, 1000, 60.0, False),
        (False, 10, 0.0, False),
    ],
)
def test_a_bar_is_shown_on_a_terminal_for_many_things_or_long_work(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, many: int, soon: float, shown: bool
) -> None:
    started: list[Bar] = []
    stopped: list[Bar] = []
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(listener, "LARGE_TASK", many)
    monkeypatch.setattr(listener, "BAR_DELAY", soon)
    monkeypatch.setattr(Bar, "start", lambda self: started.append(self))
    monkeypatch.setattr(Bar, "stop", lambda self: stopped.append(self))
    with ConsoleListener(Console(file=io.StringIO())) as listen:
        for done in range(20, 101, 20):
            listen(Progress("counting", done, 100))
    assert len(started) == len(stopped) == shown


def test_a_bar_goes_when_its_task_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[Bar] = []
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(listener, "BAR_DELAY", 0.0)
    monkeypatch.setattr(Bar, "start", lambda _: None)
    monkeypatch.setattr(Bar, "stop", lambda self: stopped.append(self))
    with pytest.raises(ZeroDivisionError), ConsoleListener(Console(file=io.StringIO())) as listen:
        listen(Progress("counting", 1, 100))
        raise ZeroDivisionError
    assert len(stopped) == 1


def test_lines_are_printed_as_they_are_and_substitutes_stand_out() -> None:
    stream = io.StringIO()
    with ConsoleListener(Console(file=stream, width=300, markup=False)) as listen:
        listen(Notice("a [b] c"))
        listen(SubstituteData("digits", "There is no file."))
        listen(READY)
    said = stream.getvalue()
    assert "a [b] c\n" in said and "Substitute data" in said and "uses digits" in said
    assert "Estimated cost: 0.50 s per epoch at the default settings, about 20 s for 4 trials of 10 epochs" in said


@pytest.mark.parametrize("event", [READY, NothingLeft("Nothing left to do.")])
def test_a_dry_run_ends_before_anything_is_written(event: Ready | NothingLeft) -> None:
    with ConsoleListener(Console(file=io.StringIO()), dry_run=True) as listen:
        listen(Notice("looked at"))
        with pytest.raises(DryRun):
            listen(event)


def test_the_estimate_says_what_compiling_adds() -> None:
    plain, compiled = (Cost(0.5, 10, 1000, 1000, compiled=one) for one in (False, True))
    told = [str(Ready("search", {"defaults": cost}, {"defaults": 4})) for cost in (plain, compiled)]
    assert told[0].endswith("One hour is enough for 720 trials.") and "ompil" not in told[0]
    assert told[1].endswith("Compiling the network comes on top: half a minute to minutes in every trial.")
    arms = {"plain": plain, "compiled": compiled}
    assert "comes on top" in str(Ready("comparison", arms, dict.fromkeys(arms, 2)))
