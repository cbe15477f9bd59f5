"""Which of several searched studies gives the best model, and whether one may say so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from regstudy.analysis.between_studies import Contrast, key_of
from regstudy.analysis.gap import PLACES
from regstudy.analysis.race import MIN_ROUNDS
from regstudy.metrics import Metric
from regstudy.report.answer_phrasing import OWN_VALIDATION, Answer
from regstudy.report.metric_phrasing import unit
from regstudy.report.next_actions import Action, arguments_of
from regstudy.report.phrasing import listing, metric_name
from regstudy.report.range_phrasing import level, number
from regstudy.report.several.searched_study import SearchedStudy
from regstudy.text import counted, format_duration

UNEQUAL = 1.25  # budgets whose ratio is larger are called unequal
NOT_SPACES = (
    "This is about the models that the studies found, not about their spaces: each was searched once, and another"
    " search of the same space may find another model."
)


def several_answer(studies: Sequence[SearchedStudy], found: Sequence[Contrast]) -> Answer:
    """The answer over all studies; nothing is ranked that cannot be compared."""
    missing = [one for one in studies if not one.claimed]
    budget, within = budget_sentence(studies), " ".join(_partial(studies, found))
    if why := why_not_comparable(studies):
        sentence = "The values of these studies cannot be compared, so none of them is called the best."
        actions = [_confirm(one) for one in missing if sum(not _unlike(one, other) for other in studies) > 1]
        return Answer("none", "Not comparable", sentence, why, limit=within, luck=budget, actions=actions[:3])
    if missing:
        names = listing([one.label for one in missing])
        verb = "has" if len(missing) == 1 else "have"
        sentence = f"It is not known which study gives the best model: {names} {verb} no confirmed value."
        support = _why_missing(missing)
        actions = [_confirm(one) for one in missing]
        return Answer("none", "Not confirmed", sentence, support, limit=within, luck=budget, actions=actions[:3])
    return replace(_ranked(studies, found), luck=budget)


def _why_missing(missing: Sequence[SearchedStudy]) -> str:
    """What the studies without a confirmed value lack."""
    waiting = [one.label for one in missing if one.answer.word in ("Not confirmed", "Not decided yet")]
    others = [f"{one.label}: {one.answer.sentence}" for one in missing if one.label not in waiting]
    if waiting:
        winner = f"The winner of {waiting[0]}" if len(waiting) == 1 else f"The winners of {listing(waiting)}"
        text = (
            "A search value is partly luck, and the more so the longer the search."
            f" {winner} must be trained again with fresh seeds, in at least {MIN_ROUNDS} rounds."
        )
        others.insert(0, text)
    return " ".join(others)


def leading(studies: Sequence[SearchedStudy]) -> int | None:
    """The position of the study whose model has the best fresh value; None unless all can be compared."""
    if why_not_comparable(studies) or not all(one.claimed for one in studies):
        return None
    sign = 1 if studies[0].metric.maximize else -1
    return max(range(len(studies)), key=lambda i: (sign * studies[i].level.mean, -i))


def why_not_comparable(studies: Sequence[SearchedStudy]) -> str:
    """How the images, the split or the metric differ from those of the first study; empty if they do not."""
    first = studies[0]
    told = [text for one in studies[1:] if (text := _unlike(first, one))]
    return " ".join(told)


def budget_sentence(studies: Sequence[SearchedStudy]) -> str:
    """That some studies spent more than others, or all about as much."""
    spent = [one.epochs for one in studies]
    if min(spent) <= 0:
        return ""
    if max(spent) <= UNEQUAL * min(spent):
        return f"The studies spent about as much: {'; '.join(f'{one.label} {_spent(one)}' for one in studies)}."
    most, least = (studies[spent.index(end(spent))] for end in (max, min))
    shown = [f"{most.label} {_spent(most)}", f"{least.label} {_spent(least)}"]
    return (
        f"Unequal budgets: {most.label} spent {max(spent) / min(spent):.1f} times the epochs of {least.label}"
        f" ({shown[0]}; {shown[1]}). A longer search may find more by its length alone."
    )


def contrast_words(one: Contrast, studies: Sequence[SearchedStudy], of: Metric, lead: int | None = None) -> str:
    """``2.1 points better than a (1.2 to 3.0)``, seen from the study ``lead``, by default the first of the pair."""
    flip = lead is not None and lead == one.second
    sign, other = (-1, one.first) if flip else (1, one.second)
    mean = sign * shown_difference(one, studies)
    ends = sorted((sign * one.test.low, sign * one.test.high))
    side = ("better" if mean >= 0 else "worse") if one.outcome == "value" else ("larger" if mean >= 0 else "smaller")
    ends = ends if mean >= 0 else [-ends[1], -ends[0]]
    span = f" ({number(ends[0], of)} to {number(ends[1], of)})" if all(map(math.isfinite, ends)) else ""
    return f"{number(abs(mean), of)} {unit(of)} {side} than {_of(one)}{studies[other].label}{span}"


def shown_difference(one: Contrast, studies: Sequence[SearchedStudy]) -> float:
    """The difference, as that of the two numbers that are shown; over the rounds of the test where these are others."""
    of = studies[one.first].metric
    ends = [getattr(studies[i], "level" if one.outcome == "value" else "gap") for i in (one.first, one.second)]
    difference = round(round(ends[0].mean, PLACES) - round(ends[1].mean, PLACES), PLACES)
    signed = difference if of.maximize or one.outcome == "gap" else -difference
    return signed if abs(signed - one.test.mean) < 1.5 * 10**-PLACES else round(one.test.mean, PLACES)


def _of(one: Contrast) -> str:
    return "that of " if one.outcome == "gap" else ""


def _ranked(studies: Sequence[SearchedStudy], found: Sequence[Contrast]) -> Answer:
    lead = leading(studies)
    assert lead is not None
    top, of = studies[lead], studies[lead].metric
    values = {_other(one, lead): one for one in found if one.outcome == "value" and lead in (one.first, one.second)}
    others = [i for i in range(len(studies)) if i != lead]
    verdicts = {i: _seen_from(values[i], lead) if i in values else "undecided" for i in others}
    told = [contrast_words(values[i], studies, of, lead) for i in others if i in values]
    support = f"On fresh seeds its model is {listing(told)}." if told else ""
    gaps = [one for one in found if one.outcome == "gap" and lead in (one.first, one.second)]
    clear = [contrast_words(one, studies, of, lead) for one in gaps if one.verdict in ("higher", "lower")]
    gap = f"Its gap is {listing(clear)}." if clear else "No difference between the gaps is certain." if gaps else ""
    assert top.confirmed is not None and top.model is not None
    kept = {"broken": " Its gap is above the limit of its study.", "undecided": " Its gap may be above the limit of its"
            " study."}.get(top.confirmed.limit_kept or "", "")  # fmt: skip
    cause = gap + kept
    own = OWN_VALIDATION.replace("the search", "the searches") if top.confirmed.own_validation else ""
    caveat = " ".join(filter(None, [own, NOT_SPACES]))
    model = f"trial {top.model.number}" if top.confirmed.recommended is top.confirmed.winner else "the baseline"
    reaches = f"{model}, {metric_name(of.val)} {level(top.level, of)}"
    where = arguments_of(top.place)
    train = Action(
        "Train the best model", "", f"regstudy export {where} -o best.yaml && regstudy train best.yaml -o model"
    )
    if all(verdict == "higher" for verdict in verdicts.values()):
        than = f"than {'the other' if len(others) == 1 else 'all others'}"
        sentence = f"{top.label} gives the best model: {reaches}."
        support = f"This is certain enough to claim. {support}"
        return Answer("ok", f"Better {than}", sentence, support, cause=cause, caveat=caveat, actions=[train])
    if all(verdict == "no difference" for verdict in verdicts.values()):
        margin = f"{number(top.confirmed.margin, of)} {unit(of)}"
        sentence = f"The studies' models are equally good, within {margin}."
        support = f"{top.label} has the highest value by chance: {support[:1].lower()}{support[1:]}"
        return Answer("ok", "No difference that matters", sentence, support, cause=cause, caveat=caveat)
    close = [studies[i].label for i in others if verdicts[i] != "higher"]
    sentence = f"{top.label} looks best ({reaches}), but its lead over {listing(close)} could be luck."
    more = [_more(studies[i], values.get(i)) for i in (lead, *(i for i in others if verdicts[i] != "higher"))][:3]
    return Answer("wait", "Not decided yet", sentence, support, cause=cause, caveat=caveat, actions=more)


def _seen_from(one: Contrast, lead: int) -> str:
    swapped = {"higher": "lower", "lower": "higher"}
    return swapped.get(one.verdict, one.verdict) if one.second == lead else one.verdict


def _other(one: Contrast, lead: int) -> int:
    return one.second if one.first == lead else one.first


def _partial(studies: Sequence[SearchedStudy], found: Sequence[Contrast]) -> list[str]:
    """What can be said of those studies that can be compared with each other."""
    told = []
    for one in (each for each in found if each.outcome == "value"):
        first = studies[one.first]
        luck = "" if one.verdict in ("higher", "lower", "no difference") else ", which could be luck"
        told.append(f"{first.label} is {contrast_words(one, studies, first.metric)}{luck}.")
    return ["Of those that can be compared:", *told] if told else []


def _confirm(one: SearchedStudy) -> Action:
    known = [action for action in one.answer.actions if action.command]
    if known:
        return replace(known[0], title=f"{one.label}: {known[0].title[:1].lower()}{known[0].title[1:]}")
    return Action(f"{one.label} cannot be confirmed", one.answer.support or one.answer.sentence)


def _more(one: SearchedStudy, contrast: Contrast | None) -> Action:
    """More rounds, so many in each study that the pair would be decided, if mean and spread stay."""
    assert one.confirmed is not None
    more = contrast.test.more(contrast.margin) if contrast is not None else math.nan
    runs = 2 * math.ceil(more) if math.isfinite(more) and more <= 100 else 2 * MIN_ROUNDS
    total = one.confirmed.runs + runs
    where = arguments_of(one.place)
    cost = format_duration(runs * one.confirmed.run_seconds) if one.confirmed.run_seconds > 0 else ""
    return Action(f"More rounds of {one.label}", "", f"regstudy confirm {where} --runs {total}", "", "", cost,
                  counted(runs, "run"))  # fmt: skip


def _spent(one: SearchedStudy) -> str:
    taken = f", {format_duration(one.seconds)}" if math.isfinite(one.seconds) else ""
    return f"{counted(one.trials, 'trial')}, {counted(one.epochs, 'epoch')}{taken}"


def _unlike(first: SearchedStudy, other: SearchedStudy) -> str:
    """Why the values of two studies cannot be compared; empty if they can."""
    one, two = key_of(first.tables), key_of(other.tables)
    names = f"{first.label} and {other.label}"
    for each, key in ((first, one), (other, two)):
        if key is None:
            return f"{each.label} does not say which images it used."
    if one == two:
        return ""
    data, more = first.tables.data, other.tables.data
    unlike = []
    if first.tables.metric != other.tables.metric:
        unlike.append(f"different metrics ({metric_name(first.tables.metric)}, {metric_name(other.tables.metric)})")
    if data.get("name") != more.get("name"):
        unlike.append(f"different images ({data.get('name')}, {more.get('name')})")
    if data.get("classes") != more.get("classes"):
        sizes = [len(each.get("classes") or []) for each in (data, more)]
        unlike.append("different classes" + (f" ({sizes[0]} and {sizes[1]})" if sizes[0] != sizes[1] else ""))
    if data.get("shape") != more.get("shape"):
        unlike.append(
            f"different sizes ({', '.join(' × '.join(map(str, each.get('shape') or ['?'])) for each in (data, more))})"
        )
    counts = [f"{each.get('train', 0):,} + {each.get('validation', 0):,}" for each in (data, more)]
    if counts[0] != counts[1]:
        unlike.append(f"different numbers of images for training and validation ({counts[0]}, {counts[1]})")
    if data.get("folds") != more.get("folds"):
        unlike.append("another number of folds")
    if not unlike and data.get("split_hash") != more.get("split_hash"):
        seeds = first.tables.seed, other.tables.seed
        why = (
            f"; study.seed is {seeds[0]} and {seeds[1]}, and each seed gives its own split"
            if seeds[0] != seeds[1]
            else ""
        )
        unlike.append(
            f"different images or another split of them ({data.get('split_hash')}, {more.get('split_hash')}{why})"
        )
    return f"{names} have {listing(unlike or ['another grouping of the images'])}."
