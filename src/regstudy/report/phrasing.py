"""Number formats, the verdict, and the settings in which two trials differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from regstudy.analysis.gap import MIN_TRIALS, PLACES, BaselineComparison, Relation
from regstudy.study.tables import PARAM, Tables
from regstudy.text import counted

NONE = "–"
_NOT_SETTINGS = ("data.", "training.seed")  # paths that may differ between trials but are not hyperparameters


def percent(fraction: float) -> str:
    """0.8123 → ``81.2 %``, −0.003 → ``−0.3 %``; rounded like the values that the analysis compares."""
    if not math.isfinite(fraction):
        return NONE
    return minus(f"{100 * (round(float(fraction), PLACES) + 0.0):.1f}\N{NO-BREAK SPACE}%")


def minus(text: str) -> str:
    """A formatted number with its leading hyphen replaced by a minus sign."""
    return "−" + text[1:] if text.startswith("-") else text


def signed(number: float) -> str:
    """Two decimals with a sign."""
    return minus(f"{number:+.2f}") if math.isfinite(number) else NONE


def gap_percent(row: pd.Series) -> str:
    """Gap of a trial's row, equal to the difference of the two rounded accuracies."""
    clean, val = (round(float(row[name]), PLACES) for name in ("clean_train_accuracy", "val_accuracy"))
    return percent(clean - val)


def points(difference: float) -> str:
    """0.0412 → ``+4.1 points``."""
    if not math.isfinite(difference):
        return NONE
    text = minus(f"{100 * round(difference, PLACES):+.1f}")
    return f"{'±0.0' if text[1:] == '0.0' else text} points"


def objective(value: float, metric: str | None) -> str:
    """The objective: accuracies in percent, anything else with four significant digits."""
    if not math.isfinite(value):
        return NONE
    return percent(value) if _in_percent(metric) else minus(f"{value:.4g}")


