"""Export the configuration of a trial to a file that every command can read."""

from __future__ import annotations

import math
from json import dumps

import optuna
from optuna.trial import FrozenTrial, TrialState

from regstudy.analysis.claim import interval
from regstudy.analysis.confirmation import Confirmation, Leader, confirmation
from regstudy.config.run_config import parse_config
from regstudy.errors import StudyError
from regstudy.files import outputs
from regstudy.report.answer_phrasing import in_short
from regstudy.report.phrasing import metric_name
from regstudy.report.range_phrasing import level
from regstudy.space.loader import config_text
from regstudy.space.yaml_values import read_yaml_text
from regstudy.study import attributes
from regstudy.study.ranking import usable_trials
from regstudy.study.stored_facts import fact, facts_of
from regstudy.study.tables import load_tables
from regstudy.text import counted


def confirmation_of(study: optuna.Study, fresh: optuna.Study | None) -> Confirmation | None:
    """What the confirmation runs of a study show; None without any."""
    return None if fresh is None else confirmation(load_tables(study), load_tables(fresh))


def chosen_trial(study: optuna.Study, number: int | None, confirmed: Confirmation | None = None) -> FrozenTrial:
    """The trial with a number, or what the confirmation runs recommend, or the best completed one that did not diverge.

    StudyError if there is none, or if it has no stored configuration, as in a study that regstudy did not make.
    """
    if number is None and confirmed is not None:
        number = confirmed.recommended.number
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


def trial_claim(study: optuna.Study, trial: FrozenTrial, confirmed: Confirmation | None) -> str:
    """How far the value of a trial can be trusted: from its fresh seeds, or that it has none."""
    known = {} if confirmed is None else {one.number: one for one in [confirmed.baseline, *confirmed.leaders]}
    if confirmed is None or trial.number not in known:
        usable = usable_trials(study)
        best = "the best" if usable and usable[0].number == trial.number else "one"
        return (
            f"Not confirmed: {best} of {counted(len(usable), 'trial')} on the same validation images, so expect a "
            "somewhat worse result with a new seed."
        )
    own = " The validation images are those of the search: selection on them is not removed."
    said = _claim(confirmed, known[trial.number]).replace("\N{NO-BREAK SPACE}", " ")
    return said + (own if confirmed.own_validation else "")


def _claim(confirmed: Confirmation, leader: Leader) -> str:
    of = confirmed.metric
    if leader is confirmed.winner:
        words = {"confirmed": "Confirmed", "no better": "No better than the baseline", "undecided": "Not decided yet"}
        return f"{words.get(confirmed.status, 'Not confirmed')}: {in_short(confirmed)}."
    values = interval(list(leader.values.values()))
    shown = f"with fresh seeds {metric_name(of.val)} {level(values, of)} in {counted(values.n, 'round')}"
    if leader is confirmed.baseline:
        why = {"no better": "The search is no better. ", "undecided": "Not decided whether the search is better. "}
        return f"{why.get(confirmed.status, '')}The baseline of the confirmation runs: {shown}."
    told = "cannot be distinguished from" if leader.equal else "is behind"
    return f"Not the winner: {shown}; it {told} trial {confirmed.winner.number}."


def config_file(
    study: optuna.Study, trial: FrozenTrial, *, json: bool = False, confirmed: Confirmation | None = None
) -> str:
    """A trial's configuration with a heading that says where it comes from; `regstudy train` reads both formats.

    JSON has no comments, so there the heading is a key that is ignored. ConfigError if the stored configuration is not
    valid.
    """
    stored = facts_of(trial)
    config = stored[attributes.CONFIG]
    parse_config(config, f"The configuration of trial {trial.number}")
    heading = [
        f"Trial {trial.number} of study {study.study_name}: in the search {fact(study, attributes.METRIC)}"
        f" {stored.get(attributes.BEST_VALUE, math.nan):.4f} at epoch {stored.get(attributes.BEST_EPOCH)}.",
        trial_claim(study, trial, confirmed),
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
