"""The verdict of a study: a recommendation that claims no more than its trials support, its reasons, and caveats."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from regstudy.analysis.constant_answer import ConstantAnswer
from regstudy.analysis.gap import MIN_TRIALS, BaselineComparison, Relation
from regstudy.analysis.gap_limit import gap_limit
from regstudy.metrics import metric
from regstudy.report.limit_phrasing import unmet_sentences
from regstudy.report.metric_phrasing import amount, change, fit_got_worse, gap_score, score, unit, validation_name
from regstudy.report.other_metric_phrasing import other_winners_sentence, positive_class
from regstudy.report.phrasing import (
    differences,
    gap_finding,
    in_percent,
    listing,
    metric_name,
    minus,
    objective,
    points,
)
from regstudy.study.tables import PARAM, Tables
from regstudy.text import counted, sentence

_SELECTION_BIAS = (
    "Every trial ran with a single seed, and the best of many trials is partly luck (winner's curse). Expect a lower "
    "score with new seeds."
)
_HOW_TO_MEASURE_IT = " To measure it, run `regstudy confirm`."


def _selection_bias(tables: Tables) -> str:
    """The caveat of every best trial; only a trial that stores its configuration can be exported."""
    stored = any("." in column and not column.startswith(PARAM) for column in tables.trials.columns)
    return _SELECTION_BIAS + (_HOW_TO_MEASURE_IT if stored else "")


def constant_words(constant: ConstantAnswer) -> str:
    """The best constant answer with its score, as in ``always answering 'healthy' (95.0 %)``."""
    score = objective(constant.value, constant.metric)
    known = metric(constant.metric)
    if known.name == "loss":
        return f"always answering with the shares of the classes (loss {score})"
    if known.from_scores:
        return f"the same score for every image ({known.label} {score})"
    if known.name not in ("accuracy", "macro_f1"):  # the same for whichever class is always answered
        return f"always answering the same class ({known.label} {score})"
    if known.name == "macro_f1":
        return f"always answering {repr(constant.largest) if constant.largest else 'the same class'} (macro F1 {score})"
    if constant.largest:
        return f"always answering '{constant.largest}' ({score})"
    if constant.source == "doctor" and constant.value > 1 / constant.classes:
        return f"always answering with the largest class ({score})"
    return f"guessing among {constant.classes} classes ({score})"


def nothing_learned_words(constant: ConstantAnswer | None, *, balanced: bool, who: str = "trial") -> str:
    """The finding of a study in which no trial (or ``who``) beats the best constant answer."""
    words = constant_words(constant) if constant else "guessing"
    if balanced:  # balancing costs accuracy, so a network may have learned and still be below
        return f"No {who} beats {words}."
    return f"No {who} learned anything: none beats {words}."


@dataclass(frozen=True)
class Verdict:
    """The recommendation (headline), the reasons (sentences) and the caveats (cautions)."""

    headline: str
    sentences: list[str]
    cautions: list[str]
    good: bool = False  # whether regularization visibly helped

    def __str__(self) -> str:
        return "\n".join([self.headline, *self.sentences, *self.cautions])


def verdict(tables: Tables, comparison: BaselineComparison, relations: list[Relation]) -> Verdict:
    """The study's answer in a few sentences; never stronger than one seed per trial supports."""
    if comparison.nothing_learned:
        return _unlearned(tables, comparison)
    limited = gap_limit(tables)
    if limited is not None and limited.unmet:
        return Verdict(*unmet_sentences(limited), [])
    found = _answer(tables, comparison, relations)
    said = [other_winners_sentence(tables), positive_class(tables) if comparison.measured.binary else ""]
    return replace(found, sentences=[*filter(None, said), *found.sentences])


def _answer(tables: Tables, comparison: BaselineComparison, relations: list[Relation]) -> Verdict:
    top = comparison.best
    if top is None:
        return _nothing(tables)
    value, name = objective(top.value, tables.metric), metric_name(tables.metric)
    bias = [_selection_bias(tables), *fold_bias(tables)]
    answer = [] if comparison.untrained or not relations else [gap_finding(relations)]
    if comparison.baseline is None:
        headline = f"Trial {top.number} is the best: {name} {value}."
        armed = tables.trials["arm"].notna().any()
        none = "No baseline trial finished" if armed else "This study has no baseline arm"
        missing = f"{none}, so the study cannot tell whether regularization helped."
        return Verdict(headline, [missing, *answer], bias)
    count = counted(comparison.baseline_trials, "baseline trial")
    if comparison.challenger is None:
        headline = f"Only the baseline has results: {name} {value} (trial {top.number}, best of {count})."
        return Verdict(headline, ["No trial of the search arm finished with a usable result."], bias)
    sentences = _sentences(tables, comparison, answer)
    cautions = [*([] if comparison.baseline_wins else _effort(comparison)), *bias]
    if comparison.few or comparison.untrained:
        head = "Too few trials for a verdict" if comparison.few else f"No verdict: {_who(comparison)} barely learned"
        best = f"the baseline, trial {top.number}" if comparison.baseline_wins else f"trial {top.number}"
        headline = f"{head}. Best so far: {best}, {name} {value}."
        return Verdict(headline, [*_why_open(comparison), *sentences], cautions)
    if comparison.baseline_wins:
        headline = f"Leave the regularizers off: no search trial beat the best of {count} (trial {top.number})."
        return Verdict(headline, sentences, cautions)
    good = comparison.word in ("closed the gap", "helped validation") and comparison.gains is True
    return Verdict(_headline(comparison, count), sentences, cautions, good)


