"""A study as two pandas tables, one row per trial and one per epoch, and the facts that belong to the whole.

Everything later (gap, importances, report) reads these tables.
What a study lacks (one made by plain Optuna, an older version) is None or NaN, never an error.
Accuracies are fractions in 0..1, losses nats, times seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray

from regstudy.metrics import GAP, METRICS, Metric, metric_or_accuracy
from regstudy.records import COLUMNS, FOLD, GroupCounts, Tally, parse_confusions, parse_groups
from regstudy.study.ranking import within

Study = optuna.Study  # the report names this type and must not import Optuna itself
PARAM = "param:"  # prefix of columns that hold Optuna's own parameters
SERIES = (
    "train_accuracy",
    "clean_train_accuracy",
    "val_accuracy",
    "gap_accuracy",
    "train_loss",
    "clean_train_loss",
    "val_loss",
    "gap_loss",
)  # in the trial table: their values at the trial's best epoch
TRIAL_COLUMNS = {
    "number": "int64",
    "slot": "Int64",
    "arm": "str",
    "state": "str",
    "outcome": "str",
    "reason": "str",
    "fault": "str",
    "resumed": "Int64",
    "shadow": "Int64",  # the epoch at which a trial exempt from pruning would have been cut
    "value": "float64",
    "best_epoch": "Int64",
    "epochs": "int64",
    "seconds": "float64",
    **dict.fromkeys(SERIES, "float64"),
}
EPOCH = COLUMNS.index("epoch")


@dataclass(frozen=True)
class ParameterRange:
    """What an Optuna parameter was drawn from: bounds of a number, or the choices of a category."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Tables:
    """One study. ``trials``: a row per trial that has started; ``epochs``: a row per epoch of each trial.

    In a study with folds, ``epochs`` has a column `fold`. There ``best_epoch`` and ``epochs`` of a trial are those of
    its first fold, whose curve `curves` has, and its series are means over the best epochs of its folds.

    Columns of ``trials``: the fixed ones, then the resolved configuration by dotted path (``regularization.l2``),
    then what Optuna drew (``param:regularization.l2``). ``value`` is the objective at the trial's best epoch.
    """

    trials: pd.DataFrame
    epochs: pd.DataFrame
    name: str
    metric: str | None
    direction: str  # "maximize" or "minimize"
    space_name: str | None
    regularizers: dict[str, Any]  # {dotted path: its null, the value that turns it off}
    nuisances: list[str]
    data: dict[str, Any]
    command: str | None
    versions: dict[str, Any]
    epochs_planned: int | None
    seed: int | None
    ranges: dict[str, ParameterRange]  # by Optuna parameter, without the prefix
    doctor: dict[str, Any] = field(default_factory=dict)  # see report.stored_diagnosis
    confusions: dict[int, dict[str, Any]] = field(default_factory=dict)  # as stored, by trial; see `confusion`
    groups: dict[int, dict[str, Any]] = field(default_factory=dict)  # as stored, by trial; see `group_counts`
    ablation: dict[str, Any] = field(default_factory=dict)  # of ablation runs; see attributes.ABLATION
    race: dict[str, Any] = field(default_factory=dict)  # of confirmation runs; see attributes.RACE
    resolution: dict[str, Any] = field(default_factory=dict)  # of an answer; see attributes.RESOLUTION
    final_model: dict[str, Any] = field(default_factory=dict)  # of an answer; see attributes.FINAL_MODEL
    gap_at_most: float | None = None  # only trials with at most this gap may win
    start: str = ""  # a line about what the search knew when it began; empty for a cold start
    asked: int | None = None  # finished trials that were requested last, without confirmation runs
    malformed: list[str] = field(default_factory=list)  # attributes of ours that are left out, in words

    @property
    def measured(self) -> Metric:
        """The metric in which trials and their gaps are compared: the study's; accuracy if that is none of ours."""
        return metric_or_accuracy(self.metric)

    @property
    def gap(self) -> str:
        """The column of the gap in the metric `measured`."""
        return GAP + self.measured.name

    @property
    def others(self) -> list[Metric]:
        """The further shares that were recorded, accuracy among them, in the order of `METRICS`."""
        return [
            metric
            for metric in METRICS.values()
            if metric.percent
            and metric is not self.measured
            and metric.val in self.trials.columns
            and self.trials[metric.val].notna().any()
        ]

    @property
    def folds(self) -> int:
        """The number of folds; 0 without k-fold cross-validation."""
        return int(self.data.get("folds") or 0)

    @property
    def curves(self) -> pd.DataFrame:
        """The epochs that pages draw: of trials with folds, those of the first one."""
        return self.epochs[self.epochs[FOLD] == 1] if FOLD in self.epochs else self.epochs

    def epochs_run(self) -> pd.Series:
        """The epochs of each trial in all of its folds."""
        if FOLD not in self.epochs:
            return self.trials["epochs"]
        later = self.epochs.loc[self.epochs[FOLD] > 1, "number"].value_counts()
        return self.trials["epochs"] + self.trials["number"].map(later).fillna(0).astype("int64")

    @property
    def maximize(self) -> bool:
        """Whether more of the objective is better."""
        return self.direction == "maximize"

    def confusion(self, number: int) -> dict[str, NDArray[np.int64]]:
        """A trial's confusion matrices at its best epoch (rows: true classes) of `train` and `validation`, if known."""
        stored = parse_confusions(self.confusions.get(number, {}))
        return {part: np.array(matrix, dtype=np.int64) for part, matrix in stored.items()}

    def group_counts(self, number: int) -> dict[str, GroupCounts | Tally]:
        """A trial's right answers per group at its best epoch, of `train` and `validation`; empty without groups."""
        return parse_groups(self.groups.get(number, {}))

    def strength(self, path: str) -> pd.Series | None:
        """Value of one regularizer in each trial: from the resolved configuration, else from Optuna's parameter."""
        for column in (path, PARAM + path):
            if column in self.trials.columns:
                return self.trials[column]
        return None

    def regularizer_of(self, parameter: str) -> str | None:
        """The regularizer that an Optuna parameter sets; its name may contain choices within the path, and a switch."""
        name = parameter.removesuffix(".on").split(".")
        for path in self.regularizers:
            keys, rest = path.split("."), iter(name)
            if (name[0], name[-1]) == (keys[0], keys[-1]) and all(key in rest for key in keys):
                return path
        return None

    def searched(self) -> list[str]:
        """Regularizers that were not the same in every trial, in the study's order."""
        strengths = ((path, self.strength(path)) for path in self.regularizers)
        return [path for path, values in strengths if values is not None and values.nunique() > 1]

    def ended(self) -> pd.Series:
        """Mask of trials whose slot needs no further attempt."""
        return self.trials["state"].isin(["COMPLETE", "PRUNED"])

    def observed(self) -> pd.Series:
        """Mask of trials whose outcome was seen to the end: COMPLETE and not diverged, with a finite value."""
        trials = self.trials
        return (trials["state"] == "COMPLETE") & (trials["outcome"] != "diverged") & trials["value"].map(math.isfinite)

    def within_limit(self) -> pd.Series:
        """Mask of trials whose gap the study allows; all without a limit. An unknown gap is not within one."""
        if self.gap_at_most is None:  # the gap may not have been recorded
            return pd.Series(data=True, index=self.trials.index)
        return self.trials[self.gap].map(lambda gap: within(gap, self.gap_at_most)).astype(bool)

    def eligible(self) -> pd.Series:
        """Mask of trials that may win: `observed`, and within the limit on the gap."""
        return self.observed() & self.within_limit()


def best(tables: Tables, arm: str | None = None, *, limited: bool = True) -> pd.Series | None:
    """Row of the best trial (of one arm) among those that may win, see `Tables.eligible`; None if there is none.

    The baseline is what others are compared with, so it may have any gap, as have all that are not ``limited``.
    """
    candidates = tables.trials[tables.eligible() if limited and arm != "baseline" else tables.observed()]
    if arm is not None:
        candidates = candidates[candidates["arm"] == arm]
    if candidates.empty:
        return None
    values = candidates["value"]
    return candidates.loc[values.idxmax() if tables.maximize else values.idxmin()]
