"""An expert's checklist for a finished study: each check has a severity, a finding and advice.

``act``: change something before trusting or repeating the study; ``note``: for information; ``fine``: passed.
A check that cannot be made (too few trials, nothing recorded) is left out. The rules are a practitioner's checklist,
not statistical tests. Advice on ranges and regularizers needs as many trials as the verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu

from regstudy.analysis.audit import audit
from regstudy.analysis.gap import MIN_TRIALS, compare
from regstudy.analysis.learned import qualify
from regstudy.analysis.ranks import expected_best
from regstudy.report.boundary_checks import boundaries, places
from regstudy.report.curve_checks import CheckSeverity as CheckSeverity
from regstudy.report.curve_checks import StudyCheck as StudyCheck
from regstudy.report.curve_checks import budget, look_at_curves
from regstudy.report.metric_phrasing import amount, score
from regstudy.report.verdict_phrasing import nothing_learned_words
from regstudy.study.tables import PARAM, Tables
from regstudy.text import counted

CheckMaker = Callable[[Tables], Iterator[StudyCheck]]
SEVERITIES: tuple[CheckSeverity, ...] = ("act", "note", "fine")

ISOLATED_BEST_IQR = 0.25  # interquartile ranges by which the best of all may exceed the expected best of half
MAX_INFEASIBLE_SHARE = 0.25  # share of trials
CLUSTER_P_LEVEL = 0.01  # for what infeasible trials have in common, divided by the number of parameters
MAX_PRUNED_SHARE = 0.8  # share of the search trials
MAX_EXCLUDED_SHARE = 1 / 3  # of the observed trials
MIN_BASELINE_TRIALS = 3  # trials


def checks(tables: Tables) -> list[StudyCheck]:
    """Every check that can be made, most urgent first."""
    comparison = compare(tables)
    if comparison.nothing_learned:
        made: tuple[CheckMaker, ...] = (_unlearned, _infeasible)
    elif comparison.few or comparison.untrained:  # as for the verdict, too little to judge settings by
        made = (_few, _infeasible, budget, partial(look_at_curves, few=True), _pruning, _baseline)
    else:
        made = (boundaries, _density, _infeasible, budget, look_at_curves, _training, _pruning, _baseline)
    found = [check for make in made for check in make(tables)]
    return sorted(found, key=lambda check: SEVERITIES.index(check.severity))


def _unlearned(tables: Tables) -> Iterator[StudyCheck]:
    """What to do before anything else where no trial beats the best constant answer."""
    advice = "Make one network learn first: run `regstudy doctor`, raise `training.epochs`, and widen `optimizer.lr`"
    comparison = compare(tables)
    balance = "training.balance" if comparison.constant and comparison.constant.largest else ""
    if balance and not comparison.balanced:
        advice += f"; with unequal classes, also set `{balance}`"
    finding = nothing_learned_words(comparison.constant, balanced=comparison.balanced)
    yield StudyCheck("learned", "act", finding, f"{advice}.")


def _few(tables: Tables) -> Iterator[StudyCheck]:
    """Why ranges and regularizers are not judged yet."""
    comparison = compare(tables)
    count = comparison.search_observed
    if not comparison.few:
        finding = "The baseline has barely learned, so ranges and regularizers are not judged."
        yield StudyCheck("few", "act", finding, "Raise `training.epochs`, and widen the range of `optimizer.lr`.")
    elif count:
        finding = f"{counted(count, 'search trial')} finished, too few to judge ranges and regularizers by"
        advice = f"Run at least {MIN_TRIALS} search trials{_how(tables)}."
        yield StudyCheck("few", "note", f"{finding} ({MIN_TRIALS} are needed).", advice)


def _density(tables: Tables) -> Iterator[StudyCheck]:
    """Whether the best trial is isolated: the best of a random half would have been much worse."""
    values = tables.trials.loc[_search(tables) & tables.eligible(), "value"].to_numpy(dtype=float)
    if len(values) < MIN_TRIALS:
        return
    half = expected_best(values, len(values) // 2, maximize=tables.maximize)
    loss = abs(float(values.max() if tables.maximize else values.min()) - half)
    spread = float(np.subtract(*np.quantile(values, [0.75, 0.25])))
    unit = f"{loss / spread:.2f} interquartile ranges" if spread > 0 else f"{loss:.3g}"
    side = "below" if tables.maximize else "above"
    finding = f"the best of a random half of {len(values)} search trials is on average {unit} {side} the best of all."
    if loss > ISOLATED_BEST_IQR * spread:
        advice = f"Run more trials{_how(tables)}: they may well find a better one."
        yield StudyCheck("density", "note", f"The best trial is an outlier: {finding}", advice)
    else:
        yield StudyCheck("density", "fine", f"Other trials come close to the best: {finding}")


def _infeasible(tables: Tables) -> Iterator[StudyCheck]:
    """How many trials diverged or ran out of memory, and where in the ranges; of retried attempts the last counts."""
    slots = tables.trials["slot"]
    trials = tables.trials[slots.isna() | ~slots.duplicated(keep="last")]
    trials = trials[trials["state"].isin(["COMPLETE", "PRUNED", "FAIL"])]
    if trials.empty:
        return
    diverged = trials["outcome"] == "diverged"
    memory = (trials["state"] == "FAIL") & trials["reason"].astype("str").str.contains("out of memory", na=False)
    bad = (diverged | memory).fillna(False).astype(bool)
    finding = (
        f"{bad.sum()} of {counted(len(trials), 'trial')} ({100 * bad.mean():.1f} %) were unusable: "
        f"{diverged.sum()} diverged, {memory.sum()} ran out of memory"
    )
    if not bad.mean() > MAX_INFEASIBLE_SHARE:
        yield StudyCheck("infeasible", "fine", f"{finding}.")
        return
    if bad.all():
        advice = "Run `regstudy doctor`; lower the range of `optimizer.lr`"
        more = ", and `training.batch_size` against out-of-memory failures." if memory.any() else "."
        yield StudyCheck("infeasible", "act", f"{finding}.", advice + more)
        return
    where = _cluster(tables, trials, bad)
    advice = "Shrink the ranges" if where is None else f"Shrink the range of `{where[0]}` at its {where[1]} end"
    more = "; lower `training.batch_size` against out-of-memory failures." if memory.any() else "."
    yield StudyCheck("infeasible", "act", finding + ("" if where is None else f"; {where[2]}") + ".", advice + more)


def _cluster(tables: Tables, trials: pd.DataFrame, bad: pd.Series) -> tuple[str, str, str] | None:
    """Parameter, end and description of where infeasible trials lie, if they clearly differ from the others."""
    tested: list[tuple[float, str, pd.Series, pd.Series]] = []
    for name, span in tables.ranges.items():
        if PARAM + name not in trials or places(trials[PARAM + name], span) is None:
            continue
        values = pd.to_numeric(trials[PARAM + name], errors="coerce").astype("float64")
        a, b = values[bad].dropna(), values[~bad].dropna()
        if len(a) and len(b) and values.nunique() > 1:
            tested.append((float(mannwhitneyu(a, b).pvalue), name, a, b))
    if not tested:
        return None
    p, name, a, b = min(tested, key=lambda found: found[0])
    middle, (low, high) = float(a.median()), b.quantile([0.25, 0.75])
    if p >= CLUSTER_P_LEVEL / len(tested) or low <= middle <= high:
        return None
    upper = middle > high
    word, end = ("above", "upper") if upper else ("below", "lower")
    if a.min() > b.max() or a.max() < b.min():
        edge = b.max() if upper else b.min()
        return name, end, f"all of them, and no others, are {word} {name} = {edge:.3g}"
    beyond = int((b > middle).sum() if upper else (b < middle).sum())
    return name, end, f"half of them are {word} {name} = {middle:.3g}, but only {beyond} of the {len(b)} other trials"


def _training(tables: Tables) -> Iterator[StudyCheck]:
    """Underfitting: in the best trial, and in how many others."""
    comparison, qualified, of = compare(tables), qualify(tables), tables.measured
    if comparison.underfit and comparison.challenger is not None:
        finding = (
            f"From the best baseline trial to trial {comparison.challenger.number}, the gap shrank by "
            f"{amount(comparison.gap_change, of)} without a gain in validation {of.label}. The gap was not closed: it "
            f"shrank only because train {of.label} (eval mode) {'fell' if of.maximize else 'rose'}."
        )
        yield StudyCheck(
            "underfit",
            "act",
            finding,
            "Lower the upper bounds (`high`) of the regularizers, or raise `training.epochs`.",
        )
    total = int(qualified.mask.sum()) + qualified.excluded
    if total and qualified.excluded > MAX_EXCLUDED_SHARE * total:
        finding = (
            f"{qualified.excluded} of {counted(total, 'finished trial')} underfit so much that their gap means "
            f"nothing: their train {of.label} (eval mode) is too far {'below' if of.maximize else 'above'} "
            f"{score(qualified.reference, of)}."
        )
        advice = "Lower the upper bounds (`high`) of the regularizers, or narrow the range of `optimizer.lr`."
        yield StudyCheck("excluded", "note", finding, advice)


def _pruning(tables: Tables) -> Iterator[StudyCheck]:
    """Whether pruning left enough finished trials, and whether its error rate is known."""
    competed = tables.trials.loc[_search(tables), "state"]
    competed = competed[competed.isin(["COMPLETE", "PRUNED"])]
    pruned, all_pruned = int((competed == "PRUNED").sum()), audit(tables)
    if not pruned:
        return
    finding = (
        f"{pruned} of {counted(len(competed), 'search trial')} ({100 * pruned / len(competed):.1f} %) were pruned."
    )
    if pruned > MAX_PRUNED_SHARE * len(competed):
        yield StudyCheck("pruned", "act", finding, "Use `--pruner none`, or raise `training.epochs`.")
    else:
        yield StudyCheck("pruned", "fine", finding)
    if not all_pruned.judged:
        pruned_trials = counted(all_pruned.pruned, "pruned trial")
        finding = (
            f"The error rate of pruning ({pruned_trials}) is unknown: no trial that would have been pruned "
            "was run to its end."
        )
        yield StudyCheck("audit", "note", finding, "Run some trials with `--pruner none` to measure it.")


def _baseline(tables: Tables) -> Iterator[StudyCheck]:
    """Whether the baseline arm, if the study has arms, has enough trials for a comparison."""
    arms = tables.trials["arm"]
    count = int((tables.observed() & (arms == "baseline")).sum())
    if arms.notna().any() and count < MIN_BASELINE_TRIALS:
        finding = f"The baseline arm has only {counted(count, 'finished trial')}, so its best trial says little."
        yield StudyCheck("baseline", "note", finding, "Raise `--trials`: the baseline arm gets about a tenth of them.")


def _how(tables: Tables) -> str:
    """The option for more trials; a study of plain Optuna has none."""
    return "" if tables.metric is None else " (raise `--trials`)"


def _search(tables: Tables) -> pd.Series:
    return tables.trials["arm"] != "baseline"
