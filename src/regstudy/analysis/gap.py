"""The train/validation gap: best baseline vs. best search trial, and the gap against each regularizer's strength.

Gap = train (eval mode) minus validation at a trial's best epoch, in the study's metric and signed so that larger means
more overfitting. Shares, such as accuracies, are fractions in 0..1; the loss is in nats.

Which trials may be compared: those that trained well enough; see `regstudy.analysis.learned`.

Two Spearman correlations between gap and strength: unadjusted (``plain``), and adjusted for everything else (partial,
given the other regularizers, the numeric nuisances and the order of the trials, all as ranks). Only the second counts
as a relation. A sampler that learns raises good settings *together*: in simulated TPE studies of 50 trials
the plain correlation named each placebo in about 20 % of studies at the 1 % level, the partial one in about 1 %. The
partial one needs `MIN_TRIALS` trials more than it has adjustment variables; adjusting for fewer in small studies would
bring the bias back, so there only the unadjusted one is reported, and called so. The baseline arm is left out for the
same reason: all its regularizers are off at once, so the effect of one would be credited to all the others.

Compared values are rounded as shown (`PLACES`), so that every difference agrees with its parts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from regstudy.analysis.constant_answer import ConstantAnswer, constant_answer
from regstudy.analysis.learned import balancing, barely_learned, nothing_learned, qualify
from regstudy.analysis.ranks import SIGNIFICANCE_LEVEL, expected_best, holm, partial_spearman, rank
from regstudy.analysis.stored_margin import MARGIN as MARGIN
from regstudy.metrics import METRICS, Metric, metric_or_accuracy
from regstudy.study.tables import Tables, best

MIN_TRIALS = 10  # needed for a correlation, and for a verdict
PLACES = 3  # of a share: tenths of a percent; and of a loss in nats

Word = Literal["closed the gap", "helped validation", "underfit", "hurt", "no effect", "nothing to compare"]
RelationKind = Literal["significant", "unadjusted", "chance", "too few", "not rankable"]


@dataclass(frozen=True)
class Scores:
    """One trial at its best epoch, in one metric; values as shown (see `PLACES`)."""

    number: int
    value: float
    train: float  # in train mode; NaN for a metric that is not measured there
    clean_train: float
    val: float
    metric: Metric = METRICS["accuracy"]

    @property
    def gap(self) -> float:
        """Train (eval mode) against validation: larger means more overfitting."""
        return round(self.metric.gap(self.clean_train, self.val), PLACES)


@dataclass(frozen=True)
class BaselineComparison:
    """Best trial of the baseline arm and of the search arm; one seed each, so a difference proves nothing."""

    metric: str | None  # the study's, as stored
    maximize: bool
    baseline: Scores | None
    challenger: Scores | None  # best of the search arm; of all trials if the study has no arms
    baseline_trials: int  # finished ones
    search_trials: int  # complete, pruned and diverged ones
    search_observed: int  # finished ones
    # mean best value among as many search trials, drawn at random, as there are baseline trials: with pruned trials at
    # their last score (too pessimistic), and without them (too optimistic)
    equal_effort: tuple[float, float]
    constant: ConstantAnswer | None = None  # the value of the best answer that ignores the images
    nothing_learned: bool = False  # trials have ended, and none of them beats the constant answer
    baseline_allowed: bool = True  # whether the gap of the best baseline trial is within the study's limit
    balanced: bool = False  # some balanced the classes (`training.balance`), which makes this metric worse

    @property
    def measured(self) -> Metric:
        """The metric of gaps and scores."""
        return metric_or_accuracy(self.metric)

    @property
    def few(self) -> bool:
        """Whether too few search trials finished for a verdict."""
        return self.search_observed < MIN_TRIALS

    @property
    def untrained(self) -> bool:
        """Whether even the best baseline trial is hardly better on its own training images than a constant answer."""
        return self.baseline is not None and self.near_constant(self.baseline)

    def near_constant(self, scores: Scores) -> bool:
        """Whether a trial's value on training images (eval mode) is hardly better than that of a constant answer."""
        return self.constant is not None and barely_learned(scores.clean_train, self.constant, self.measured)

    @property
    def best(self) -> Scores | None:
        """Best of all by the objective that may win; a tie goes to the baseline."""
        baseline = self.baseline if self.baseline_allowed else None
        if baseline is None or self.challenger is None:
            return baseline or self.challenger
        gain = self.challenger.value - baseline.value
        return self.challenger if (gain > 0 if self.maximize else gain < 0) else baseline

    @property
    def baseline_wins(self) -> bool:
        """Whether the best of all is a baseline trial."""
        return self.baseline is not None and self.best is self.baseline

    @property
    def fair_gain(self) -> tuple[float, float]:
        """Gain of the objective over the baseline with equally many attempts, lowest and highest estimate.

        Positive is better. The best of many trials is ahead of the best of few by luck alone, so this is the only gain
        that may be claimed. NaN if it is unknown.
        """
        if self.baseline is None or self.challenger is None:
            return math.nan, math.nan
        equal = self.search_trials <= self.baseline_trials
        reached = (self.challenger.value, self.challenger.value) if equal else self.equal_effort
        places = PLACES if self._in_percent else 15  # of the values that are shown
        own = round(self.baseline.value, places)
        low, high = sorted((round(value, places) - own) * (1 if self.maximize else -1) for value in reached)
        return low, high

    @property
    def gains(self) -> bool | None:
        """Whether the fair gain is one, by the margin; None if its estimates disagree or are unknown."""
        low, high = self.fair_gain
        margin = MARGIN if self.metric == self.measured.val else 0.0  # nothing is known of another objective's scale
        return True if low > margin else False if high <= margin else None

    @property
    def _in_percent(self) -> bool:
        return self.metric == self.measured.val and self.measured.percent

    @property
    def val_gain(self) -> float:
        """By how much the challenger is better than the baseline's best on validation images; NaN without both."""
        return self.val_change * (1 if self.measured.maximize else -1)

    @property
    def val_change(self) -> float:
        """Validation value of the challenger minus that of the baseline's best; NaN without both."""
        return self._difference("val")

    @property
    def clean_train_change(self) -> float:
        """Train value (eval mode) of the challenger minus that of the baseline's best; NaN without both."""
        return self._difference("clean_train")

    @property
    def gap_change(self) -> float:
        """Gap of the challenger minus that of the baseline's best, negative when it shrank; NaN without both."""
        return self._difference("gap")

    @property
    def word(self) -> Word:
        """What happened between baseline and challenger, by the margin alone (see `MARGIN`)."""
        gain, change = self.val_gain, self.gap_change
        if not (math.isfinite(gain) and math.isfinite(change)):
            return "nothing to compare"
        if gain < -MARGIN:
            return "hurt"
        if gain > MARGIN:
            return "closed the gap" if change < -MARGIN else "helped validation"
        return "underfit" if change < -MARGIN else "no effect"

    @property
    def underfit(self) -> bool:
        """Whether the gap shrank without a validation gain, only because the fit to training images got worse."""
        return self.gap_change < -MARGIN and self.val_gain <= MARGIN

    def _difference(self, name: str) -> float:
        if self.baseline is None or self.challenger is None:
            return math.nan
        return float(round(getattr(self.challenger, name) - getattr(self.baseline, name), PLACES))


