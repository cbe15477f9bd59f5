"""Export the configuration of a trial to a file that every command can read."""

from __future__ import annotations

import math
from json import dumps

import optuna
from optuna.trial import FrozenTrial, TrialState

from regstudy.errors import StudyError
from regstudy.files import outputs
from regstudy.space.loader import config_text
from regstudy.space.yaml_values import read_yaml_text
from regstudy.study import attributes
from regstudy.study.ranking import usable_trials
from regstudy.text import counted


def chosen_trial(study: optuna.Study, number: int | None) -> FrozenTrial:
    """The trial with a number, or the best completed one that did not diverge; StudyError if there is none."""
    trials = [t for t in study.get_trials(deepcopy=False) if attributes.CONFIG in t.user_attrs]
    if number is not None:
        found = next((t for t in trials if t.number == number), None)
        if found is None:
            raise StudyError(f"The study '{study.study_name}' has no trial {number} with a configuration.")
        return found
    usable = usable_trials(study)
    if not usable:
        raise StudyError(f"{_why_none(study)}, so there is nothing to export.")
    return usable[0]


def _why_none(study: optuna.Study) -> str:
    """Why a study has no usable trial."""
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not ended:
        return f"The study '{study.study_name}' has no completed trial yet"
    some = "its only completed trial" if len(ended) == 1 else f"all {counted(len(ended), 'completed trial')}"
    return f"In the study '{study.study_name}', {some} diverged"


def config_file(study: optuna.Study, trial: FrozenTrial, *, json: bool = False) -> str:
    """A trial's configuration with a heading that says where it comes from; `regstudy train` reads both formats.

    JSON has no comments, so there the heading is a key that is ignored.
    """
    facts = study.user_attrs
    threads = trial.user_attrs.get(attributes.THREADS, "?")
    value = trial.user_attrs.get(attributes.BEST_VALUE, math.nan)
    heading = [
        f"Trial {trial.number} of study {study.study_name}: {facts.get(attributes.METRIC)} {value:.4f}"
        f" at epoch {trial.user_attrs.get(attributes.BEST_EPOCH)}.",
        "Selected as the best of many trials on the same validation images: expect a slightly lower result with a new"
        " seed.",
        f"To reproduce the curve bit for bit, use the same machine and --threads {threads}.",
    ]
    mark, text = outputs.mark("export", sealed=True), config_text(trial.user_attrs[attributes.CONFIG])
    if json:
        tree = read_yaml_text(text, "the configuration")
        return outputs.seal(dumps({outputs.KEY: f"{mark}. {' '.join(heading)}", **tree}, indent=2) + "\n")
    return outputs.seal("".join(f"# {line}\n" for line in [f"Written by {mark}.", *heading]) + text)
