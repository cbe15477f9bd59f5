"""How far the value of an exported trial can be trusted, and what a user must know before using it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from regstudy.analysis.claim import interval
from regstudy.analysis.confirmation import Confirmation, Leader
from regstudy.metrics import metric_or_accuracy
from regstudy.production.choice import ended_trials
from regstudy.report.answer_phrasing import in_short
from regstudy.report.limit_phrasing import fresh_limit_sentence, limit_words
from regstudy.report.metric_phrasing import amount
from regstudy.report.phrasing import metric_name
from regstudy.report.range_phrasing import level
from regstudy.study import attributes
from regstudy.study.place import kind_of
from regstudy.study.ranking import gap_of_trial, usable_trials, within
from regstudy.study.stored_facts import fact
from regstudy.text import counted

STATUS_WORDS = {"confirmed": "Confirmed", "no better": "No better than the baseline", "undecided": "Not decided yet"}
BASELINE_WORDS = {
    "no better": "The search is no better. ",
    "undecided": "Not decided whether the search is better. ",
}


@dataclass(frozen=True)
class Trust:
    """``claim``: what fresh seeds show, empty if they show nothing; ``warnings``: sentences, the gravest first."""

    claim: str
    warnings: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """All of it, for a file's heading."""
        return [*([self.claim] if self.claim else []), *(f"Warning: {one}" for one in self.warnings)]


def trust_in(study: optuna.Study, trial: FrozenTrial, confirmed: Confirmation | None) -> Trust:
    """What is known of a trial: the claim, and what is unfinished, unconfirmed or not meant to be exported."""
    known = {} if confirmed is None else {one.number: one for one in [confirmed.baseline, *confirmed.leaders]}
    claim, warnings = "", [*about_study(study), *_about_trial(trial), *_above_limit(study, trial)]
    if confirmed is not None and trial.number in known:
        claim = _claim(confirmed, known[trial.number]).replace("\N{NO-BREAK SPACE}", " ")
        if confirmed.own_validation:
            claim += " The validation images are those of the search: selection on them is not removed."
        if (limit := fresh_limit_sentence(confirmed)) and trial.number == confirmed.recommended.number:
            limit = limit.replace("\N{NO-BREAK SPACE}", " ")
            if confirmed.limit_kept == "kept":
                claim = f"{claim} {limit}"
            else:
                warnings.insert(0, limit)
        if confirmed.left:
            warnings.append(f"The confirmation is unfinished: {counted(confirmed.left, 'run')} of it are missing.")
    elif kind_of(study) == "search":
        warnings.append(_unconfirmed(study, trial))
    return Trust(claim, tuple(warnings))


def about_study(study: optuna.Study) -> list[str]:
    """What limits every trial of a study: it is unfinished, or a comparison."""
    found = []
    asked, ended = fact(study, attributes.TRIALS), ended_trials(study)
    search = kind_of(study) == "search"
    if asked and ended < asked:
        better = ", so a better one may follow" if search else ""
        found.append(f"The study is unfinished: {ended:,} of {counted(asked, 'trial' if search else 'run')}{better}.")
    if not search:
        found.append(
            "The study is a comparison: this is a single run of one of its arms with one seed, and the best of all runs"
            " is the luckiest. Its report says which arm is better."
        )
    return found


def _about_trial(trial: FrozenTrial) -> list[str]:
    if fact(trial, attributes.OUTCOME) == "diverged":
        return [f"Trial {trial.number} diverged: its loss became infinite or undefined."]
    if trial.state == TrialState.PRUNED:
        return [f"Trial {trial.number} was pruned before its last epoch, so nobody knows how good it gets."]
    return []


def _above_limit(study: optuna.Study, trial: FrozenTrial) -> list[str]:
    """That a trial does not keep the study's limit on the gap in the search."""
    limit, of = fact(study, attributes.GAP_AT_MOST), metric_or_accuracy(fact(study, attributes.METRIC))
    gap = gap_of_trial(trial, of)
    if limit is None or within(gap, limit):
        return []
    known = f"its gap in the search is {amount(gap, of)}" if math.isfinite(gap) else "its gap is unknown"
    return [
        f"Trial {trial.number} does not keep the study's limit on the gap: {known}, and at most"
        f" {limit_words(limit, of)} are allowed."
    ]


def _unconfirmed(study: optuna.Study, trial: FrozenTrial) -> str:
    usable = usable_trials(study)
    best = "the best" if usable and usable[0].number == trial.number else "one"
    if len(usable) < 2:
        return "Not confirmed with fresh seeds: it is the only completed trial."
    return (
        f"Not confirmed: {best} of {counted(len(usable), 'trial')} on the same validation images, so expect a somewhat"
        " worse result with a new seed."
    )


def _claim(confirmed: Confirmation, leader: Leader) -> str:
    of = confirmed.metric
    if leader is confirmed.winner:
        return f"{STATUS_WORDS.get(confirmed.status, 'Not confirmed')}: {in_short(confirmed)}."
    values = interval(list(leader.values.values()))
    shown = f"with fresh seeds {metric_name(of.val)} {level(values, of)} in {counted(values.n, 'round')}"
    if leader is confirmed.baseline:
        return f"{BASELINE_WORDS.get(confirmed.status, '')}The baseline of the confirmation runs: {shown}."
    told = "cannot be distinguished from" if leader.equal else "is behind"
    return f"Not the winner: {shown}; it {told} trial {confirmed.winner.number}."
