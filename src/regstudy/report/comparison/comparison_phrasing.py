"""A comparison in words: numbers with their spread, what each pair of arms shows, and what to beware of."""

from __future__ import annotations

import math

from regstudy.analysis.arm_statistics import Arm, Comparison, Difference, Spread
from regstudy.report.phrasing import NONE, Verdict, listing, minus, plural
from regstudy.text import format_duration

FEW = 10  # repeats below which intervals rest on few seeds
MANY = 1000  # repeats beyond which nobody wants to know how many more
GROUPS = {  # words of a headline, and the verdicts that they stand for
    "higher in": ("higher",),
    "lower in": ("lower",),
    "no difference in": ("no difference",),
    "undecided for": ("undecided", "one seed"),
}
ARTEFACT = 0.01  # running and clean gap must differ by more than this to be spoken of
NAMES = {
    "train_accuracy": "training, running",
    "clean_train_accuracy": "training, clean",
    "val_accuracy": "validation",
    "running_gap": "running gap",
    "gap_accuracy": "clean gap",
}
MOMENTS = {"first": "after the first epoch", "last": "after the last epoch", "best": "at the best epoch"}


def measure_name(measure: str) -> str:
    """``val_accuracy_last`` → ``validation after the last epoch``."""
    series, _, moment = measure.rpartition("_")
    return f"{NAMES[series]} {MOMENTS[moment]}"


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
    """``5``, or ``4, and 1 of 5 diverged``: nothing is left out without a word."""
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
    return f"{arm.used}, and {listing(others)}" if others else str(arm.used)


def parameter_words(arm: Arm) -> str:
    """``2,629,706``, with those that are trained where that is not all of them."""
    if arm.parameters is None:
        return NONE
    total, trained = arm.parameters
    return f"{total:,}" if total == trained else f"{total:,}, {trained:,} of them trained"


def epoch_words(arm: Arm) -> str:
    """``8``, or ``5 to 8 of 8`` where early stopping ended runs."""
    if not arm.used:
        return NONE
    low, high = int(arm.epochs.low), int(arm.epochs.high)
    if low == high == arm.planned_epochs:
        return str(high)
    return f"{low if low == high else f'{low} to {high}'} of {arm.planned_epochs}"


def seconds_words(arm: Arm) -> str:
    """Median time of an epoch."""
    return format_duration(arm.seconds) if math.isfinite(arm.seconds) else NONE


def interval_words(difference: Difference) -> str:
    """The 95 % interval in points; why there is none."""
    pairs = difference.paired
    if pairs.n < 2:
        return "none: one seed proves nothing" if pairs.n else "none: no pair of runs"
    return f"{signed_points(pairs.low)} to {signed_points(pairs.high)}"


def verdict_words(difference: Difference) -> str:
    """The verdict, and what would decide where nothing is decided."""
    if difference.verdict == "one seed":
        return "undecided: repeat it"
    if difference.verdict != "undecided":
        return str(difference.verdict)
    more = difference.more
    if more > MANY:
        return f"undecided, and more than {MANY:,} more repeats would be needed"
    return f"undecided; about {plural(int(more), 'more repeat')} would decide"


def p_words(p: float) -> str:
    """A p-value to three digits."""
    if not math.isfinite(p):
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def comparison_verdict(found: Comparison) -> Verdict:
    """The answer in a sentence, what it rests on, and what to beware of."""
    first, *others = found.arms
    if not any(arm.used for arm in found.arms):
        return Verdict("No run has ended with a usable outcome yet.", [_counts(found)], [])
    if not others:
        val = first.spreads["val_accuracy_last"]
        headline = f"{first.name}: validation {mean_words(val)} % after the last epoch ({plural(val.n, 'seed')})."
        sentences = [f"The clean gap is then {mean_words(first.spreads['gap_accuracy_last'])} points."]
    else:
        headline = _headline(found, others)
        sentences = [_pair_sentence(found, arm) for arm in others]
    sentences += [_artefact(first, arm) for arm in others] + [_counts(found)]
    return Verdict(headline, [s for s in sentences if s], cautions(found), _good(found, others))


