"""Texts of a comparison: numbers with their spread, the difference of each pair of arms, and caveats."""

from __future__ import annotations

import math

from regstudy.analysis.arm_statistics import Arm, Comparison, Difference, Spread
from regstudy.analysis.constant_answer import constant_answer
from regstudy.analysis.gap import balancing, nothing_learned
from regstudy.report.phrasing import NONE, listing, minus
from regstudy.report.verdict_phrasing import ASSUMED_CLASSES, Verdict, fold_bias, nothing_learned_words
from regstudy.text import counted, format_duration

ENOUGH_REPEATS = 10  # with fewer, intervals rest on few seeds
MAX_REPEATS_SUGGESTED = 1000  # beyond it, the number is not given
HEADLINE_GROUPS = {  # text in the headline: the verdicts that it covers
    "higher in": ("higher",),
    "lower in": ("lower",),
    "no difference in": ("no difference",),
    "undecided for": ("undecided", "one seed"),
}
MIN_MODE_DIFFERENCE = 0.01  # between the gaps in train and eval mode, to be worth a sentence
SERIES_NAMES = {
    "train_accuracy": "train (train mode)",
    "clean_train_accuracy": "train (eval mode)",
    "val_accuracy": "validation",
    "running_gap": "gap (train mode)",
    "gap_accuracy": "gap (eval mode)",
}
MOMENT_TEXTS = {"first": "first epoch", "last": "last epoch", "best": "best epoch"}


def measure_name(measure: str) -> str:
    """``val_accuracy_last`` → ``validation, last epoch``."""
    series, _, moment = measure.rpartition("_")
    return f"{SERIES_NAMES[series]}, {MOMENT_TEXTS[moment]}"


def hundredths(fraction: float) -> str:
    """0.81234 → ``81.23``."""
    return minus(f"{100 * fraction + 0.0:.2f}") if math.isfinite(fraction) else NONE


def signed_points(fraction: float) -> str:
    """0.0041 → ``+0.41``."""
    if not math.isfinite(fraction):
        return NONE
    text = f"{100 * fraction:+.2f}"
    return "±0.00" if text[1:] == "0.00" else minus(text)


def spread_words(spread: Spread, unit: str = "") -> str:
    """``81.23 ± 0.52 (80.60 to 81.90)``; a single run has no spread."""
    if spread.n == 0:
        return NONE
    if spread.n == 1:
        return f"{hundredths(spread.mean)}{unit}"
    ends = f"{hundredths(spread.low)} to {hundredths(spread.high)}"
    return f"{mean_words(spread)}{unit} ({ends})"


def mean_words(spread: Spread) -> str:
    """``81.23 ± 0.52``."""
    return hundredths(spread.mean) + (f" ± {hundredths(spread.sd)}" if spread.n > 1 else "")


def runs_words(arm: Arm) -> str:
    """``5``, or ``4 (1 of 5 diverged)``: every missing run is accounted for."""
    others = [
        f"{count} of {arm.asked} {word}"
        for count, word in (
            (arm.diverged, "diverged"),
            (arm.failed, "failed"),
            (arm.running, "running"),
            (arm.missing, "not run yet"),
        )
        if count
    ]
    return f"{arm.used} ({listing(others)})" if others else str(arm.used)


def parameter_words(arm: Arm) -> str:
    """``2,629,706``, with the number of trainable ones if not all are."""
    if arm.parameters is None:
        return NONE
    total, trained = arm.parameters
    return f"{total:,}" if total == trained else f"{total:,} ({trained:,} trainable)"


def epoch_words(arm: Arm) -> str:
    """``8``, or ``5 to 8 of 8`` where early stopping ended runs."""
    if not arm.used:
        return NONE
    low, high = int(arm.epochs.low), int(arm.epochs.high)
    if low == high == arm.planned_epochs:
        return str(high)
    return f"{low if low == high else f'{low} to {high}'} of {arm.planned_epochs}"


def seconds_words(arm: Arm) -> str:
    """Median time per epoch."""
    return format_duration(arm.seconds) if math.isfinite(arm.seconds) else NONE


def interval_words(difference: Difference) -> str:
    """The 95 % confidence interval in points, or why there is none."""
    pairs = difference.paired
    if pairs.n < 2:
        return "none (single seed)" if pairs.n else "none (no pair of runs)"
    return f"{signed_points(pairs.low)} to {signed_points(pairs.high)}"


def verdict_words(difference: Difference) -> str:
    """The verdict, and how many more repeats an undecided one needs."""
    if difference.verdict == "one seed":
        return "undecided (single seed)"
    if difference.verdict != "undecided":
        return str(difference.verdict)
    more = difference.more
    if more > MAX_REPEATS_SUGGESTED:
        return f"undecided (needs more than {MAX_REPEATS_SUGGESTED:,} more repeats)"
    return f"undecided (needs about {counted(int(more), 'more repeat')})"


