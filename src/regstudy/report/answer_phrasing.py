"""The answer of a study in a few sentences, which its page, summary, note, list entry and terminal all say alike.

What is claimed comes from confirmation runs alone; the value of the search stands next to it once, and the difference
is called luck. A study without confirmation runs has the cautious words of `regstudy.report.verdict_phrasing`. The
status says how far the answer can be trusted, not whether it is good news. That a regularizer did something is said
only after an ablation, whose runs without it tell (`regstudy.report.ablation_phrasing`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from regstudy.analysis.claim import MANY_RUNS
from regstudy.analysis.confirmation import Confirmation, Leader
from regstudy.analysis.constant_answer import constant_answer
from regstudy.analysis.gap import PLACES
from regstudy.analysis.gap_limit import gap_limit
from regstudy.analysis.next_trials import NextTrials
from regstudy.analysis.race import MIN_ROUNDS
from regstudy.config.active_regularizers import regularizer_words
from regstudy.metrics import Metric
from regstudy.report.ablation_findings import AblationFindings
from regstudy.report.limit_phrasing import fresh_limit_sentence, search_limit_sentence
from regstudy.report.metric_phrasing import score, unit
from regstudy.report.next_actions import Action, can_be_confirmed, missing_runs, more_trials, next_actions, runs_words
from regstudy.report.phrasing import listing, metric_name
from regstudy.report.range_phrasing import gain, level, number, shown_gain, span
from regstudy.report.verdict_phrasing import Verdict, constant_words
from regstudy.study.tables import Tables
from regstudy.text import counted

Tone = Literal["ok", "wait", "none"]  # how far to trust the answer; each has its own icon

OWN_VALIDATION = "Same validation images as the search: selection on them is not removed."
NAMED_REGULARIZERS = 3  # of more, only their number is told
_SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class Answer:
    """``word`` is the status, ``sentence`` the answer; the other texts may be empty.

    ``support``: how sure it is; ``limit``: what the study's limit on the gap did, and whether it holds; ``luck``: the
    value of the search next to that of fresh seeds; ``caveat``: what the fresh runs do not remove; ``equals``: which
    leaders cannot be distinguished from the winner; ``gap``: those of baseline and winner; ``cause``: what an ablation
    says about the regularizers, if it is not the sentence, and what it has not decided; ``resolution`` and ``model``:
    what an ablation can tell in the budget of `regstudy answer`, and where the network is that this has trained.
    """

    tone: Tone
    word: str
    sentence: str
    support: str = ""
    luck: str = ""
    caveat: str = ""
    equals: str = ""
    gap: str = ""
    actions: list[Action] = field(default_factory=list)
    more: Action | None = None  # trials of the same search, with what they would gain
    worth_more: bool = True
    cause: str = ""
    limit: str = ""
    resolution: str = ""
    model: str = ""

    @property
    def reasons(self) -> list[str]:
        """What supports the sentence, and what limits it."""
        told = (
            self.support, self.cause, self.limit, self.gap, self.luck, self.caveat, self.equals, self.resolution,
            self.model,
        )  # fmt: skip
        return [text for text in told if text]

    @property
    def next_heading(self) -> str:
        """The first thing to do, and whether more of the same is worth it."""
        first = self.actions[0].title if self.actions else "Leave it at that"
        return f"{first}; more of the same search is not worth it" if not self.worth_more else first

    @property
    def lines(self) -> list[str]:
        """The answer for a terminal: its status, the reasons, and the next command."""
        following = [action for action in self.actions if action.command][:1]
        more = [f"{self.more.title}: {self.more.gain}."] if self.more else []
        return [f"{self.word}: {self.sentence}", *self.reasons, *more, *(f"Next: {one.command}" for one in following)]


def answer(
    found: Confirmation | None,
    tables: Tables,
    searched: Verdict,
    where: str,
    *,
    unlearned: bool = False,
    apart: AblationFindings | None = None,
    ahead: NextTrials | None = None,
) -> Answer:
    """What a study shows. ``searched``: the verdict on the search alone; ``where`` names the study in commands.

    ``unlearned``: no trial of the search beats the best constant answer; ``apart``: the
    ablation, which some actions go on with (`cause_phrasing.with_cause` says what it shows); ``ahead``: what further
    trials of the search would gain.
    """
    actions = next_actions(found, tables, where, unlearned=unlearned, apart=apart)
    limited = gap_limit(tables)
    if unlearned:
        made = Answer("none", "Nothing learned", searched.headline, " ".join(searched.sentences[:1]))
    elif found is None and limited is not None and limited.unmet:
        made = Answer("none", "None within the limit", searched.headline, " ".join(searched.sentences))
        limited = None  # the sentences say it all
    elif found is None:
        made = _unconfirmed(tables, searched)
    else:
        made = _of_confirmation(found, tables)
        if found.limit_kept == "broken" and made.tone == "ok":
            made = replace(made, tone="wait", word=f"{made.word}, gap above the limit")
    if limited is not None and not unlearned:
        fresh = fresh_limit_sentence(found) if found is not None else ""
        made = replace(made, limit=f"{search_limit_sentence(limited)} {fresh}".strip())
    learned = not unlearned and (found is None or found.status != "nothing learned")
    gap = f"Gap: {gap_heading(found)}." if found and learned else ""
    ahead = ahead if learned else None
    more, worth = more_trials(ahead, tables), ahead is None or ahead.worth
    return replace(made, gap=gap, actions=actions, more=more, worth_more=worth)


def luck_sentence(found: Confirmation) -> str:
    """``search 98.0 %, fresh seeds 96.9 % (95.8 to 98.0): about 1.1 points were luck``."""
    of, luck = found.metric, shown_luck(found)
    text = (
        f"Trial {found.winner.number}: search {score(found.winner.searched, of)}, fresh seeds {level(found.level, of)}"
    )
    return f"{text}: {f'about {number(luck, of)} {unit(of)} were luck' if luck > 0 else 'no luck shows'}."


def shown_luck(found: Confirmation) -> float:
    """The luck as the difference of the two values that are shown."""
    sign = 1 if found.metric.maximize else -1
    return round(sign * (round(found.winner.searched, PLACES) - round(found.level.mean, PLACES)), PLACES)


def equals_sentence(found: Confirmation, winner: str = "it") -> str:
    """Which leaders cannot be distinguished from the ``winner``; the simplest of them is named if the winner is not."""
    others, simple = found.equals, found.simplest
    if not others:
        return ""
    if simple is not found.winner:
        count = len(simple.active)
        much = f"{_few(count)} regularizer{'' if count == 1 else 's'}"
        alike = "" if count < len(found.winner.active) else ", set more weakly"
        return f"Trial {simple.number}, with {much}{alike}, cannot be distinguished from {winner}."
    which = (
        listing([str(number) for number in sorted(one.number for one in others)])
        if len(others) <= 5
        else f"{len(others)} others"
    )
    trials = "Trial" if len(others) == 1 else "Trials" if len(others) <= 5 else ""
    simplest = "simpler" if len(others) == 1 else "simplest"
    told = f"{trials} {which} cannot be distinguished from {winner}; trial {simple.number} is the {simplest} of them."
    return told.strip()


def with_words(leader: Leader) -> str:
    """``with dropout and L2``."""
    names = regularizer_words(leader.active)
    if not names:
        return "without regularizers"
    return f"with {listing(names)}" if len(names) <= NAMED_REGULARIZERS else f"with {len(names)} regularizers"


def _unconfirmed(tables: Tables, searched: Verdict) -> Answer:
    if not tables.observed().any():
        return Answer("none", "No result yet", searched.headline, " ".join(searched.sentences[:1]))
    support = "The score that chose this trial is also the one shown: expect less. Fresh seeds tell how much was luck."
    if not can_be_confirmed(tables):
        support = "It cannot be confirmed: that takes a finished baseline trial and a finished trial of the search."
    return Answer("none", "Not confirmed", searched.headline, support)


def _of_confirmation(found: Confirmation, tables: Tables) -> Answer:
    luck, caveat = luck_sentence(found), OWN_VALIDATION if found.own_validation else ""
    trial, of = f"trial {found.winner.number}", found.metric
    more = _still_to_come(found)
    match found.status:
        case "confirmed":
            support = f"{_sure(found)}: {_wins(found)}, by {gain(shown_gain(found), of)}.{more}"
            sentence = f"{trial.capitalize()}, {with_words(found.winner)}, {_reaches(found)}."
            return Answer("ok", "Confirmed", sentence, support, luck, caveat, equals_sentence(found))
        case "no better":
            worse = found.gain.high < -found.margin
            sentence = (
                f"Leave the regularizers off: the best of the search, {trial}, is {'worse' if worse else 'no better'} "
                "than the baseline."
            )
            how = _worse(found) if worse else _difference(found)
            support = f"{_sure(found)}: {how}; {_wins(found)}.{more}"
            return Answer("ok", "No better than the baseline", sentence, support, luck, caveat)
        case "undecided":
            support = f"{_wins(found).capitalize()}: {gain(shown_gain(found), of)}. {_would_decide(found)}{more}"
            sentence = _looks(found, trial)
            return Answer("wait", "Not decided yet", sentence, support, luck, caveat, equals_sentence(found))
        case "too few rounds":
            sentence = (
                f"{trial.capitalize()} leads, but it shares only {counted(found.rounds, 'fresh round')} with the "
                f"baseline, and a claim needs {MIN_ROUNDS}."
            )
            enough = f"{runs_words(found, max(2.0, missing_runs(found)))} would give an answer."
            support, sofar = more.strip() or enough, score(found.level.mean, of)
            luck = (
                f"Trial {found.winner.number}: search {score(found.winner.searched, of)}, fresh seeds {sofar} so far."
            )
            return Answer("none", "Not confirmed", sentence, support, luck, caveat)
        case "nothing learned":
            constant = constant_answer(tables.data, tables.metric, tables.doctor)
            than = constant_words(constant) if constant else "guessing"
            support = (
                f"With fresh seeds the winner has {level(found.level, of)} {metric_name(of.val)}, no better than "
                f"{than}. More trials will not help; find out first what keeps the networks from learning."
            )
            return Answer("none", "Nothing learned", "These runs cannot answer the question.", support)


def _sure(found: Confirmation) -> str:
    return "So far" if found.left else "You may rely on it"


def _reaches(found: Confirmation) -> str:
    """``reaches 91.3 % validation accuracy; the baseline reaches 84.9 %``."""
    of, name = found.metric, metric_name(found.metric.val)
    own, base = score(found.level.mean, of), score(found.baseline_level.mean, of)
    if of.maximize:
        return f"reaches {own} {name}; the baseline reaches {base}"
    return f"has a {name} of {own}; the baseline has {base}"


def _wins(found: Confirmation) -> str:
    return f"better than the baseline in {found.wins} of {counted(found.rounds, 'fresh round')}"


def _worse(found: Confirmation) -> str:
    of, lost = found.metric, shown_gain(found)
    return f"it is {number(-lost.mean, of)} {unit(of)} worse ({number(-lost.high, of)} to {number(-lost.low, of)})"


def _difference(found: Confirmation) -> str:
    matters = f"only a gain above {number(found.margin, found.metric)} would matter"
    return f"the difference is {gain(shown_gain(found), found.metric)}, and {matters}"


def _looks(found: Confirmation, trial: str) -> str:
    of, seen = found.metric, shown_gain(found)
    if seen.mean <= found.margin:
        return f"{trial.capitalize()} and the baseline cannot be distinguished yet."
    looks = f"{trial.capitalize()} looks {number(seen.mean, of)} {unit(of)} better than the baseline"
    return f"{looks}, but {'this could be luck' if seen.low <= 0 else 'it may be too little to matter'}."


def _would_decide(found: Confirmation) -> str:
    runs = missing_runs(found)
    if not math.isfinite(runs):
        return f"More than {MANY_RUNS} runs would be needed to decide. Until then, keep what you have."
    return f"About {runs_words(found, runs)} would decide. Until then, keep what you have."


def _still_to_come(found: Confirmation) -> str:
    if not found.left:
        return ""
    return f" {found.left} of {counted(found.runs + found.left, 'confirmation run')} are still to come: it may change."


def _few(count: int) -> str:
    return _SMALL[count] if count < len(_SMALL) else str(count)


def gap_heading(found: Confirmation) -> str:
    """How the gap differs, and on which side the winner differs from the baseline."""
    of, change = found.metric, found.gap_change
    before, after = number(found.baseline_gap.mean, of), number(found.gap.mean, of)
    if not (math.isfinite(change.low) and (change.high < 0 or change.low > 0)):
        return f"{before} and {after} {unit(of)}: no clear difference in the gap"
    head = f"From {before} to {after} {unit(of)}"
    if change.mean > 0:
        return f"{head}: the winner has the larger gap"
    return f"{head}, {_side(found, of)}"


def _side(found: Confirmation, of: Metric) -> str:
    validation, training = found.gain.mean, -found.fit_change.mean  # both positive where they close the gap
    better, worse = ("higher", "lower") if of.maximize else ("lower", "higher")
    if validation <= found.margin:
        return f"only by {worse} training {of.label}"
    if training <= found.margin:
        return f"all of it by {better} validation {of.label}"
    return (
        f"mostly by {better} validation {of.label}"
        if validation >= training
        else (f"mostly by {worse} training {of.label}")
    )


def in_short(found: Confirmation) -> str:
    """The claim about the winner in one line, for a file's heading."""
    of = found.metric
    if not math.isfinite(found.gain.low):
        return f"with a fresh seed {metric_name(of.val)} {level(found.level, of)}"
    return (
        f"with fresh seeds {metric_name(of.val)} {level(found.level, of)}; gain over the baseline "
        f"{number(shown_gain(found).mean, of, signed=True)} {unit(of)} ({span(found.gain, of)}), "
        f"{found.rounds} rounds"
    )