def fold_bias(tables: Tables) -> list[str]:
    """What the values of a study with folds are, and why they are too high; empty without folds."""
    if not tables.folds:
        return []
    return [
        f"Every value is the mean over {tables.folds} folds. In each fold, the best epoch was chosen on the same "
        "validation images that give the value, so all values are somewhat too high, the more so the smaller the "
        "folds. Curves and best epochs are those of the first fold."
    ]


def _who(comparison: BaselineComparison) -> str:
    challenger = comparison.challenger
    both = challenger is not None and comparison.near_constant(challenger)
    return "the networks have" if both else "the baseline has"


def _unlearned(tables: Tables, comparison: BaselineComparison) -> Verdict:
    """The verdict of a study in which nothing beats the best constant answer."""
    sentences = ["This says nothing about the regularizers: a network that has not learned has no gap to close."]
    if comparison.balanced:
        cost = "accuracy" if comparison.measured.percent else "the loss"
        sentences = [
            "Some trials balance the classes (training.balance). That helps the small classes at the cost of "
            f"{cost}, so {cost} cannot tell whether these trials have learned. This study says nothing about the "
            "regularizers."
        ]
    if comparison.best is not None:
        reached = objective(comparison.best.value, tables.metric)
        top = f"The best of {counted(len(tables.trials), 'trial')}, trial {comparison.best.number}, reached "
        sentences.insert(0, f"{top}{metric_name(tables.metric)} {reached}.")
    assumed = comparison.constant is not None and comparison.constant.source == "assumed"
    return Verdict(
        nothing_learned_words(comparison.constant, balanced=comparison.balanced),
        sentences,
        [ASSUMED_CLASSES] if assumed else [],
    )


ASSUMED_CLASSES = (
    "This study did not store how many validation images each class has, so the classes are taken as equally large. "
    "If they are not, guessing scores more than stated here."
)


def _why_open(comparison: BaselineComparison) -> list[str]:
    sentences, of = [], comparison.measured
    if comparison.few:
        sentences.append(
            f"A verdict needs at least {MIN_TRIALS} finished search trials; so far there "
            f"{_be(comparison.search_observed)}."
        )
    if comparison.untrained and comparison.baseline and comparison.constant:
        sentences.append(
            f"The best baseline trial reached only {score(comparison.baseline.clean_train, of)} train {of.label} (eval "
            f"mode), hardly {'more' if of.maximize else 'less'} than {constant_words(comparison.constant)}. A network "
            "that has not learned has no gap to close."
        )
        if comparison.constant.source == "assumed":
            sentences.append(ASSUMED_CLASSES)
    return sentences


def _be(count: int) -> str:
    return f"{'is' if count == 1 else 'are'} {count}"


def fair_gain_words(comparison: BaselineComparison) -> str:
    """The gain that may be claimed, with its two estimates where they differ: ``+1.3 points``; empty if unknown."""
    low, high = comparison.fair_gain
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    if not in_percent(comparison.metric):
        gained = " to ".join(dict.fromkeys(map(_signed, (low, high))))
        return f"{gained} {unit(comparison.measured)}" if comparison.metric == comparison.measured.val else gained
    shown = dict.fromkeys(points(gain).removesuffix(" points") for gain in (low, high))
    return " to ".join(shown) + " points"


def _signed(gain: float) -> str:
    """0.0412 → ``+0.0412``, in three significant digits."""
    return "±0" if abs(gain) < 1e-12 else minus(f"{gain:+.3g}")