def _headline(found: Comparison, others: list[Arm]) -> str:
    first, where = found.arms[0].name, MOMENTS["last"]
    if len(others) == 1:
        val, gap = (found.difference(others[0].name, m) for m in ("val_accuracy_last", "gap_accuracy_last"))
        return f"{others[0].name} against {first}, {where}: validation {_short(val)}; clean gap {_short(gap)}."
    verdicts = {arm.name: found.difference(arm.name, "val_accuracy_last").verdict for arm in others}
    groups = [
        f"{words} {listing(names)}"
        for words, meant in GROUPS.items()
        if (names := [name for name, verdict in verdicts.items() if verdict in meant])
    ]
    return f"Against {first}, validation {where}: {', '.join(groups)}."


def _short(difference: Difference) -> str:
    mean, verdict = difference.paired.mean, difference.verdict
    if verdict in ("higher", "lower"):
        return f"{verdict} by {100 * abs(mean):.2f} points"
    if verdict == "no difference":
        return f"no difference beyond {100 * difference.margin:g} points"
    return f"undecided ({signed_points(mean)} points)"


def _pair_sentence(found: Comparison, arm: Arm) -> str:
    val, gap = (found.difference(arm.name, m) for m in ("val_accuracy_last", "gap_accuracy_last"))
    if val.paired.n == 0:
        return f"{arm.name} and {val.against} have no repeat in common yet."
    parts = [
        f"{name} {signed_points(d.paired.mean)} points (95 % interval {interval_words(d)}): {verdict_words(d)}"
        for name, d in (("validation", val), ("clean gap", gap))
    ]
    sentence = f"{arm.name} against {val.against} after the last epoch, {plural(val.paired.n, 'pair')}: "
    sentence += "; ".join(parts) + "."
    if gap.verdict == "lower" and val.verdict != "higher":
        sentence += " A smaller gap without better validation is no gain: training only got worse."
    return sentence


def _artefact(first: Arm, arm: Arm) -> str:
    """How much of a change of the running gap comes from measuring while regularizers are on; empty if little."""
    running, clean = (
        arm.spreads[f"{name}_last"].mean - first.spreads[f"{name}_last"].mean
        for name in ("running_gap", "gap_accuracy")
    )
    if not abs(running - clean) > ARTEFACT:
        return ""
    return (
        f"From {first.name} to {arm.name} the running gap changes by {signed_points(running)} points, the clean gap by "
        f"{signed_points(clean)}: the other {100 * abs(running - clean):.2f} points only come from measuring running "
        "training accuracy during the epoch, with dropout and augmentation on."
    )


def _counts(found: Comparison) -> str:
    odd = [f"{arm.name}: {runs_words(arm)}" for arm in found.arms if arm.used != arm.asked]
    if not odd:
        return ""
    return f"Usable runs by arm: {'; '.join(odd)}. Means are over usable runs only."


def cautions(found: Comparison) -> list[str]:
    """What the numbers do not say."""
    lines = []
    if found.pairs < 2:
        lines.append("One seed proves nothing: there is no spread to judge a difference by. Give more --repeats.")
    elif found.pairs < FEW:
        lines.append(
            f"Few seeds ({found.pairs} repeats; {FEW} or more are better): intervals that rest on them are wide, and "
            "the spread itself is uncertain."
        )
    lines.append(spread_note(found))
    lost = [arm.name for arm in found.arms if arm.diverged or arm.failed]
    if lost:
        lines.append(
            f"Runs of {listing(lost)} diverged or failed and are in no mean: what is left may look better than the arm"
            " is."
        )
    return lines


def spread_note(found: Comparison) -> str:
    """What varies between repeats, and what does not."""
    data = found.tables.data
    split = f" (seed {data['split_seed']}, {data['split_hash']})" if "split_hash" in data else ""
    return (
        f"The spread is over training seeds only: all runs share one split{split}, so nothing is said about other "
        "divisions of the images. The best epoch was chosen on the validation images themselves."
    )


def _good(found: Comparison, others: list[Arm]) -> bool:
    return any(found.difference(arm.name, "val_accuracy_last").verdict == "higher" for arm in others)
