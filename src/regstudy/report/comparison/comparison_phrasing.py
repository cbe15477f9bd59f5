"""Texts of a comparison: numbers with their spread, the difference of each pair of arms, and caveats."""

from __future__ import annotations

import math

from regstudy.analysis.arm_statistics import RUNNING_GAP, Arm, Comparison, Difference, Spread
from regstudy.analysis.constant_answer import constant_answer
from regstudy.analysis.learned import balancing, nothing_learned
from regstudy.metrics import CLEAN_TRAIN, GAP, TRAIN, VALIDATION, Metric
from regstudy.report.metric_phrasing import fit_got_worse, scale, unit, validation_name
from regstudy.report.phrasing import NONE, capital, listing, minus
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
SERIES_NAMES = {  # by prefix
    CLEAN_TRAIN: "train{} (eval mode)",
    TRAIN: "train{} (train mode)",
    VALIDATION: "validation{}",
    RUNNING_GAP: "gap (train mode)",
    GAP: "gap (eval mode)",
}
MOMENT_TEXTS = {"first": "first epoch", "last": "last epoch", "best": "best epoch"}


def measure_name(found: Comparison, measure: str) -> str:
    """``val_accuracy_last`` → ``validation, last epoch``; a metric is named unless it is the accuracy that decides."""
    series, _, moment = measure.rpartition("_")
    name = next(name for prefix, name in SERIES_NAMES.items() if series.startswith(prefix))
    label = "" if found.metric.name == "accuracy" else f" {found.metric_of(measure).label}"
    return f"{name.format(label)}, {MOMENT_TEXTS[moment]}"


def number(value: float, of: Metric) -> str:
    """0.81234 → ``81.23``; a loss → ``0.8123``."""
    if not math.isfinite(value):
        return NONE
    return minus(f"{100 * value + 0.0:.2f}" if of.percent else f"{value + 0.0:.4f}")


def signed_number(value: float, of: Metric) -> str:
    """0.0041 → ``+0.41``; of a loss → ``+0.0041``."""
    if not math.isfinite(value):
        return NONE
    text = f"{100 * value:+.2f}" if of.percent else f"{value:+.4f}"
    return f"±{text[1:]}" if not float(text) else minus(text)


def gap_words(value: float, of: Metric) -> str:
    """A gap in a title or a range: ``5.2``, or ``0.213``."""
    if not math.isfinite(value):
        return NONE
    return minus(f"{100 * value:.1f}" if of.percent else f"{value:.3f}")


def margin_words(margin: float, of: Metric) -> str:
    """``0.3 points``, or ``0.003 nats``."""
    return f"{scale(of) * margin:g} {unit(of)}"


def spread_words(spread: Spread, of: Metric) -> str:
    """``81.23 ± 0.52 (80.60 to 81.90)``; a single run has no spread."""
    if spread.n == 0:
        return NONE
    if spread.n == 1:
        return number(spread.mean, of)
    return f"{mean_words(spread, of)} ({number(spread.low, of)} to {number(spread.high, of)})"


def mean_words(spread: Spread, of: Metric) -> str:
    """``81.23 ± 0.52``."""
    return number(spread.mean, of) + (f" ± {number(spread.sd, of)}" if spread.n > 1 else "")


def with_sign(words: str, of: Metric) -> str:
    """A value with its unit; a loss has none beside its name."""
    return f"{words} %" if of.percent else words


