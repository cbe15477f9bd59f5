"""Which trial of a study is exported, and why it."""

from __future__ import annotations

from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from regstudy.analysis.confirmation import Confirmation, confirmation
from regstudy.analysis.gap_limit import gap_limit
from regstudy.analysis.simplicity import one_error_rule, simplicity
from regstudy.config.active_regularizers import regularizer_words
from regstudy.errors import ArgumentError, StudyError
from regstudy.report.limit_phrasing import unmet_sentences
from regstudy.report.metric_phrasing import amount
from regstudy.study import attributes
from regstudy.study.load_tables import load_tables
from regstudy.study.place import kind_of
from regstudy.study.ranking import usable_trials
from regstudy.study.stored_facts import fact
from regstudy.study.tables import Tables
from regstudy.text import counted, listing, sentence

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Choice:
    """What the user asked for, at most one of: the number of a trial, a rank (from 1), the simplest of equals."""

    trial: int | None = None
    rank: int | None = None
    simplest: bool = False

    def __post_init__(self) -> None:
        asked = {"trial": self.trial is not None, "rank": self.rank is not None, "simplest": self.simplest}
        given = [f"{name} (--{name})" for name, is_given in asked.items() if is_given]
        if len(given) > 1:
            raise ArgumentError(f"{listing(given)} each choose a trial. Give one of them.")


@dataclass(frozen=True)
class Chosen:
    """A trial with a configuration, and in a sentence why it was chosen; empty for a trial asked for by its number."""

    trial: FrozenTrial
    why: str = ""


def confirmation_of(study: optuna.Study, fresh: optuna.Study | None) -> Confirmation | None:
    """What the confirmation runs of a study show; None without any."""
    return None if fresh is None else confirmation(load_tables(study), load_tables(fresh))


def choose(study: optuna.Study, choice: Choice, confirmed: Confirmation | None = None) -> Chosen:
    """The trial that is asked for; by default what the confirmation runs recommend, or the best one of the search.

    StudyError if there is none, or if it has no stored configuration, as in a study that regstudy did not make.
    """
    if choice.trial is not None:
        number, why = choice.trial, ""
    elif choice.simplest:
        number, why = _simplest(study, confirmed)
    elif choice.rank is not None:
        number, why = _ranked(study, choice.rank, confirmed)
    elif confirmed is not None:
        number, why = confirmed.recommended.number, "It is what the confirmation runs recommend."
    else:
        limited = fact(study, attributes.GAP_AT_MOST) is not None
        whom = "those within the limit on the gap" if limited else "all"
        number, why = _ranking(study, None)[0], f"It has the best value of {whom}."
    trial = _trial(study, number)
    _check_usable(study, trial)
    if fact(trial, attributes.ARM) == "baseline" and "baseline" not in why:
        why = f"{why} It is the baseline, with every regularizer off.".strip()
    return Chosen(trial, why)


def ended_trials(study: optuna.Study) -> int:
    """How many trials have ended with a result, pruned ones included."""
    return len(study.get_trials(deepcopy=False, states=ENDED))


def check_search(study: optuna.Study, option: str) -> None:
    """StudyError if a study is a comparison, whose runs are no trials of a search."""
    if kind_of(study) == "comparison":
        raise StudyError(
            f"The study '{study.study_name}' is a comparison of fixed configurations, so {option} has no meaning: its"
            " runs differ only by arm and seed. Its report says which arm is better; export a run of that arm with"
            " --trial."
        )


def _ranking(study: optuna.Study, confirmed: Confirmation | None) -> list[int]:
    """The numbers of the usable trials: leaders in the order of the confirmation runs, then by value in the search."""
    usable = [trial.number for trial in usable_trials(study)]
    if not usable:
        _check_some_within_limit(study)
        raise StudyError(f"{_why_none(study)}, so there is nothing to export.")
    leaders = [one.number for one in confirmed.leaders] if confirmed else []
    return [*leaders, *(number for number in usable if number not in leaders)]


def _check_some_within_limit(study: optuna.Study) -> None:
    """StudyError if trials have completed, and none keeps the study's limit on the gap."""
    found = gap_limit(load_tables(study)) if usable_trials(study, limited=False) else None
    if found is not None and found.unmet:
        headline, (least, *_) = unmet_sentences(found)
        raise StudyError(f"{headline} {least} To export a trial all the same, choose it with --trial.")


