"""Numbers and findings as words: formats, the verdict, and what differs between two trials."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from regstudy.analysis.gap import MIN_TRIALS, PLACES, BaselineComparison, Relation
from regstudy.study.tables import PARAM, Tables

NONE = "–"
_NOT_SETTINGS = ("data.", "training.seed")  # differ between trials without being a choice


def percent(fraction: float) -> str:
    """0.8123 → ``81.2 %``, −0.003 → ``−0.3 %``; rounded as the analysis rounds what it compares."""
    if not math.isfinite(fraction):
        return NONE
    return minus(f"{100 * (round(float(fraction), PLACES) + 0.0):.1f}\N{NO-BREAK SPACE}%")


def minus(text: str) -> str:
    """A formatted number with a minus sign for its leading hyphen."""
    return "−" + text[1:] if text.startswith("-") else text


def signed(number: float) -> str:
    """Two decimals with a sign."""
    return minus(f"{number:+.2f}") if math.isfinite(number) else NONE


def gap_percent(row: pd.Series) -> str:
    """Gap of a trial's row, equal to the difference of the two accuracies as they are shown."""
    clean, val = (round(float(row[name]), PLACES) for name in ("clean_train_accuracy", "val_accuracy"))
    return percent(clean - val)


def points(difference: float) -> str:
    """0.0412 → ``+4.1 points``."""
    if not math.isfinite(difference):
        return NONE
    text = minus(f"{100 * round(difference, PLACES):+.1f}")
    return f"{'±0.0' if text[1:] == '0.0' else text} points"


def objective(value: float, metric: str | None) -> str:
    """The objective in its own unit: accuracies in percent, anything else to four digits."""
    if not math.isfinite(value):
        return NONE
    return percent(value) if _in_percent(metric) else minus(f"{value:.4g}")