def best_arm(found: Comparison) -> Arm:
    """The arm with the best mean at the last epoch, of those with results."""
    key, sign = found.key("val", "last"), 1 if found.metric.maximize else -1
    return max((arm for arm in found.arms if arm.used), key=lambda arm: sign * arm.spreads[key].mean)


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
    """The 95 % confidence interval without its unit, or why there is none."""
    pairs = difference.paired
    if pairs.n < 2:
        return "none (single seed)" if pairs.n else "none (no pair of runs)"
    return f"{signed_number(pairs.low, difference.metric)} to {signed_number(pairs.high, difference.metric)}"


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
        constant = constant_answer(found.tables.data, found.metric.val, found.tables.doctor)
        headline = nothing_learned_words(constant, balanced=balancing(found.tables), who="arm")
        assumed = [ASSUMED_CLASSES] if constant is not None and constant.source == "assumed" else []
        sentences = ["Differences between the arms are differences between networks that have not learned."]
        return Verdict(headline, [*sentences, *filter(None, [_counts(found)])], [*assumed, *cautions(found)])
    if not others:
        of, val, gap = found.metric, *(first.spreads[found.key(kind, "last")] for kind in ("val", "gap"))
        reached = f"{validation_name(of)} {with_sign(mean_words(val, of), of)}"
        headline = f"{first.name}: {reached} at the last epoch ({counted(val.n, 'seed')})."
        sentences = [f"The gap (eval mode) is {mean_words(gap, of)} {unit(of)} there."]
    else:
        headline = _headline(found, others)
        sentences = [_pair_sentence(found, arm) for arm in others]
    sentences += [_mode_difference(found, arm) for arm in others] + [_counts(found)]
    return Verdict(headline, [s for s in sentences if s], cautions(found), _good(found, others))


def _headline(found: Comparison, others: list[Arm]) -> str:
    first, named = found.arms[0].name, validation_name(found.metric)
    if len(others) == 1:
        val, gap = (found.difference(others[0].name, found.key(kind, "last")) for kind in ("val", "gap"))
        return f"{others[0].name} vs. {first} at the last epoch: {named} {_short(val)}; gap {_short(gap)}."
    verdicts = {arm.name: found.difference(arm.name, found.key("val", "last")).verdict for arm in others}
    groups = [
        f"{words} {listing(names)}"
        for words, meant in HEADLINE_GROUPS.items()
        if (names := [name for name, verdict in verdicts.items() if verdict in meant])
    ]
    return f"{capital(named)} at the last epoch vs. {first}: {'; '.join(groups)}."


def _short(difference: Difference) -> str:
    mean, verdict, of = difference.paired.mean, difference.verdict, difference.metric
    if verdict in ("higher", "lower"):
        return f"{verdict} by {number(abs(mean), of)} {unit(of)}"
    if verdict == "no difference":
        return f"equal within {margin_words(difference.margin, of)}"
    return f"{signed_number(mean, of)} {unit(of)} (undecided)" if math.isfinite(mean) else "not comparable yet"


def _pair_sentence(found: Comparison, arm: Arm) -> str:
    val, gap = (found.difference(arm.name, found.key(kind, "last")) for kind in ("val", "gap"))
    of = found.metric
    if val.paired.n == 0:
        return f"{arm.name} and {val.against} have no common repeat yet."
    parts = [
        f"{name} {signed_number(d.paired.mean, of)} {unit(of)} (95 % CI {interval_words(d)}): {verdict_words(d)}"
        for name, d in ((validation_name(of), val), ("gap (eval mode)", gap))
    ]
    sentence = f"{arm.name} vs. {val.against} at the last epoch, {counted(val.paired.n, 'pair')}: "
    sentence += "; ".join(parts) + "."
    if gap.verdict == "lower" and val.verdict != better(of):
        sentence += f" A smaller gap without better validation is not an improvement: only {fit_got_worse(of)}."
    return sentence


def better(of: Metric) -> str:
    """The verdict of an arm with a better validation value than the first."""
    return "higher" if of.maximize else "lower"


def _mode_difference(found: Comparison, arm: Arm) -> str:
    """How much of a change of the gap in train mode is a measurement artifact of that mode; empty if little."""
    first, of = found.arms[0], found.metric
    measures = (f"{RUNNING_GAP}_last", found.key("gap", "last"))
    if measures[0] not in arm.spreads:
        return ""
    running, clean = (arm.spreads[measure].mean - first.spreads[measure].mean for measure in measures)
    if not abs(running - clean) > MIN_MODE_DIFFERENCE:
        return ""
    active = "dropout and augmentation" if of.percent else "dropout, augmentation and label smoothing"
    return (
        f"From {first.name} to {arm.name}, the gap changes by {signed_number(running, of)} {unit(of)} in train mode, "
        f"and by {signed_number(clean, of)} in eval mode. The {number(abs(running - clean), of)} {unit(of)} between "
        f"them are an artifact: in train mode, train {of.label} is measured during the epoch with {active} active."
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
    return any(found.difference(arm.name, found.key("val", "last")).verdict == better(found.metric) for arm in others)