def setting(value: Any, null: Any = None, *, regularizer: bool = False) -> str:
    """A value of the configuration; a regularizer at its off value (``null``) is ``off``."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NONE
    if regularizer and value == null:
        return "off"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def listing(items: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else "none"


def _in_percent(metric: str | None) -> bool:
    return (metric or "").endswith("accuracy")


def gap_finding(relations: list[Relation]) -> str:
    """Which regularizers correlate with the gap, in one or two sentences; empty if none was varied."""
    if not relations:
        return ""
    used = max(relation.used for relation in relations)
    sentences = []
    for verb in ("falls", "rises"):
        if names := [r.path for r in relations if r.kind == "significant" and r.verb == verb]:
            sentences.append(
                f"The gap {verb} with higher {listing(names)}, adjusted for the other settings ({used} trials)."
            )
    for verb in ("falls", "rises"):
        if seen := [r for r in relations if r.kind == "unadjusted" and r.verb == verb]:
            each = "its effect" if len(seen) == 1 else "their effects"
            sentences.append(
                f"Unadjusted, the gap {verb} with higher {listing([r.path for r in seen])}, but {used} trials are too "
                f"few to separate {each} from the {max(r.held for r in seen)} other variables."
            )
    if sentences:
        return " ".join(sentences)
    if used < MIN_TRIALS:
        return (
            "Too few trials to say which regularizer affects the gap: "
            f"{counted(used, 'search trial')} can be compared, {MIN_TRIALS} are needed."
        )
    return f"No regularizer stands out: none has a statistically significant correlation with the gap in {used} trials."


def metric_name(metric: str | None) -> str:
    """The name of the objective for readers."""
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


_SELECTION_BIAS = (
    "Every trial ran with a single seed, and the best of many trials is partly luck (winner's curse). Expect a lower "
    "score with new seeds. To measure it, export the trial and train it with other seeds (“--set training.seed=1”)."
)


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
    top = comparison.best
    if top is None:
        return _nothing(tables)
    value, name = objective(top.value, tables.metric), metric_name(tables.metric)
    answer = [] if comparison.untrained or not relations else [gap_finding(relations)]
    if comparison.baseline is None:
        headline = f"Trial {top.number} is the best: {name} {value}."
        missing = "No baseline trial finished, so the study cannot tell whether regularization helped."
        return Verdict(headline, [missing, *answer], [_SELECTION_BIAS])
    count = counted(comparison.baseline_trials, "baseline trial")
    if comparison.challenger is None:
        headline = f"Only the baseline has results: {name} {value} (trial {top.number}, best of {count})."
        return Verdict(headline, ["No trial of the search arm finished with a usable result."], [_SELECTION_BIAS])
    sentences = _sentences(tables, comparison, answer)
    if comparison.few or comparison.untrained:
        return Verdict(_open_headline(comparison), [*_why_open(comparison), *sentences], _cautions(comparison))
    if comparison.baseline_wins:
        headline = f"Leave the regularizers off: no search trial beat the best of {count} (trial {top.number})."
        return Verdict(headline, sentences, _cautions(comparison))
    good = comparison.word in ("closed the gap", "helped validation")
    return Verdict(_headline(comparison, count), sentences, _cautions(comparison), good)


def _open_headline(comparison: BaselineComparison) -> str:
    """The headline while there is too little evidence for a verdict."""
    head = "Too few trials for a verdict" if comparison.few else "No verdict: the networks have barely learned"
    gain, trial = comparison.val_gain, comparison.challenger.number if comparison.challenger else 0
    if not math.isfinite(gain):
        assert comparison.best is not None
        return f"{head}. Best so far: trial {comparison.best.number}."
    if gain == 0:
        return f"{head}. So far, trial {trial} ties with the best baseline trial in validation accuracy."
    where = "above" if gain > 0 else "below"
    return (
        f"{head}. So far, the validation accuracy of trial {trial} is {100 * abs(gain):.1f} points {where} the best "
        "baseline trial."
    )


def _why_open(comparison: BaselineComparison) -> list[str]:
    sentences = []
    if comparison.few:
        sentences.append(
            f"A verdict needs at least {MIN_TRIALS} finished search trials; so far there "
            f"{_be(comparison.search_observed)}."
        )
    if comparison.untrained and comparison.baseline and comparison.classes:
        sentences.append(
            f"The best baseline trial reached only {percent(comparison.baseline.clean_train)} train accuracy (eval "
            f"mode), and guessing among {comparison.classes} classes gives {percent(1 / comparison.classes)}. A "
            "network that has not learned has no gap to close."
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
                f"Use the settings of {trial}: validation accuracy is {gain} above the best of {count}, "
                f"and the gap is {shrank} smaller."
            )
        case "helped validation":
            return (
                f"Use the settings of {trial}: validation accuracy is {gain} above the best of {count}. "
                "The gap did not shrink."
            )
        case "underfit":
            return (
                f"The gap was not closed: in {trial} it is {shrank} smaller, but only because train accuracy fell. "
                f"Validation accuracy is no better than the best of {count}."
            )
        case "hurt":
            return (
                f"{trial.capitalize()} has the best {metric_name(comparison.metric)}, "
                f"but its validation accuracy is {gain} below the best of {count}."
            )
        case "no effect":
            return f"Regularization made no measurable difference: {trial} is as good as the best of {count}."
        case _:
            return f"{trial.capitalize()} is the best. Its epochs were not recorded, so its gap is unknown."


def _sentences(tables: Tables, comparison: BaselineComparison, answer: list[str]) -> list[str]:
    a, b = comparison.baseline, comparison.challenger
    assert a is not None
    assert b is not None
    sentences = []
    if math.isfinite(comparison.gap_change):
        sentences.append(
            f"Best baseline (trial {a.number}) → best of the search (trial {b.number}): validation {percent(a.val)} → "
            f"{percent(b.val)} ({points(comparison.val_gain)}), train in eval mode {percent(a.clean_train)} → "
            f"{percent(b.clean_train)} ({points(comparison.clean_train_change)}), gap {percent(a.gap)} → "
            f"{percent(b.gap)} ({points(comparison.gap_change)})."
        )
    if comparison.underfit and comparison.baseline_wins:
        sentences.append("The smaller gap is not an improvement: it shrank only because train accuracy fell.")
    sentences += answer
    changed = differences(tables, a.number, b.number)
    regularizers = [f"{path} {old} → {new}" for path, old, new in changed if path in tables.regularizers]
    if regularizers:
        sentences.append(f"Regularizers of trial {b.number}, baseline → search: {', '.join(regularizers)}.")
    return sentences


def _cautions(comparison: BaselineComparison) -> list[str]:
    return [*([] if comparison.baseline_wins else _effort(comparison)), _SELECTION_BIAS]


def _effort(comparison: BaselineComparison) -> list[str]:
    """How much of the gain is selection: the search had more attempts. Empty if it had not, or if it is unknown."""
    low, high = comparison.equal_effort
    if comparison.baseline is None or not (math.isfinite(low) and math.isfinite(high)):
        return []
    if comparison.search_trials <= comparison.baseline_trials:
        return []
    base_value = comparison.baseline.value
    if _in_percent(comparison.metric):  # compare the rounded values that are shown
        low, high, base_value = (round(value, PLACES) for value in (low, high, base_value))
    sign = 1 if comparison.maximize else -1
    gains = [sign * (value - base_value) for value in (low, high)]
    reached, optimistic, base = (objective(value, comparison.metric) for value in (low, high, base_value))
    if reached != optimistic:
        reached += f" (pruned trials at their last score) to {optimistic} (without pruned trials)"
    word = "" if min(gains) > 0 else ": no gain with equal attempts" if max(gains) <= 0 else ": the gain is not certain"
    return [
        f"Part of this gain is selection: the search had {counted(comparison.search_trials, 'attempt')}, the baseline "
        f"{comparison.baseline_trials}. With only {counted(comparison.baseline_trials, 'attempt')}, the search would "
        f"have reached {reached} {metric_name(comparison.metric)} on average, and the baseline reached {base}{word}."
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
        sentences.append(f"Most frequent reason ({top.iloc[0]} of {len(trials)}): {top.index[0]}.")
    return Verdict("No trial finished with a usable result, so there is nothing to recommend.", sentences, [])