def _headline(comparison: BaselineComparison, count: str) -> str:
    trial = f"trial {comparison.challenger.number}" if comparison.challenger else ""
    of = comparison.measured
    gain, shrank = amount(comparison.val_gain, of), amount(comparison.gap_change, of)
    fair, name = fair_gain_words(comparison), metric_name(comparison.metric)
    better = f"gains {fair.replace('+', '')} {name} over the baseline"
    if not comparison.maximize:
        better = f"lowers {name} by {fair.replace('+', '')} compared with the baseline"
    if comparison.word in ("closed the gap", "helped validation") and comparison.gains is not True:
        if not fair:
            return f"{trial.capitalize()} is the best, but selection may explain its gain over {count}."
        if comparison.gains is False:
            return f"No gain in {name} with equal attempts ({fair}): {trial} is ahead of {count} by selection only."
        return f"{trial.capitalize()} is the best, but its gain is not certain: {fair} {name} with equal attempts."
    match comparison.word:
        case "closed the gap":
            return (
                f"Use the settings of {trial}: with equal attempts, the search {better}, and the gap of this trial is "
                f"{shrank} smaller."
            )
        case "helped validation":
            return f"Use the settings of {trial}: with equal attempts, the search {better}. The gap did not shrink."
        case "underfit":
            return (
                f"The gap was not closed: in {trial} it is {shrank} smaller, but only because "
                f"{fit_got_worse(of)}. Validation {of.label} is no better than the best of {count}."
            )
        case "hurt":
            return (
                f"{trial.capitalize()} has the best {metric_name(comparison.metric)}, "
                f"but its validation {of.label} is {gain} {'below' if of.maximize else 'above'} the best of {count}."
            )
        case "no effect":
            return f"Regularization made no measurable difference: {trial} is as good as the best of {count}."
        case _:
            return f"{trial.capitalize()} is the best. Its epochs were not recorded, so its gap is unknown."


def _sentences(tables: Tables, comparison: BaselineComparison, answer: list[str]) -> list[str]:
    a, b = comparison.baseline, comparison.challenger
    assert a is not None
    assert b is not None
    sentences, of = [], comparison.measured
    if math.isfinite(comparison.gap_change):
        sentences.append(
            f"Best baseline (trial {a.number}) → best of the search (trial {b.number}), as selected: "
            f"{validation_name(of)} {score(a.val, of)} → {score(b.val, of)} ({change(comparison.val_change, of)}), "
            f"train in eval mode {score(a.clean_train, of)} → {score(b.clean_train, of)} "
            f"({change(comparison.clean_train_change, of)}), "
            f"gap {gap_score(a.gap, of)} → {gap_score(b.gap, of)} ({change(comparison.gap_change, of)})."
        )
    if comparison.underfit and comparison.baseline_wins and not comparison.few:
        sentences.append(f"The smaller gap is not an improvement: it shrank only because {fit_got_worse(of)}.")
    sentences += answer
    changed = differences(tables, a.number, b.number)
    regularizers = [f"{path} {old} → {new}" for path, old, new in changed if path in tables.regularizers]
    if regularizers:
        sentences.append(f"Regularizers of trial {b.number}, baseline → search: {', '.join(regularizers)}.")
    return sentences


def _effort(comparison: BaselineComparison) -> list[str]:
    """How much of the gain is selection: the search had more attempts. Empty if it had not, or if it is unknown."""
    if comparison.baseline is None or not fair_gain_words(comparison):
        return []
    if comparison.search_trials <= comparison.baseline_trials:
        return []
    values = (*comparison.equal_effort, comparison.baseline.value)
    reached, optimistic, base = (objective(value, comparison.metric) for value in values)
    if reached != optimistic:
        reached += f" (pruned trials at their last score) to {optimistic} (without pruned trials)"
    return [
        f"The best of the search is ahead by selection, too: it had {counted(comparison.search_trials, 'attempt')}, "
        f"the baseline {comparison.baseline_trials}. With only {counted(comparison.baseline_trials, 'attempt')}, the "
        f"search would have reached {reached} {metric_name(comparison.metric)} on average, and the baseline reached "
        f"{base} ({fair_gain_words(comparison)})."
    ]


def _nothing(tables: Tables) -> Verdict:
    trials = tables.trials
    if trials.empty:
        return Verdict("Nothing to report yet: the study has no trials.", [], [])
    states = [
        counted(int((trials["state"] == state).sum()), word)
        for state, word in (("PRUNED", "pruned trial"), ("FAIL", "failed trial"), ("RUNNING", "running trial"))
        if (trials["state"] == state).any()
    ]
    diverged = int((trials["outcome"] == "diverged").sum())
    states += [counted(diverged, "diverged trial")] if diverged else []
    sentences = [f"The study has {listing(states)}."] if states else []
    reasons = trials["reason"].dropna()
    if len(reasons):
        top = reasons.value_counts()
        sentences.append(sentence(f"Most frequent reason ({top.iloc[0]} of {len(trials)}): {top.index[0]}"))
    ended = trials["state"].isin(["COMPLETE", "PRUNED", "FAIL"])
    if diverged and diverged == int(ended.sum()):
        all_of = "The only trial" if diverged == 1 else f"All {diverged:,} trials"
        headline = f"{all_of} diverged, so there is nothing to recommend."
        return Verdict(headline, sentences, [])
    return Verdict("No trial finished with a usable result, so there is nothing to recommend.", sentences, [])
