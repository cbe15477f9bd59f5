"""What `regstudy worker` does: run trials of a study that was started by another command, perhaps elsewhere."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import optuna
import torch
from rich.console import Console

from regstudy import data
from regstudy.cli.listener import ConsoleListener
from regstudy.search.ablate_study import help_ablation
from regstudy.search.arguments import use_device
from regstudy.search.confirm_study import check_split, same_images
from regstudy.search.confirming import Confirming
from regstudy.search.create import plan_of_study
from regstudy.search.rounds import finish_search
from regstudy.search.search_options import SearchOptions
from regstudy.search.session import help_with
from regstudy.search.study_images import rule_of
from regstudy.study import attributes
from regstudy.study.passwords import masked_url
from regstudy.study.place import StudyPlace, open_study, study_place
from regstudy.study.storage import in_words
from regstudy.study.stored_facts import fact, facts_of
from regstudy.text import counted
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
    """Run trials of the study, its confirmation runs and those of an ablation. The exit code is 130 after Ctrl-C."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    used = use_device(device, threads)
    place = study_place(results, name, storage)
    with in_words(storage):
        return _work(console, place, workers, data_dir, used)


def _work(console: Console, place: StudyPlace, workers: int, data_dir: Path, used: str) -> int:
    study = open_study(place)
    plan, facts = plan_of_study(study, str(place), CHECKS), facts_of(study)
    known, trials = facts[attributes.DATA], int(facts[attributes.TRIALS])
    with ConsoleListener(console) as listener:
        section = plan.data.model_copy(update={"split_seed": known["split_seed"]})
        splits = data.prepare(section, data_dir, listener, rule_of(known))
        check_split(splits, known, data_dir)
        options = SearchOptions(trials, used, torch.get_num_threads(), workers)
        console.print(f"Joined study {place.name} on {masked_url(place.url)}: {counted(trials, 'trial')} in total.")
        try:
            help_with(place, study, plan, splits, options, listener)
            if _runs_asked(study):
                finish_search(place, study, plan, splits, options, listener, math.inf)
            if runs := _runs_asked(study):  # none if the search has found nothing to confirm
                images = partial(same_images, plan, study, data_dir, listener)
                fresh = not splits.own_validation
                Confirming(place, study, plan.study, options, images, fresh, listener).run(runs, math.inf)
            help_ablation(place, study, plan, data_dir, options, listener)
        except KeyboardInterrupt:
            console.print("Stopped. The trials that were running here go back to the queue.")
            return 130
    console.print("No trials of the study are waiting.")
    return 0


def _runs_asked(study: optuna.Study) -> int:
    """How many confirmation runs were asked for last."""
    return int((fact(study, attributes.CONFIRM) or {}).get("runs", 0))