@dataclass(frozen=True)
class Relation:
    """Gap against one regularizer's strength in the search arm; rho and p are NaN where they cannot be computed.

    p-values are Holm-adjusted over the study's regularizers.
    """

    path: str
    null: Any
    plain: float  # unadjusted rank correlation
    plain_p: float
    rho: float  # rank correlation adjusted for the other settings
    p: float
    used: int
    excluded: int
    held: int  # adjustment variables: other regularizers, numeric nuisances, the order of the trials
    needed: int  # trials below which ``rho`` is not computed

    @property
    def kind(self) -> RelationKind:
        """What the data show: a significant adjusted correlation, only an unadjusted one, or nothing (and why)."""
        if self.used < MIN_TRIALS:
            return "too few"
        if self.p < SIGNIFICANCE_LEVEL:
            return "significant"
        if self.plain_p < SIGNIFICANCE_LEVEL:
            return "unadjusted"
        return "chance" if math.isfinite(self.plain) else "not rankable"

    @property
    def significant(self) -> bool:
        """Whether the adjusted correlation is significant at the 5 % level after correction."""
        return self.kind == "significant"

    @property
    def verb(self) -> str:
        """What the gap does as the strength grows: ``falls`` or ``rises``."""
        return "falls" if (self.rho if self.significant else self.plain) < 0 else "rises"