def p_words(p: float) -> str:
    """A p-value to three digits."""
    if not math.isfinite(p):
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def comparison_verdict(found: Comparison) -> Verdict:
    """The answer in a sentence, the evidence, and caveats."""
    first, *others = found.arms
    if not any(arm.used for arm in found.arms):
        diverged = sum(arm.diverged for arm in found.arms)
        if diverged and diverged == sum(arm.asked for arm in found.arms):
            return Verdict(
                f"Nothing to compare: {counted(diverged, 'run')} of all arms diverged.", [_counts(found)], []
            )
        return Verdict("No run has finished with a usable result yet.", [_counts(found)], [])
    if nothing_learned(found.tables):
        constant = constant_answer(found.tables.data, "val_accuracy", found.tables.doctor)
        headline = nothing_learned_words(constant, balanced=balancing(found.tables), who="arm")
        assumed = [ASSUMED_CLASSES] if constant is not None and constant.source == "assumed" else []
        sentences = ["Differences between the arms are differences between networks that have not learned."]
        return Verdict(headline, [*sentences, *filter(None, [_counts(found)])], [*assumed, *cautions(found)])
    if not others:
        val = first.spreads["val_accuracy_last"]
        headline = f"{first.name}: validation {mean_words(val)} % at the last epoch ({counted(val.n, 'seed')})."
        sentences = [f"The gap (eval mode) is {mean_words(first.spreads['gap_accuracy_last'])} points there."]
    else:
        headline = _headline(found, others)
        sentences = [_pair_sentence(found, arm) for arm in others]
    sentences += [_mode_difference(first, arm) for arm in others] + [_counts(found)]
    return Verdict(headline, [s for s in sentences if s], cautions(found), _good(found, others))


def _headline(found: Comparison, others: list[Arm]) -> str:
    first = found.arms[0].name
    if len(others) == 1:
        val, gap = (found.difference(others[0].name, m) for m in ("val_accuracy_last", "gap_accuracy_last"))
        return f"{others[0].name} vs. {first} at the last epoch: validation {_short(val)}; gap {_short(gap)}."
    verdicts = {arm.name: found.difference(arm.name, "val_accuracy_last").verdict for arm in others}
    groups = [
        f"{words} {listing(names)}"
        for words, meant in HEADLINE_GROUPS.items()
        if (names := [name for name, verdict in verdicts.items() if verdict in meant])
    ]
    return f"Validation at the last epoch vs. {first}: {'; '.join(groups)}."


def _short(difference: Difference) -> str:
    mean, verdict = difference.paired.mean, difference.verdict
    if verdict in ("higher", "lower"):
        return f"{verdict} by {100 * abs(mean):.2f} points"
    if verdict == "no difference":
        return f"equal within {100 * difference.margin:g} points"
    return f"{signed_points(mean)} points (undecided)" if math.isfinite(mean) else "not comparable yet"


def _pair_sentence(found: Comparison, arm: Arm) -> str:
    val, gap = (found.difference(arm.name, m) for m in ("val_accuracy_last", "gap_accuracy_last"))
    if val.paired.n == 0:
        return f"{arm.name} and {val.against} have no common repeat yet."
    parts = [
        f"{name} {signed_points(d.paired.mean)} points (95 % CI {interval_words(d)}): {verdict_words(d)}"
        for name, d in (("validation", val), ("gap (eval mode)", gap))
    ]
    sentence = f"{arm.name} vs. {val.against} at the last epoch, {counted(val.paired.n, 'pair')}: "
    sentence += "; ".join(parts) + "."
    if gap.verdict == "lower" and val.verdict != "higher":
        sentence += " A smaller gap without better validation is not an improvement: only train accuracy fell."
    return sentence


def _mode_difference(first: Arm, arm: Arm) -> str:
    """How much of a change of the gap in train mode is a measurement artifact of that mode; empty if little."""
    running, clean = (
        arm.spreads[f"{name}_last"].mean - first.spreads[f"{name}_last"].mean
        for name in ("running_gap", "gap_accuracy")
    )
    if not abs(running - clean) > MIN_MODE_DIFFERENCE:
        return ""
    return (
        f"From {first.name} to {arm.name}, the gap changes by {signed_points(running)} points in train mode, and by "
        f"{signed_points(clean)} in eval mode. The {100 * abs(running - clean):.2f} points between them are an "
        "artifact: in train mode, train accuracy is measured during the epoch with dropout and augmentation active."
    )


def _counts(found: Comparison) -> str:
    odd = [f"{arm.name}: {runs_words(arm)}" for arm in found.arms if arm.used != arm.asked]
    if not odd:
        return ""
    return f"Usable runs per arm: {'; '.join(odd)}. Means include usable runs only."


def cautions(found: Comparison) -> list[str]:
    """Caveats of the numbers."""
    lines = []
    if found.pairs < 2:
        lines.append("A single seed proves nothing: without a spread, differences cannot be judged. Raise --repeats.")
    elif found.pairs < ENOUGH_REPEATS:
        lines.append(
            f"Few seeds: {counted(found.pairs, 'repeat')} ({ENOUGH_REPEATS} or more are better). Confidence intervals "
            "are wide, and the spread itself is uncertain."
        )
    lines += [spread_note(found), *fold_bias(found.tables)]
    lost = [arm.name for arm in found.arms if arm.diverged or arm.failed]
    if lost:
        lines.append(
            f"Runs of {listing(lost)} diverged or failed and are excluded. The remaining runs may make the arm look "
            "better than it is."
        )
    return lines


def spread_note(found: Comparison) -> str:
    """What varies between repeats, and what does not."""
    data = found.tables.data
    split = f" (split seed {data['split_seed']}, split hash {data['split_hash']})" if "split_hash" in data else ""
    shared = f"the same {found.tables.folds} folds" if found.tables.folds else "one split"
    return (
        f"The spread is over training seeds only. All runs share {shared}{split}, so other splits may give other "
        "results. The best epoch was chosen by validation, so validation there is optimistic."
    )


def _good(found: Comparison, others: list[Arm]) -> bool:
    return any(found.difference(arm.name, "val_accuracy_last").verdict == "higher" for arm in others)
