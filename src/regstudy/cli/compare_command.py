"""What `regstudy compare` does, step by step: check every arm, say the cost, run the plan, say what it showed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
import torch
from rich.console import Console
from rich.table import Table

from regstudy import models
from regstudy.analysis.comparison import Comparison, load_comparison
from regstudy.cli.session import CHECKS, Material, conduct, effort_of, exit_code, gather
from regstudy.config.run_config import RunConfig
from regstudy.data.image_set import Splits
from regstudy.data.preprocessing import prepare
from regstudy.errors import RegstudyError, StudyError
from regstudy.report.comparison.comparison_page import arm_rows, timing_note, write_comparison
from regstudy.report.comparison.comparison_phrasing import comparison_verdict
from regstudy.search.queue import ledger, split_seed
from regstudy.search.runner import Effort, StudyPlace, check_place, create_study, remaining, study_place
from regstudy.search.worker import describe
from regstudy.space.arms import collapsed, load_arms, parse_variant, plan_of
from regstudy.space.fixed_plan import Plan
from regstudy.space.loader import fallback_name, find_space
from regstudy.study import attributes
from regstudy.study.storage import in_words, masked
from regstudy.text import counted, format_duration
from regstudy.training.cost import seconds_per_epoch

LONGEST_NAME = 100  # characters, as `study_place` allows


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line."""

    spaces: tuple[str, ...]
    arms: tuple[str, ...]
    repeats: int
    margin: float  # points of accuracy
    name: str | None
    sets: tuple[str, ...]
    results: Path
    data_dir: Path
    storage: str | None
    workers: int
    budget: str | None
    trial_timeout: str | None
    dry_run: bool
    device: str
    command: str


@dataclass(frozen=True)
class Price:
    """What an arm costs, and how large its network is."""

    seconds: float  # of an epoch
    epochs: int
    parameters: int
    trained: int  # of the parameters


def execute(request: Request, console: Console) -> int:
    """Run a comparison as far as asked and leave its page; every check comes before anything is written or spent.

    Returns the exit code: 0, 130 if Ctrl-C ended it early, 2 if every single run had to be given up.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if request.name is not None:
        study_place(request.results, request.name)  # a wrong name is told before images are loaded
    asked, substitute, note = _plans(request)
    effort = effort_of(
        asked.tickets(request.repeats), request.device, request.workers, request.budget, request.trial_timeout
    )
    material = gather(asked, substitute, request.data_dir, console)
    place = study_place(request.results, request.name or material.agenda.name, request.storage)
    with in_words(place.url):
        return _run(request, console, effort, material, place, note)


def _run(
    request: Request, console: Console, effort: Effort, material: Material[Plan], place: StudyPlace, note: str
) -> int:
    plan, splits = material.agenda, material.splits
    study = check_place(place, plan)
    _introduce(console, plan, splits, request, note)
    facts = {attributes.MARGIN: request.margin / 100, attributes.COMMAND: request.command}
    if study is not None and remaining(study, effort.trials) == 0:
        console.print(f"Nothing left to do: {place} has all {effort.trials} runs; more with --repeats.")
        if not request.dry_run:
            study.set_user_attr(attributes.MARGIN, facts[attributes.MARGIN])
            _report(console, place, study)
        return 0
    prices = {name: _price(name, config, splits, request.device) for name, config in plan.arms.items()}
    left = _left(plan, study, effort.trials)
    seconds = _say_cost(console, prices, left)
    if request.dry_run:
        console.print("Dry run: everything is in order, and nothing was written.")
        return 0
    facts |= {
        attributes.DATA: material.facts(),
        attributes.PARAMETERS: {name: [price.parameters, price.trained] for name, price in prices.items()},
    }
    study = create_study(place, plan, splits, facts)
    study.set_user_attr(attributes.MARGIN, facts[attributes.MARGIN])
    interrupted = conduct(console, place, study, material, effort, seconds / sum(left.values()))
    _report(console, place, study)
    return exit_code(study, effort, interrupted)


def _plans(request: Request) -> tuple[Plan, Plan | None, str]:
    """The plan asked for, that on the substitute data if every file names one, and a word about ranges."""
    paths = [find_space(name) for name in request.spaces]
    variants = [parse_variant(text) for text in request.arms]
    name = request.name or default_name(paths)
    arms = load_arms(paths, variants, request.sets, checks=CHECKS)
    plan = plan_of(name, arms, split_seed)
    substitute = None
    if all(fallback_name(path) for path in paths):
        others = load_arms(paths, variants, request.sets, fallback=True, checks=CHECKS)
        substitute = plan_of(name, others, split_seed)
        if request.name is None:
            suffix = f"@{substitute.data.name}"
            substitute = plan_of(name[: LONGEST_NAME - len(suffix)] + suffix, others, split_seed)
    ranges = collapsed(arms)
    note = f"Ranges and choices in the files stand at their defaults: {', '.join(ranges)}." if ranges else ""
    return plan, substitute, note


def default_name(paths: Sequence[Path]) -> str:
    """The name of a comparison of these files: ``compare-`` with their stems, cut to what a study's name may have."""
    stems = dict.fromkeys(path.stem for path in paths)
    return re.sub(r"[^A-Za-z0-9@._-]+", "-", "compare-" + "-".join(stems))[:LONGEST_NAME]