def compare(tables: Tables) -> BaselineComparison:
    """Best of the baseline arm against the best of the search arm."""
    trials, measured = tables.trials, tables.measured
    is_baseline = trials["arm"] == "baseline"
    observed = tables.observed()
    count = int((observed & is_baseline).sum())
    competed = trials[~is_baseline & trials["state"].isin(["COMPLETE", "PRUNED"])]
    competed = competed[tables.within_limit()[competed.index]]
    ended = competed[competed["state"] == "COMPLETE"]
    baseline, challenger = best(tables, "baseline"), best(replace(tables, trials=trials[~is_baseline]))
    return BaselineComparison(
        metric=tables.metric,
        maximize=tables.maximize,
        baseline=None if baseline is None else _scores(baseline, measured),
        challenger=None if challenger is None else _scores(challenger, measured),
        baseline_trials=count,
        search_trials=int((~is_baseline & trials["state"].isin(["COMPLETE", "PRUNED"])).sum()),
        search_observed=int((observed & ~is_baseline).sum()),
        equal_effort=(
            expected_best(competed["value"].to_numpy(), count, maximize=tables.maximize),
            expected_best(ended["value"].to_numpy(), count, maximize=tables.maximize),
        ),
        constant=constant_answer(tables.data, measured.val, tables.doctor),
        nothing_learned=nothing_learned(tables),
        balanced=balancing(tables),
        baseline_allowed=baseline is None or bool(tables.within_limit()[baseline.name]),
    )


def relations(tables: Tables) -> list[Relation]:
    """Gap against the strength of each regularizer that varied, in the study's order."""
    qualification = qualify(tables)
    search = tables.trials["arm"] != "baseline"
    used = qualification.mask & search
    excluded = int((tables.observed() & search & ~used).sum())
    strengths = {path: values for path in tables.searched() if (values := tables.strength(path)) is not None}
    nuisances = {path: values for path in tables.nuisances if (values := tables.strength(path)) is not None}
    order = {"": tables.trials["number"]}
    ranks = {path: rank(values[used]) for path, values in {**strengths, **nuisances, **order}.items()}
    ranked_gaps = rank(tables.trials.loc[used, tables.gap])
    others = {
        path: [found for other, found in ranks.items() if other != path and found is not None] for path in strengths
    }
    plain = [partial_spearman(ranks[path], ranked_gaps, [], MIN_TRIALS) for path in strengths]
    partial = [partial_spearman(ranks[path], ranked_gaps, others[path], MIN_TRIALS) for path in strengths]
    plain_p, partial_p = (holm([p for _, p, _ in found]) for found in (plain, partial))
    return [
        Relation(
            path=path,
            null=tables.regularizers[path],
            plain=plain[i][0],
            plain_p=plain_p[i],
            rho=partial[i][0],
            p=partial_p[i],
            used=int(used.sum()),
            excluded=excluded,
            held=len(others[path]),
            needed=partial[i][2],
        )
        for i, path in enumerate(strengths)
    ]


def _scores(row: pd.Series, metric: Metric) -> Scores:
    names = (metric.train, metric.clean_train, metric.val)
    train, clean_train, val = (round(float(row.get(name, math.nan)), PLACES) for name in names)
    return Scores(int(row["number"]), float(row["value"]), train, clean_train, val, metric)