def setting(value: Any, null: Any = None, *, regularizer: bool = False) -> str:
    """A value of the configuration; a regularizer at its null is ``off``."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NONE
    if regularizer and value == null:
        return "off"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def plural(count: int, noun: str) -> str:
    """``1 trial``, ``2 trials``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listing(items: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else "none"


def _in_percent(metric: str | None) -> bool:
    return (metric or "").endswith("accuracy")


def gap_finding(relations: list[Relation]) -> str:
    """Which regularizers the gap goes with, in a sentence or two; empty if none was varied."""
    if not relations:
        return ""
    used = max(relation.used for relation in relations)
    sentences = []
    for verb in ("falls", "rises"):
        if names := [r.path for r in relations if r.kind == "significant" and r.verb == verb]:
            sentences.append(
                f"The gap {verb} with {listing(names)}, the other things that varied held equal ({used} trials)."
            )
    for verb in ("falls", "rises"):
        if seen := [r for r in relations if r.kind == "unadjusted" and r.verb == verb]:
            each = "it" if len(seen) == 1 else "each of them"
            sentences.append(
                f"The gap {verb} with {listing([r.path for r in seen])} as it stands, but {used} "
                f"trials cannot separate {each} from the other {max(r.held for r in seen)} things that varied."
            )
    if sentences:
        return " ".join(sentences)
    if used < MIN_TRIALS:
        return (
            "No regularizer can be singled out as narrowing the gap: "
            f"{plural(used, 'search trial')} can be compared, {MIN_TRIALS} are needed."
        )
    return (
        f"No regularizer can be singled out as narrowing the gap: with {used} trials no strength is related to it in a "
        "way that can be told from chance."
    )


def metric_name(metric: str | None) -> str:
    """The objective in words."""
    names = {"val_accuracy": "validation accuracy", "val_loss": "validation loss"}
    return names.get(metric or "", metric or "objective")


def differences(tables: Tables, first: int, second: int) -> list[tuple[str, str, str]]:
    """Settings in which two trials (by number) differ: path, value in the first, value in the second.

    Regularizers come first, in the study's order.
    """
    trials = tables.trials.set_index("number")
    settings = [c for c in trials.columns if "." in c and not c.startswith(PARAM)]
    if not settings:
        settings = [c for c in trials.columns if c.startswith(PARAM)]
    ordered = [p for p in tables.regularizers if p in settings]
    ordered += [c for c in settings if c not in tables.regularizers and not c.startswith(_NOT_SETTINGS)]
    found = []
    for column in ordered:
        a, b = trials.at[first, column], trials.at[second, column]
        if (pd.isna(a) and pd.isna(b)) or a == b:
            continue
        null, regularizer = tables.regularizers.get(column), column in tables.regularizers
        found.append(
            (column.removeprefix(PARAM), setting(a, null, regularizer=regularizer),
             setting(b, null, regularizer=regularizer))
        )  # fmt: skip
    return found


_LUCK = (
    "Every trial ran with one seed, and the best of many is partly luck (winner's curse): expect less on fresh seeds. "
    "Export it and train it with other seeds (“--set training.seed=1”) to see how much less."
)


@dataclass(frozen=True)
class Verdict:
    """What to do (headline), why (sentences), and what to beware of (cautions)."""

    headline: str
    sentences: list[str]
    cautions: list[str]
    good: bool = False  # whether regularization visibly helped

    def __str__(self) -> str:
        return "\n".join([self.headline, *self.sentences, *self.cautions])


def verdict(tables: Tables, comparison: BaselineComparison, relations: list[Relation]) -> Verdict:
    """The study's answer in a few sentences; never stronger than one seed per trial allows."""
    top = comparison.best
    if top is None:
        return _nothing(tables)
    value, name = objective(top.value, tables.metric), metric_name(tables.metric)
    answer = [] if comparison.untrained or not relations else [gap_finding(relations)]
    if comparison.baseline is None:
        headline = f"Trial {top.number} is the best: {name} {value}."
        missing = "No trial of a baseline arm ran to the end, so it cannot be said whether regularization helped."
        return Verdict(headline, [missing, *answer], [_LUCK])
    count = plural(comparison.baseline_trials, "baseline trial")
    if comparison.challenger is None:
        headline = f"Only the baseline has results: {name} {value} (trial {top.number}, best of {count})."
        return Verdict(headline, ["No trial of the search arm ran to a usable end."], [_LUCK])
    sentences = _sentences(tables, comparison, answer)
    if comparison.few or comparison.untrained:
        return Verdict(_open_headline(comparison), [*_why_open(comparison), *sentences], _cautions(comparison))
    if comparison.baseline_wins:
        headline = f"Leave the regularizers off: no search trial beat the best of {count} (trial {top.number})."
        return Verdict(headline, sentences, _cautions(comparison))
    good = comparison.word in ("closed the gap", "helped validation")
    return Verdict(_headline(comparison, count), sentences, _cautions(comparison), good)


def _open_headline(comparison: BaselineComparison) -> str:
    """How it stands while nothing can be judged."""
    head = "Too few trials to judge" if comparison.few else "The networks have hardly learned, too little to judge"
    gain, trial = comparison.val_gain, comparison.challenger.number if comparison.challenger else 0
    if not math.isfinite(gain):
        assert comparison.best is not None
        return f"{head}; so far trial {comparison.best.number} is the best."
    if gain == 0:
        return f"{head}; so far trial {trial} is level with the best baseline trial in validation accuracy."
    where = "ahead" if gain > 0 else "behind"
    return f"{head}; so far trial {trial} is {where} by {100 * abs(gain):.1f} points of validation accuracy."


def _why_open(comparison: BaselineComparison) -> list[str]:
    sentences = []
    if comparison.few:
        seen = comparison.search_observed
        sentences.append(f"A verdict needs {MIN_TRIALS} search trials that ran to the end; so far there {_be(seen)}.")
    if comparison.untrained and comparison.baseline and comparison.classes:
        sentences.append(
            f"The best baseline trial reached only {percent(comparison.baseline.clean_train)} clean training accuracy, "
            f"and guessing among {comparison.classes} classes gives {percent(1 / comparison.classes)}: a network that "
            "has not learned has no gap to close."
        )
    return sentences


def _be(count: int) -> str:
    return f"{'is' if count == 1 else 'are'} {count}"


def _headline(comparison: BaselineComparison, count: str) -> str:
    trial = f"trial {comparison.challenger.number}" if comparison.challenger else ""
    gain = f"{100 * abs(comparison.val_gain):.1f} points"
    shrank = f"{100 * abs(comparison.gap_change):.1f} points"
    match comparison.word:
        case "closed the gap":
            return (
                f"Use the settings of {trial}: validation accuracy {gain} above the best of {count}, "
                f"gap {shrank} smaller."
            )
        case "helped validation":
            return (
                f"Use the settings of {trial}: validation accuracy {gain} above the best of {count}. "
                "The gap did not shrink."
            )
        case "underfit":
            return (
                f"Do not call this a closed gap: in {trial} it is {shrank} smaller, but validation accuracy is not "
                f"better than that of the best of {count}. Training only got worse."
            )
        case "hurt":
            return (
                f"By {metric_name(comparison.metric)} {trial} is the best, "
                f"but its validation accuracy is {gain} below the best of {count}."
            )
        case "no effect":
            return f"Regularization made no visible difference: {trial} is as good as the best of {count}."
        case _:
            return f"{trial.capitalize()} is the best; its epochs were not recorded, so its gap is unknown."


def _sentences(tables: Tables, comparison: BaselineComparison, answer: list[str]) -> list[str]:
    a, b = comparison.baseline, comparison.challenger
    assert a is not None
    assert b is not None
    sentences = []
    if math.isfinite(comparison.gap_change):
        sentences.append(
            f"Best baseline (trial {a.number}) → best of the search (trial {b.number}): validation {percent(a.val)} → "
            f"{percent(b.val)} ({points(comparison.val_gain)}), clean training {percent(a.clean_train)} → "
            f"{percent(b.clean_train)} ({points(comparison.clean_train_change)}), gap {percent(a.gap)} → "
            f"{percent(b.gap)} ({points(comparison.gap_change)})."
        )
    if comparison.underfit and comparison.baseline_wins:
        sentences.append("The smaller gap is no success: it shrank only because training got worse.")
    sentences += answer
    changed = differences(tables, a.number, b.number)
    regularizers = [f"{path} {old} → {new}" for path, old, new in changed if path in tables.regularizers]
    if regularizers:
        sentences.append(f"How trial {b.number} is regularized: {', '.join(regularizers)}.")
    return sentences


def _cautions(comparison: BaselineComparison) -> list[str]:
    return [*([] if comparison.baseline_wins else _effort(comparison)), _LUCK]


def _effort(comparison: BaselineComparison) -> list[str]:
    """What part of the gain the longer list explains; empty if it is not longer or that cannot be computed."""
    low, high = comparison.equal_effort
    if comparison.baseline is None or not (math.isfinite(low) and math.isfinite(high)):
        return []
    if comparison.search_trials <= comparison.baseline_trials:
        return []
    base_value = comparison.baseline.value
    if _in_percent(comparison.metric):  # compared as they are shown
        low, high, base_value = (round(value, PLACES) for value in (low, high, base_value))
    sign = 1 if comparison.maximize else -1
    gains = [sign * (value - base_value) for value in (low, high)]
    reached, optimistic, base = (objective(value, comparison.metric) for value in (low, high, base_value))
    if reached != optimistic:
        reached += f" (pruned trials as they stood when cut) to {optimistic} (without them)"
    word = "" if min(gains) > 0 else ": no gain at equal effort" if max(gains) <= 0 else ": a gain is not certain"
    return [
        f"Part of the gain is the longer list: it is the best of {plural(comparison.search_trials, 'search trial')} "
        f"against the best of {comparison.baseline_trials}. With {plural(comparison.baseline_trials, 'trial')} drawn "
        f"at random the search arm would on average have reached {reached} {metric_name(comparison.metric)}, against "
        f"{base} for the baseline{word}."
    ]


def _nothing(tables: Tables) -> Verdict:
    trials = tables.trials
    if trials.empty:
        return Verdict("Nothing to report yet: the study has no trial.", [], [])
    states = [
        plural(int((trials["state"] == state).sum()), word)
        for state, word in (("PRUNED", "pruned trial"), ("FAIL", "failed trial"), ("RUNNING", "running trial"))
        if (trials["state"] == state).any()
    ]
    diverged = int((trials["outcome"] == "diverged").sum())
    states += [plural(diverged, "diverged trial")] if diverged else []
    sentences = [f"The study has {listing(states)}."] if states else []
    reasons = trials["reason"].dropna()
    if len(reasons):
        top = reasons.value_counts()
        sentences.append(f"The most frequent reason ({top.iloc[0]} of {len(trials)}): {top.index[0]}.")
    return Verdict("No trial ran to a usable end, so there is nothing to recommend.", sentences, [])
