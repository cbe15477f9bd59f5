"""Running a study from the command line: its images or their substitute, its progress, and how it ended."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import optuna
import torch
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from regstudy import data, models
from regstudy.cli.progress import StudyDisplay
from regstudy.config.schema import Data
from regstudy.data.image_set import Splits
from regstudy.errors import DataUnavailable
from regstudy.search.queue import count_finished, ledger, split_seed
from regstudy.search.runner import Effort, StudyPlace, remaining, search
from regstudy.space.fixed_plan import Plan
from regstudy.space.search_space import Check, Space
from regstudy.study.ranking import best_value
from regstudy.text import parse_duration
from regstudy.training import schedules

CHECKS: tuple[Check, ...] = (data.problems, models.problems, schedules.problems)
A = TypeVar("A", Space, Plan)


@dataclass(frozen=True)
class Material(Generic[A]):
    """What a study is made of: its agenda and images, which data set was asked for, and why it is another one."""

    agenda: A
    splits: Splits
    requested: str
    why_fallback: str | None

    def facts(self) -> dict[str, Any]:
        """What a study keeps about its images."""
        return {**self.splits.describe(), "requested": self.requested, "fallback_reason": self.why_fallback}


def gather(asked: A, substitute: A | None, data_dir: Path, console: Console) -> Material[A]:
    """The images of what was asked for, or of its substitute where they cannot be had, which a banner then says.

    Raises DataError, and DataUnavailable where there is no substitute.
    """
    requested = data_of(asked).name
    try:
        return Material(asked, data.prepare(data_of(asked), data_dir), requested, None)
    except DataUnavailable as error:
        if substitute is None:
            raise
        why = str(error)
    used = data_of(substitute)
    console.print(Panel(_banner(used.name, why), title="Substitute data", border_style="yellow"), soft_wrap=False)
    return Material(substitute, data.prepare(used, data_dir), requested, why)


def data_of(agenda: Space | Plan) -> Data:
    """The images of an agenda, divided by the file's seed or else by one that follows from the study's."""
    if isinstance(agenda, Plan):
        return agenda.data
    config = agenda.defaults()
    if not agenda.has("data.split_seed"):
        config = config.replaced({"data.split_seed": split_seed(agenda.study.seed)})
    return config.data


def _banner(substitute: str, why: str) -> Text:
    return Text(
        f"{why}\n\nThis study therefore uses {substitute} instead, and everything it writes says so. Its figures say"
        " nothing about the data set you asked for."
    )


def effort_of(trials: int, device: str, workers: int, budget: str | None, timeout: str | None) -> Effort:
    """What may be spent, from what was typed; RegstudyError for a span of time that is none."""
    return Effort(
        trials=trials,
        device=device,
        threads=torch.get_num_threads(),
        workers=workers,
        budget=math.inf if budget is None else parse_duration(budget),
        timeout=None if timeout is None else parse_duration(timeout),
    )


def conduct(
    console: Console,
    place: StudyPlace,
    study: optuna.Study,
    material: Material[Space] | Material[Plan],
    effort: Effort,
    per_trial: float,
) -> bool:
    """Run a study as far as the effort allows, show its progress and say how it ended.

    ``per_trial`` is the estimate in seconds of one trial. Returns whether Ctrl-C ended it.
    """
    agenda, done, best = material.agenda, count_finished(study), best_value(study)
    pace, interrupted = per_trial / effort.workers, False
    with StudyDisplay(console, effort.trials, done, pace, agenda.study.metric, best, effort.workers) as display:
        try:
            search(place, study, agenda, material.splits, effort, display)
        except KeyboardInterrupt:
            interrupted = True
    _say_how_it_ended(console, study, effort, interrupted)
    return interrupted


def exit_code(study: optuna.Study, effort: Effort, interrupted: bool) -> int:
    """0, 130 if Ctrl-C ended the study early, 2 if every single trial had to be given up."""
    if interrupted:
        return 130
    return 2 if count_finished(study) == 0 and remaining(study, effort.trials) == 0 else 0


def _say_how_it_ended(console: Console, study: optuna.Study, effort: Effort, interrupted: bool) -> None:
    book, total = ledger(study.get_trials(deepcopy=False)), effort.trials
    left = book.unfinished(total)
    given_up = [ticket for ticket in range(total) if book.given_up(ticket)]
    repeated = sum(sum(kinds.values()) for kinds in book.faults.values())
    if repeated:
        console.print(f"{repeated} attempts failed and were repeated; the report lists why.")
    if given_up:
        console.print(f"{len(given_up)} of {total} trials were given up after repeated failures.")
    if not left:
        count = sum(ticket in book.finished for ticket in range(total))
        console.print(f"{count} of {total} trials are finished." if given_up else f"All {count} trials are finished.")
        return
    budgeted = math.isfinite(effort.budget)
    why = "Interrupted" if interrupted else "The budget is spent" if budgeted else "Others still run"
    console.print(f"{why}: {len(left)} of {total} trials are left. The same command goes on from here.")
