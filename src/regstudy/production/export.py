"""Export the configuration of a trial to a file that every command can read."""

from __future__ import annotations

import math
from json import dumps

import optuna
from optuna.trial import FrozenTrial, TrialState

from regstudy.config.run_config import parse_config
from regstudy.errors import StudyError
from regstudy.files import outputs
from regstudy.space.loader import config_text
from regstudy.space.yaml_values import read_yaml_text
from regstudy.study import attributes
from regstudy.study.ranking import usable_trials
from regstudy.study.stored_facts import fact, facts_of
from regstudy.text import counted


def chosen_trial(study: optuna.Study, number: int | None) -> FrozenTrial:
    """The trial with a number, or the best completed one that did not diverge.

    StudyError if there is none, or if it has no stored configuration, as in a study that regstudy did not make.
    """
    if number is None:
        usable = usable_trials(study)
        if not usable:
            raise StudyError(f"{_why_none(study)}, so there is nothing to export.")
        chosen = usable[0]
    else:
        found = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
        if number not in found:
            raise StudyError(f"The study '{study.study_name}' has no trial {number}. {_numbers(sorted(found))}")
        chosen = found[number]
    if fact(chosen, attributes.CONFIG) is None:
        ours = fact(study, attributes.FINGERPRINT) is not None
        why = "it failed before it had one" if ours else "regstudy did not make this study"
        drawn = ", ".join(f"{name}={value}" for name, value in chosen.params.items())
        raise StudyError(
            f"Trial {chosen.number} of the study '{study.study_name}' has no configuration to export: {why}."
            + (f" Its parameters are {drawn[:500]}." if drawn else "")
        )
    return chosen


def _why_none(study: optuna.Study) -> str:
    """Why a study has no usable trial."""
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not ended:
        return f"The study '{study.study_name}' has no completed trial yet"
    some = "its only completed trial" if len(ended) == 1 else f"all {counted(len(ended), 'completed trial')}"
    return f"In the study '{study.study_name}', {some} diverged"


def config_file(study: optuna.Study, trial: FrozenTrial, *, json: bool = False) -> str:
    """A trial's configuration with a heading that says where it comes from; `regstudy train` reads both formats.

    JSON has no comments, so there the heading is a key that is ignored. ConfigError if the stored configuration is not
    valid.
    """
    stored = facts_of(trial)
    config = stored[attributes.CONFIG]
    parse_config(config, f"The configuration of trial {trial.number}")
    heading = [
        f"Trial {trial.number} of study {study.study_name}: {fact(study, attributes.METRIC)}"
        f" {stored.get(attributes.BEST_VALUE, math.nan):.4f} at epoch {stored.get(attributes.BEST_EPOCH)}.",
        "Selected as the best of many trials on the same validation images: expect a slightly lower result with a new"
        " seed.",
        "To reproduce the curve bit for bit, use the same machine and --threads"
        f" {stored.get(attributes.THREADS, '?')}.",
    ]
    mark, text = outputs.mark("export", sealed=True), config_text(config)
    if json:
        tree = read_yaml_text(text, "the configuration")
        return outputs.seal(dumps({outputs.KEY: f"{mark}. {' '.join(heading)}", **tree}, indent=2) + "\n")
    return outputs.seal("".join(f"# {line}\n" for line in [f"Written by {mark}.", *heading]) + text)


def _numbers(numbers: list[int]) -> str:
    return f"Its trials are numbered {numbers[0]} to {numbers[-1]}." if numbers else "It has no trials."