def _ranked(study: optuna.Study, rank: int, confirmed: Confirmation | None) -> tuple[int, str]:
    ranking = _ranking(study, confirmed)
    if not 1 <= rank <= len(ranking):
        raise ArgumentError(
            f"rank (--rank) must be from 1 to {len(ranking)}, the number of completed trials that did not diverge in"
            f" the study '{study.study_name}', but it is {rank}."
        )
    order = "their values in the search"
    if confirmed:
        order = "the confirmation runs, then by the values in the search"
    return ranking[rank - 1], f"It has rank {rank} of {len(ranking)} by {order}."


def _simplest(study: optuna.Study, confirmed: Confirmation | None) -> tuple[int, str]:
    """The configuration with the fewest regularizers, and of these the weakest, that is as good as the best one."""
    check_search(study, "simplest (--simplest)")
    tables = load_tables(study)
    if confirmed is not None:
        if confirmed.recommended is confirmed.baseline:
            return confirmed.baseline.number, (
                "It is the baseline, with every regularizer off: the confirmation runs do not show that any"
                " configuration is better."
            )
        equals = [confirmed.winner.number, *(one.number for one in confirmed.equals)]
        number = confirmed.simplest.number
        return number, _why_simplest(tables, number, equals, "cannot be distinguished in the confirmation runs")
    _ranking(study, None)  # says why there is none
    first = usable_trials(study)[0]
    folds = [one["best_value"] for one in fact(first, attributes.FOLDS) or ()]
    rule = one_error_rule(tables, folds)
    if rule is None:
        raise StudyError(
            f"simplest (--simplest): the study '{study.study_name}' has no confirmation runs, and the standard error of"
            f" its metric {tables.metric} on the validation images is unknown, so nothing says which trials are as good"
            " as the best one. Run `regstudy confirm` first, or choose with --rank or --trial."
        )
    error = amount(rule.error, tables.measured)
    words = f"lie within one standard error ({error}) of the best, trial {rule.best}"
    return rule.simplest, _why_simplest(tables, rule.simplest, list(rule.equals), words)


def _why_simplest(tables: Tables, number: int, equals: list[int], alike: str) -> str:
    active = regularizer_words(simplicity(tables, number).active)
    has = f"{counted(len(active), 'regularizer')} ({', '.join(active)})" if active else "no regularizer"
    if len(equals) == 1:
        return f"It is the best one, and no others {alike}. It has {has}."
    shown = ", ".join(map(str, sorted(equals)[:8])) + (", …" if len(equals) > 8 else "")
    return f"{len(equals)} trials ({shown}) {alike}. Of these, it has the fewest and weakest regularizers: {has}."


def _trial(study: optuna.Study, number: int) -> FrozenTrial:
    found = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    if number not in found:
        there = f"Its trials are numbered {min(found)} to {max(found)}." if found else "It has no trials."
        raise StudyError(f"The study '{study.study_name}' has no trial {number}. {there}")
    return found[number]


def _check_usable(study: optuna.Study, trial: FrozenTrial) -> None:
    """StudyError unless a trial has ended with a result and has a configuration."""
    which = f"Trial {trial.number} of the study '{study.study_name}'"
    if trial.state == TrialState.FAIL and fact(study, attributes.FINGERPRINT) is not None:
        reason = fact(trial, attributes.REASON)
        why = f" ({sentence(str(reason)).rstrip('.')})" if reason else ""
        raise StudyError(f"{which} failed{why}, so it has no result to export. {_others(study)}")
    if trial.state in (TrialState.RUNNING, TrialState.WAITING):
        raise StudyError(f"{which} has not ended yet, so it has no result to export. {_others(study)}")
    if fact(trial, attributes.CONFIG) is None:
        ours = fact(study, attributes.FINGERPRINT) is not None
        why = "none was stored" if ours else "regstudy did not make this study"
        drawn = ", ".join(f"{name}={value}" for name, value in trial.params.items())
        raise StudyError(
            f"{which} has no configuration to export: {why}." + (f" Its parameters are {drawn[:500]}." if drawn else "")
        )


def _others(study: optuna.Study) -> str:
    best = [str(trial.number) for trial in usable_trials(study)[:3]]
    return f"The best trials are {listing(best)}." if len(best) > 1 else f"The best trial is {best[0]}." if best else ""


def _why_none(study: optuna.Study) -> str:
    """Why a study has no usable trial."""
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not ended:
        return f"The study '{study.study_name}' has no completed trial yet"
    some = "its only completed trial" if len(ended) == 1 else f"all {counted(len(ended), 'completed trial')}"
    return f"In the study '{study.study_name}', {some} diverged"
