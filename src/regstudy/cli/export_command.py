"""What `regstudy export` does: write the chosen configuration and say what it is, or list the Pareto set."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from regstudy.config.active_regularizers import regularizer_words
from regstudy.errors import ArgumentError
from regstudy.production.export import Exported, export, pareto_trials
from regstudy.report.metric_phrasing import gap_score, score
from regstudy.report.next_actions import arguments_of
from regstudy.report.phrasing import metric_name, setting
from regstudy.study.place import given_place
from regstudy.study.ranking import within
from regstudy.text import counted

NOT_WITH_PARETO = {"output": "-o", "format": "--format", "trial": "--trial", "rank": "--rank", "simplest": "--simplest"}


def execute(
    console: Console, errors: Console, path: Path, output: Path | None, pareto: bool, arguments: dict[str, Any]
) -> int:
    """Export or list; ``arguments`` are those of `export`. Returns the exit code."""
    if pareto:
        values = {**arguments, "output": output}
        given = [
            option for name, option in NOT_WITH_PARETO.items() if values[name] is not None and values[name] is not False
        ]
        if given:
            raise ArgumentError(
                f"--pareto only lists trials and writes no file, so it cannot be combined with {', '.join(given)}."
                " Leave --pareto out to export a trial."
            )
        return _list_pareto(console, errors, path, arguments)
    done = export(path, output, **arguments)
    console.print(f"Wrote trial {done.trial} to {done.path}. Train on it: {_command(done)}")
    for sentence in filter(None, [done.why, done.trust.claim]):
        console.print(sentence)
    _warn(errors, done.trust.warnings)
    return 0


def _warn(errors: Console, warnings: Iterable[str]) -> None:
    for warning in warnings:
        errors.print(f"warning: {warning}", style="yellow")


def _command(done: Exported) -> str:
    if done.format == "python":
        return f"{shlex.join(['python', str(done.path)])} (its first lines say which images it needs)"
    return shlex.join(["regstudy", "train", str(done.path), "-o", "out"])


def _list_pareto(console: Console, errors: Console, path: Path, arguments: dict[str, Any]) -> int:
    place = given_place(path, arguments["storage"], arguments["study"])
    tables, trials, warnings = pareto_trials(place)
    of = tables.measured
    if not trials:
        console.print("No trial has completed with a metric and a gap yet.")
        return 0
    console.print(
        f"{counted(len(trials), 'trial')} of {int(tables.observed().sum())} that no other beats in both"
        f" {metric_name(tables.metric)} and gap:"
    )
    table = Table(box=None, pad_edge=False)
    for name, side in (("trial", "right"), (of.label, "right"), ("gap", "right"), ("regularizers", "left")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for one in trials:
        words = zip(regularizer_words(one.active), one.active.values(), strict=True)
        active = ", ".join(f"{name} {setting(value)}" for name, value in words) or "none"
        allowed = within(one.gap, tables.gap_at_most)
        gap = gap_score(one.gap, of) + ("" if allowed else " (above the limit)")
        table.add_row(str(one.number), score(one.value, of), gap, active)
    console.print(table)
    kept = [one.number for one in trials if within(one.gap, tables.gap_at_most)]
    if kept:
        console.print(f"Export one: regstudy export {arguments_of(place)} --trial {kept[0]}")
    else:
        console.print("None of them keeps to the study's limit on the gap (study.gap_at_most).")
    _warn(errors, warnings)
    return 0
