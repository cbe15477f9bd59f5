"""What `regstudy worker` does: help with a study that another machine has started."""

from __future__ import annotations

from pathlib import Path

import optuna
import torch
from rich.console import Console

from regstudy import data
from regstudy.cli.progress import StudyDisplay
from regstudy.cli.session import CHECKS, data_of
from regstudy.errors import StudyError
from regstudy.search.queue import count_finished
from regstudy.search.runner import Effort, StudyPlace, is_plan, open_study, serve, study_place
from regstudy.space.fixed_plan import Agenda, parse_plan
from regstudy.space.loader import read_yaml_text
from regstudy.space.search_space import parse_space
from regstudy.study import attributes
from regstudy.study.ranking import best_value
from regstudy.study.storage import masked


def execute(name: str, storage: str, workers: int, results: Path, data_dir: Path, device: str, console: Console) -> int:
    """Run tickets of the study until none is waiting; returns the exit code, 130 after Ctrl-C."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    place = study_place(results, name, storage)
    study = open_study(place)
    facts = study.user_attrs
    if attributes.FINGERPRINT not in facts or attributes.TRIALS not in facts:
        raise StudyError(
            f"{place} was not started by `regstudy study` or `regstudy compare`, so it has no tickets to work on."
        )
    agenda, known = _agenda(study, place), facts[attributes.DATA]
    splits = data.prepare(data_of(agenda).model_copy(update={"split_seed": known["split_seed"]}), data_dir)
    if splits.hash != known["split_hash"]:
        raise StudyError(
            f"The images here (split {splits.hash}) are not those of the study (split {known['split_hash']}). Copy the"
            f" data set of the machine that started it to {data_dir}."
        )
    trials = int(facts[attributes.TRIALS])
    effort = Effort(trials, device, torch.get_num_threads(), workers)
    console.print(f"Helping with {masked(storage)}, study {name}, of {trials} trials.")
    with StudyDisplay(
        console, trials, count_finished(study), 0.0, agenda.study.metric, best_value(study), workers
    ) as display:
        try:
            serve(place, study, agenda, splits, effort, display)
        except KeyboardInterrupt:
            console.print("Stopped; the tickets under way go back to the study.")
            return 130
    console.print("No trial of the study is waiting any more.")
    return 0


def _agenda(study: optuna.Study, place: StudyPlace) -> Agenda:
    """What the study says it is to run."""
    facts = study.user_attrs
    if is_plan(study):
        return parse_plan(read_yaml_text(facts[attributes.PLAN], str(place)), study.study_name, str(place), CHECKS)
    raw = read_yaml_text(facts[attributes.SPACE], str(place))
    return parse_space(raw, facts[attributes.SPACE_NAME], str(place), CHECKS)
