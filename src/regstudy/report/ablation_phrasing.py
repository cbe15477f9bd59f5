"""What an ablation shows, in sentences: causal words rest on the verdicts of `regstudy.analysis.ablation` alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from regstudy.analysis.ablation import Change, Effect, Judgment
from regstudy.analysis.ablation_rates import factors_in_words
from regstudy.analysis.claim import MANY_RUNS, Estimate
from regstudy.analysis.contrasts import Sign
from regstudy.metrics import Metric
from regstudy.report.ablation_findings import AblationFindings
from regstudy.report.metric_phrasing import unit, validation_name
from regstudy.report.phrasing import capital, listing
from regstudy.report.range_phrasing import in_brackets, number
from regstudy.text import counted, format_duration

BETTER: tuple[Judgment, ...] = ("closed the gap", "helped validation")
UNDERFITS: Judgment = "smaller gap, validation not better (underfits)"
ONLY_SEEDS = "The validation images are your own, so only the seeds vary: nothing is known about other images."


def estimate(found: Change, *, new: bool = False) -> Estimate:
    """A change with its interval on these images, or that for new images."""
    low, high = (found.new_low, found.new_high) if new else (found.low, found.high)
    return Estimate(found.mean, low, high, found.n)


def cause_sentences(found: AblationFindings) -> list[str]:
    """What is decided about the regularizers, a sentence per verdict: the good news first."""
    by = {verdict: [one for one in found.single if one.verdict == verdict] for verdict in _SENTENCES}
    said = [capital(say(by[verdict], found.metric)) for verdict, say in _SENTENCES.items() if by[verdict]]
    all_ = found.together
    if all_ is None or not replaceable(found):
        return said
    first = f"All of them together {all_.verdict}: {_much(all_, found.metric)}."
    others, stand = ("the others", "stand") if len(found.single) > 2 else ("the other one", "stands")
    sentences = [first, f"Without any single one nothing is lost: {others} {stand} in for it."]
    if by["hurt"]:
        sentences.append(f"In the presence of {others}, {_each(by['hurt'], found.metric, 'hurt')}")
    return sentences


def helps(found: AblationFindings) -> bool:
    """Whether a regularizer has been found that makes validation better."""
    return replaceable(found) or any(one.verdict in BETTER for one in found.single)


def replaceable(found: AblationFindings) -> bool:
    """Whether all regularizers together help, although validation needs no single one of them."""
    spare = ("no effect", UNDERFITS, "hurt")
    return (
        found.together is not None
        and found.together.verdict in BETTER
        and all(one.verdict in spare for one in found.single)
    )


def open_sentences(found: AblationFindings, where: str = "") -> list[str]:
    """What is not decided, and how many runs would; ``where`` names the study in the command."""
    undecided = [one for one in found.single if one.verdict == "undecided"]
    if not undecided:
        return []
    if found.left:
        names = listing([one.name for one in undecided])
        of = f"{found.left} of {counted(found.spent + found.left, 'ablation run')}"
        return [capital(f"{names} {_are(undecided)} not decided yet: {of} {_be(found.left)} still to come.")]
    sentences = []
    able = [one for one in undecided if 0 < one.more_runs < math.inf]
    if able:
        more = more_runs(found.total_runs - found.spent, found.run_seconds)
        command = f"regstudy ablate {where} --runs" if where else "--runs"
        head = capital(f"{listing([one.name for one in able])} {_are(able)} not decided")
        sentences.append(f"{head}: about {more} would decide ({command} {found.total_runs}).")
    if hopeless := [one for one in undecided if one not in able]:
        names = listing([one.name for one in hopeless])
        why = f"more than {MANY_RUNS} runs would be needed" if hopeless[0].metric.n > 1 else "too few runs have ended"
        sentences.append(capital(f"{names} {_are(hopeless)} not decided: {why}."))
    return sentences


def more_runs(runs: float, seconds: float) -> str:
    """``12 more runs (25 min)``."""
    spent = runs * seconds
    known = math.isfinite(spent) and spent > 0
    time = f" ({format_duration(spent if spent < 60 else 60 * round(spent / 60))})" if known else ""
    return f"{counted(round(runs), 'more run')}{time}"


def together_sentence(found: AblationFindings) -> str:
    """What all regularizers do together, against the baseline; empty if there is only one."""
    all_ = found.together
    if all_ is None or all_.metric.n < 2 or replaceable(found):  # which says it already
        return ""
    repeats = counted(all_.metric.n, "fresh repeat")
    return f"All of them together, against the baseline in {repeats}: {_much(all_, found.metric)}."


def rate_sentences(found: AblationFindings) -> list[str]:
    """The learning rate of each arm, if these were chosen."""
    if not found.factors:
        return []
    runs = f"{counted(found.tried, 'run')} that {'enters' if found.tried == 1 else 'enter'} no comparison"
    return [f"Learning rates, chosen by {runs}: {factors_in_words(found.factors, found.rates)}."]


def heading(found: AblationFindings) -> str:
    """The finding in a line, without numbers: ``Augmentation closed the gap; dropout and L2 had no effect``."""
    if replaceable(found):
        return "Together they help, but no single one is needed"
    parts = []
    for verdict, words in _SHORT.items():
        if names := [one.name for one in found.single if one.verdict == verdict]:
            parts.append(f"{listing(names)} {words[len(names) > 1]}")
    return capital("; ".join(parts))


def direction(found: Change, of: Metric, *, brief: bool = False) -> str:
    """``+4.1 points of validation (2.9 to 5.3)``; ``validation loss better by 0.041 nats (0.029 to 0.053)``.

    In a list, ``brief`` leaves out the name of the metric.
    """
    if of.percent:
        what = unit(of) if brief else f"{unit(of)} of {validation_name(of)}"
        return f"{number(found.mean, of, signed=True)} {what}{in_brackets(estimate(found), of)}"
    worse = found.mean < 0
    shown = _turned(found) if worse else estimate(found)
    name = "" if brief else f"validation {of.label} "
    by = f"{number(shown.mean, of)} {unit(of)}{in_brackets(shown, of)}"
    return f"{name}{'worse' if worse else 'better'} by {by}"


def _turned(found: Change) -> Estimate:
    return Estimate(-found.mean, -found.high, -found.low, found.n)


def _much(found: Effect, of: Metric, *, always: bool = True, brief: bool = False) -> str:
    """The change of validation, and that of the gap if it is known (and, unless ``always``, decided)."""
    text = direction(found.metric, of, brief=brief)
    if math.isfinite(found.gap.mean) and (always or found.gap.sign in _CLEAR):
        text += f", gap {number(found.gap.mean, of, signed=True)}"
    return text


_CLEAR: tuple[Sign, ...] = ("higher", "lower")


def _each(effects: Sequence[Effect], of: Metric, verb: str) -> str:
    """``augmentation closed the gap: …``; of several, each with its name."""
    if len(effects) == 1:
        return f"{effects[0].name} {verb}: {_much(effects[0], of, always=False)}."
    parts = "; ".join(
        f"{one.name} {_much(one, of, always=False, brief=place > 0)}" for place, one in enumerate(effects)
    )
    return f"{listing([one.name for one in effects])} {verb}: {parts}."


def _underfit(effects: Sequence[Effect], of: Metric) -> str:
    gaps = listing([number(one.gap.mean, of, signed=True) for one in effects])
    fit = "it underfits" if len(effects) == 1 else "they underfit"
    return f"{listing([one.name for one in effects])} made the gap smaller ({gaps}), but validation no better: {fit}."


def _nothing(effects: Sequence[Effect], _of: Metric) -> str:
    wider = [one.name for one in effects if one.gap.sign == "higher"]
    text = f"{listing([one.name for one in effects])} did nothing{' for validation' if wider else ''}"
    return f"{text}, and {listing(wider)} made the gap larger." if wider else f"{text}."


_SENTENCES = {
    "closed the gap": lambda effects, of: _each(effects, of, "closed the gap"),
    "helped validation": lambda effects, of: _each(effects, of, "helped validation"),
    UNDERFITS: _underfit,
    "hurt": lambda effects, of: _each(effects, of, "hurt"),
    "no effect": _nothing,
}
_SHORT: dict[Judgment, tuple[str, str]] = {
    "closed the gap": ("closed the gap",) * 2,
    "helped validation": ("helped validation",) * 2,
    UNDERFITS: ("only underfits", "only underfit"),
    "hurt": ("hurt",) * 2,
    "no effect": ("did nothing",) * 2,
    "undecided": ("is not decided", "are not decided"),
}


def _are(effects: Sequence[Effect]) -> str:
    return "is" if len(effects) == 1 else "are"


def _be(count: int) -> str:
    return "is" if count == 1 else "are"
