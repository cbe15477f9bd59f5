"""What `regstudy study` does, step by step: check everything, say the cost, search, report."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import torch
from rich.console import Console

from regstudy import models
from regstudy.cli.session import CHECKS, Material, conduct, effort_of, exit_code, gather
from regstudy.config.run_config import RunConfig
from regstudy.data.image_set import Splits
from regstudy.data.preprocessing import prepare
from regstudy.errors import RegstudyError, StudyError
from regstudy.search.pruner import PrunerName
from regstudy.search.queue import count_finished
from regstudy.search.runner import (
    Effort,
    StudyPlace,
    check_place,
    create_study,
    remaining,
    study_place,
)
from regstudy.search.worker import describe
from regstudy.space.loader import fallback_name, find_space, load_space
from regstudy.space.search_space import Space, probes
from regstudy.study import attributes
from regstudy.study.storage import in_words, masked
from regstudy.text import counted, format_duration
from regstudy.training.cost import seconds_per_epoch

HOUR = 3600.0
DATA_DIR = Path("data")  # where data sets are looked for unless it is said


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line."""

    space: str
    trials: int
    name: str | None
    sets: tuple[str, ...]
    results: Path
    data_dir: Path
    storage: str | None
    workers: int
    budget: str | None
    trial_timeout: str | None
    pruner: PrunerName
    dry_run: bool
    doctor: bool
    force: bool
    device: str
    command: str


def execute(request: Request, console: Console) -> int:
    """Run a study as far as asked and leave its report; every check comes before anything is written or spent.

    Returns the exit code: 0, 130 if Ctrl-C ended the search early, 2 if every single trial had to be given up.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    effort = effort_of(request.trials, request.device, request.workers, request.budget, request.trial_timeout)
    if request.name is not None:
        study_place(request.results, request.name)  # a wrong name is told before images are loaded
    effort = replace(effort, pruner=request.pruner)
    material = _material(request, console)
    place = study_place(request.results, request.name or material.agenda.name, request.storage)
    with in_words(place.url):
        return _run(request, console, effort, material, place)


def _run(request: Request, console: Console, effort: Effort, material: Material[Space], place: StudyPlace) -> int:
    space, splits = material.agenda, material.splits
    study = check_place(place, space)
    _introduce(console, space, splits, request.device)
    if study is not None and remaining(study, request.trials) == 0:
        console.print(f"Nothing left to do: {place} has {count_finished(study)} finished trials; more with --trials.")
        if not request.dry_run:
            _report(console, place, study)
        return 0
    with _at_defaults():
        _check_fit(space, splits)
    known = dict(study.user_attrs.get(attributes.DOCTOR) or {}) if study is not None else {}
    diagnosis = _examined(request, console, material, known)
    per_trial = _say_cost(console, request, space, splits, study)
    if request.dry_run:
        console.print("Dry run: everything is in order, and nothing was written.")
        return 0
    facts = {attributes.DATA: material.facts(), attributes.COMMAND: request.command}
    study = create_study(place, space, splits, facts)
    if diagnosis != known:
        study.set_user_attr(attributes.DOCTOR, diagnosis)
    interrupted = conduct(console, place, study, material, effort, per_trial)
    _report(console, place, study)
    return exit_code(study, effort, interrupted)


def _material(request: Request, console: Console) -> Material[Space]:
    """The space asked for and its images, or its fallback's with the reason why."""
    path = find_space(request.space)
    space = load_space(path, request.sets, checks=CHECKS)
    second = load_space(path, request.sets, fallback=True, checks=CHECKS) if fallback_name(path) else None
    return gather(space, second, request.data_dir, console)


def _introduce(console: Console, space: Space, splits: Splits, device: str) -> None:
    opened = list(dict.fromkeys(parameter.path for parameter in space.parameters()))
    console.print(f"Study {space.name}: {counted(len(opened), 'open value')} ({', '.join(opened)}).")
    console.print(
        f"Images: {splits.name}, {len(splits.train):,} to train on, {len(splits.validation):,} to validate with"
        f" (split {splits.hash}); the test part stays closed. {device}, {torch.get_num_threads()} threads.",
    )


def _examined(request: Request, console: Console, material: Material[Space], known: dict[str, Any]) -> dict[str, Any]:
    """What the doctor says of the space and its images, as a study keeps it; StudyError if the study would be void."""
    if not request.doctor:
        return known or {"skipped": "started with --no-doctor"}
    from regstudy.doctor.preflight import look  # scikit-learn takes a second, not to be spent without need

    words = ["regstudy", "doctor", request.space]
    for override in request.sets:
        words += ["--set", override]
    if request.data_dir != DATA_DIR:
        words += ["--data-dir", str(request.data_dir)]
    space, splits, command = material.agenda, material.splits, shlex.join(words)
    return look(space, splits, known, request.data_dir, request.device, console, command, request.force)


@contextmanager
def _at_defaults() -> Iterator[None]:
    """StudyError for whatever goes wrong with the default configuration, as a network of the user's own may."""
    try:
        yield
    except RegstudyError:
        raise
    except Exception as error:
        raise StudyError(f"The first batches of the default configuration failed: {describe(error)}.") from error


def _say_cost(console: Console, request: Request, space: Space, splits: Splits, study: optuna.Study | None) -> float:
    """Measure a few batches and say what the study will take at most; returns seconds per trial."""
    epochs = space.defaults().planned_epochs
    with _at_defaults():
        per_epoch = seconds_per_epoch(space.defaults(), splits, torch.device(request.device))
    per_trial = per_epoch * epochs
    left = remaining(study, request.trials) if study is not None else request.trials
    trials, length = counted(left, "trial"), counted(epochs, "epoch")
    console.print(
        f"Cost: {format_duration(per_epoch)} per epoch at the defaults, so about {format_duration(per_trial * left)}"
        f" for {trials} of {length}; early stopping and pruning usually save part of it. {_in_an_hour(per_trial)}"
    )
    return per_trial


def _check_fit(space: Space, splits: Splits) -> None:
    """Build the preprocessing and the network at every end of every range once, as far as they differ."""
    seen = set()
    for tree in probes(space):
        config = RunConfig.model_validate(tree)
        parts = repr((config.preprocessing, config.model))
        if parts not in seen:
            side = prepare(config.preprocessing, splits.train).side
            models.build(config.model, splits.train.shape[0], side, len(splits.train.classes))
        seen.add(parts)


def _in_an_hour(per_trial: float) -> str:
    fitting = int(HOUR / per_trial)
    if fitting >= 1:
        return f"An hour allows for {counted(fitting, 'such trial')}."
    return (
        "Not one such trial fits into an hour: fewer epochs or images do (--set training.epochs=…, data.train_limit=…)."
    )


def _report(console: Console, place: StudyPlace, study: optuna.Study) -> None:
    from regstudy.analysis.audit import audit
    from regstudy.report.page import write_report  # plotly and scikit-learn take a second, not to be spent at the start
    from regstudy.study.tables import load_tables

    study.set_user_attr(attributes.AUDIT, audit(load_tables(study)).plain())
    page = write_report(study, place.folder)
    storage = f" --storage {masked(place.storage)}" if place.storage else ""
    console.print(f"Report:    {page}")
    console.print(f"Dashboard: regstudy dashboard {place.folder}{storage}")
    console.print(f"Export:    regstudy export {place.folder}{storage} -o best.yaml")
