"""Ending a search that is no longer worth its trials (`--until worth`), and its next trials in words.

The end is stored in the study: {"search": its slots, "runs": those of its confirmation, "asked": the trials that were
asked for in all, and what the next trials would have gained}. The slots that nobody has begun are taken away, so every
worker of the study, on any machine, ends by itself.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import optuna
from optuna.trial import TrialState

from regstudy.analysis.next_trials import NEXT, NextTrials
from regstudy.metrics import Metric
from regstudy.search.division import Division, after_stop
from regstudy.search.known_start import tries_of
from regstudy.study import attributes
from regstudy.study.queue_state import queue_state
from regstudy.study.storage import OpenStudy, exclusive
from regstudy.study.stored_facts import fact
from regstudy.text import counted

WORTH = "worth"


def end_search(opened: OpenStudy, ahead: NextTrials) -> None:
    """End the search, if that was asked for and no point that a user wants to be tried is left.

    Trials under way are finished, and slots whose attempts failed are tried again. The confirmation gets the rest.
    """

    def attempt() -> None:
        with exclusive(opened.url):
            study = opened.study
            total, stored = int(fact(study, attributes.TRIALS, 0)), fact(study, attributes.STOPPED)
            if fact(study, attributes.UNTIL) != WORTH:
                return
            if stored is None:
                if (stored := _end_now(study, total, ahead)) is None:
                    return
                study.set_user_attr(attributes.STOPPED, stored)
            if stored["search"] < total:  # also if the connection was lost on the way
                given = fact(study, attributes.CONFIRM) or {"share": 0.0}
                study.set_user_attr(attributes.CONFIRM, {**given, "runs": stored["runs"]})
                study.set_user_attr(attributes.TRIALS, stored["search"])

    opened.patiently(attempt)


def _end_now(study: optuna.Study, total: int, ahead: NextTrials) -> dict[str, Any] | None:
    """What is stored of the end of a search with so many slots; None if it must not end yet."""
    trials = study.get_trials(deepcopy=False)
    state = queue_state(trials)
    searched = max(state.finished | state.open | state.faults.keys(), default=-1) + 1
    waiting = any(trial.state == TrialState.WAITING for trial in trials)
    if searched >= total or waiting or max(tries_of(study), default=-1) >= searched:
        return None
    given = fact(study, attributes.CONFIRM) or {"share": 0.0, "runs": 0}
    asked = total + given["runs"]
    runs = after_stop(asked, given["share"], searched, given["runs"]).confirm
    return {"search": searched, "asked": asked, "runs": runs, **asdict(ahead)}


def stopped_division(study: optuna.Study, trials: int, until: str, share: float, planned: int) -> Division | None:
    """How so many trials are divided if the search has been ended; None if it has not, or is to go on.

    It goes on when more trials than before are asked for without the rule that ended it. ``planned``: confirmation runs
    that are decided.
    """
    stored = fact(study, attributes.STOPPED)
    if stored is None or (until != WORTH and trials > stored["asked"]):
        return None
    return after_stop(trials, share, stored["search"], planned)


def go_on(study: optuna.Study, trials: int, until: str) -> None:
    """Forget that a search was ended, if it is to go on; see `stopped_division`."""
    if fact(study, attributes.STOPPED) is not None and stopped_division(study, trials, until, 0.0, 0) is None:
        study.set_user_attr(attributes.STOPPED, None)


def why_stopped(study: optuna.Study, of: Metric, division: Division) -> str:
    """Why the search has ended, and what becomes of the other trials."""
    stored: dict[str, Any] = fact(study, attributes.STOPPED) or {}
    words = ""
    if stored.keys() >= {"gain", "error", "noise"}:
        noise = _amount(float(stored["noise"]), of)
        words = (
            f": its next {NEXT} trials would truly gain about {gain_words(stored['gain'], stored['error'], of)}, too"
            f" little next to the noise of one value ({noise})"
        )
    lines = [f"The search ends after {counted(division.search, 'trial')}{words}."]
    if division.confirm:
        lines.append(f"The other trials become confirmation runs: {division.confirm} in all.")
    if division.unused:
        lines.append(f"{counted(division.unused, 'trial')} of those asked for {_are(division.unused)} not used.")
    return " ".join(lines)


def gain_words(gain: float, error: float, of: Metric) -> str:
    """A gain with its standard deviation: ``+0.1 ± 0.2 points``, or ``+0.010 ± 0.021 nats``."""
    if of.percent:
        return f"{100 * gain:+.1f} ± {100 * error:.1f} points"
    return f"{gain:+.3f} ± {error:.3f} nats"


def ahead_words(ahead: NextTrials, of: Metric) -> str:
    """The next trials in a few words: ``next 10 trials: +0.1 ± 0.2 points``."""
    return f"next {NEXT} trials: {gain_words(ahead.gain, ahead.error, of)}"


def _amount(size: float, of: Metric) -> str:
    return f"{100 * size:.1f} points" if of.percent else f"{size:.3f} nats"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
