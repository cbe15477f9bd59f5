"""What `regstudy worker` does: help with a study that another machine has started."""

from __future__ import annotations

from pathlib import Path

import optuna
import torch
from rich.console import Console

from regstudy import data
from regstudy.cli.listener import ConsoleListener
from regstudy.errors import StudyError
from regstudy.search.arguments import use_device
from regstudy.search.create import plan_of_study
from regstudy.search.search_options import SearchOptions
from regstudy.search.session import help_with
from regstudy.study import attributes
from regstudy.study.place import open_study, study_place
from regstudy.study.storage import masked
from regstudy.training.validation import CHECKS


def execute(
    console: Console,
    name: str,
    storage: str,
    workers: int,
    results: Path,
    data_dir: Path,
    device: str | None,
    threads: int | None,
) -> int:
    """Run slots of the study until none is waiting; returns the exit code, 130 after Ctrl-C."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    used = use_device(device, threads)
    place = study_place(results, name, storage)
    study = open_study(place)
    plan, facts = plan_of_study(study, str(place), CHECKS), study.user_attrs
    known, trials = facts[attributes.DATA], int(facts[attributes.TRIALS])
    with ConsoleListener(console) as listener:
        section = plan.data.model_copy(update={"split_seed": known["split_seed"]})
        splits = data.prepare(section, data_dir, listener)
        if splits.hash != known["split_hash"]:
            raise StudyError(
                f"The images here (split {splits.hash}) are not those of the study (split {known['split_hash']}). Copy"
                f" the data set of the machine that started it to {data_dir}."
            )
        options = SearchOptions(trials, used, torch.get_num_threads(), workers)
        console.print(f"Helping with {masked(storage)}, study {name}, of {trials} trials.")
        try:
            help_with(place, study, plan, splits, options, listener)
        except KeyboardInterrupt:
            console.print("Stopped; the slots under way go back to the study.")
            return 130
    console.print("No trial of the study is waiting any more.")
    return 0