def _introduce(console: Console, plan: Plan, splits: Splits, request: Request, note: str) -> None:
    repeats, arms = counted(request.repeats, "repeat"), counted(len(plan.arms), "arm")
    console.print(
        f"Comparison {plan.name}: {arms} × {repeats} = {counted(plan.tickets(request.repeats), 'run')}, nothing pruned."
        " Repeat k has the same training seed in every arm."
    )
    if note:
        console.print(note)
    console.print(
        f"Images: {splits.name}, {len(splits.train):,} to train on, {len(splits.validation):,} to validate with"
        f" (split {splits.hash}, the same for all runs); the test part stays closed."
        f" {request.device}, {counted(torch.get_num_threads(), 'thread')}.",
    )


def _price(name: str, config: RunConfig, splits: Splits, device: str) -> Price:
    """Build an arm's network and measure a few batches; StudyError if that fails."""
    try:
        side = prepare(config.preprocessing, splits.train).side
        network = models.build(config.model, splits.train.shape[0], side, len(splits.train.classes))
        sizes = [(parameter.numel(), parameter.requires_grad) for parameter in network.parameters()]
        seconds = seconds_per_epoch(config, splits, torch.device(device))
    except RegstudyError as error:
        raise StudyError(f"The arm '{name}' cannot be run: {error}") from None
    except Exception as error:  # a network of the user's own may raise anything
        raise StudyError(f"The first batches of the arm '{name}' failed: {describe(error)}.") from error
    total, trained = sum(size for size, _ in sizes), sum(size for size, learns in sizes if learns)
    return Price(seconds, config.planned_epochs, total, trained)


def _left(plan: Plan, study: optuna.Study | None, tickets: int) -> dict[str, int]:
    """Runs of each arm that are still to be done."""
    waiting = ledger(study.get_trials(deepcopy=False)).unfinished(tickets) if study is not None else range(tickets)
    arms = [plan.task(ticket).arm for ticket in waiting]
    return {name: arms.count(name) for name in plan.arms}


def _say_cost(console: Console, prices: Mapping[str, Price], left: Mapping[str, int]) -> float:
    """Say what each arm and the whole will take at most; returns the sum in seconds."""
    for name, price in prices.items():
        frozen = "" if price.trained == price.parameters else f", {price.trained:,} of them trained"
        console.print(
            f"  {name}: {price.parameters:,} parameters{frozen}, {format_duration(price.seconds)} per epoch,"
            f" {counted(left[name], 'run')} of {counted(price.epochs, 'epoch')}"
        )
    total = sum(price.seconds * price.epochs * left[name] for name, price in prices.items())
    console.print(
        f"Cost: about {format_duration(total)} for {counted(sum(left.values()), 'run')}; early stopping may save part."
    )
    return total


def _report(console: Console, place: StudyPlace, study: optuna.Study) -> None:
    page, found = write_comparison(study, place.folder), load_comparison(study)
    show(console, found)
    storage = f" --storage {masked(place.storage)}" if place.storage else ""
    console.print(f"Page:      {page}")
    console.print(f"Dashboard: regstudy dashboard {place.folder}{storage}")
    console.print(f"Export:    regstudy export {place.folder}{storage} -o best.yaml")


def show(console: Console, found: Comparison) -> None:
    """The arms as a table, or line by line where there is no terminal, then what the comparison showed."""
    names, rows = [arm.name for arm in found.arms], arm_rows(found)
    if console.is_terminal:
        table = Table("", *names)
        for row in rows:
            table.add_row(*row)
        console.print(table, soft_wrap=False)
    else:
        for position, name in enumerate(names, start=1):
            console.print(f"{name}:")
            for row in rows:
                console.print(f"  {row[0]}: {row[position]}")
    text = comparison_verdict(found)
    for line in [text.headline, *text.sentences, timing_note(found), *text.cautions]:
        if line:
            console.print(line)
