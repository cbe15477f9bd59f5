"""Results of a plan's runs: each arm's spread over its seeds, and paired differences from the first arm.

Means include only finished runs; diverged, failed and missing ones are counted separately.
Values and gaps are in the study's metric: shares are fractions in 0..1, the loss is in nats. Where another metric
decides, accuracy is reported, too, but not compared. Times are in seconds. The last epoch is a run's own: early
stopping may end runs of one arm at different epochs. The best epoch is that of the study's metric, whose weights are
kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from regstudy.analysis.curves import connected_runs
from regstudy.analysis.gap import MARGIN
from regstudy.analysis.paired import Paired, PairedVerdict, adjust, paired
from regstudy.errors import StudyError
from regstudy.metrics import GAP, METRICS, VALIDATION, Metric, is_metric, metric
from regstudy.records import FOLD, Reliability, parse_reliability
from regstudy.space.fixed_plan import FixedPlan, parse_plan
from regstudy.space.yaml_values import read_yaml_text
from regstudy.study import attributes
from regstudy.study.load_tables import load_tables
from regstudy.study.stored_facts import fact, facts_of
from regstudy.study.tables import Study, Tables

MOMENTS = ("first", "last", "best")  # epochs of a run at which it is evaluated
RUNNING_GAP = "running_gap"  # of the study's metric in train mode
ACCURACY = METRICS["accuracy"]


@dataclass(frozen=True)
class Spread:
    """A measure over the seeds of an arm; NaN without data, ``sd`` also with a single run."""

    n: int
    mean: float
    sd: float
    low: float
    high: float


@dataclass(frozen=True)
class Arm:
    """One configuration and the results of its runs.

    ``spreads`` has an entry for each series at each moment, such as ``val_accuracy_last``. ``curves`` has per series
    the mean, lowest and highest value by epoch, up to the last epoch that every run of the arm reached.
    """

    name: str
    asked: int  # repeats asked for, or finished if that is more
    used: int  # finished with a usable outcome
    diverged: int
    failed: int  # attempts failed, and none has succeeded
    running: int
    longer: int  # runs that continued after the last epoch of the curves
    epochs: Spread  # of a run
    planned_epochs: int
    parameters: tuple[int, int] | None  # of the network, and those that are trained
    seconds: float  # median of an epoch
    workers: tuple[int, int] | None  # fewest and most processes on the machine while the times were measured
    spreads: Mapping[str, Spread]
    curves: Mapping[str, pd.DataFrame]

    @property
    def missing(self) -> int:
        """Repeats that have not started or were interrupted."""
        return self.asked - self.used - self.diverged - self.failed - self.running


@dataclass(frozen=True)
class Difference:
    """One arm minus the first in one measure, over the repeats that both have."""

    arm: str
    against: str
    measure: str
    paired: Paired
    margin: float
    metric: Metric

    @property
    def verdict(self) -> PairedVerdict:
        """The verdict of the pairs."""
        return self.paired.verdict(self.margin)

    @property
    def more(self) -> float:
        """Further repeats needed for a decision."""
        return self.paired.more(self.margin)


@dataclass(frozen=True)
class Comparison:
    """A plan's study. ``runs`` has a row per usable run: number, arm, repeat, seed, epochs and every measure.

    ``reliabilities``: by the number of a run, how sure its model was at its best epoch; runs of version 0.1 have none.
    """

    tables: Tables
    plan: FixedPlan
    arms: list[Arm]
    differences: list[Difference]
    margin: float  # a share, or in nats
    runs: pd.DataFrame
    reliabilities: Mapping[int, Reliability] = field(default_factory=dict)

    @property
    def metric(self) -> Metric:
        """The metric in which the arms are compared."""
        return self.tables.measured

    def key(self, kind: str, moment: str) -> str:
        """The name of a measure: ``key("val", "last")`` → ``val_accuracy_last``."""
        return f"{kind}_{self.metric.name}_{moment}"

    def metric_of(self, measure: str) -> Metric:
        """The metric of a measure such as ``val_accuracy_last``."""
        series = measure.rpartition("_")[0]
        return metric(series) if is_metric(series) else self.metric

    @property
    def pairs(self) -> int:
        """The fewest repeats that any other arm shares with the first; those of the only arm if there is no other."""
        return min((d.paired.n for d in self.differences), default=self.arms[0].used)

    def difference(self, arm: str, measure: str) -> Difference:
        """The difference of an arm other than the first."""
        return next(d for d in self.differences if (d.arm, d.measure) == (arm, measure))


def load_comparison(study: Study) -> Comparison:
    """Read the study of a plan. Raises StudyError if it is none."""
    facts = facts_of(study)
    if not facts.get(attributes.PLAN):
        raise StudyError(f"The study '{study.study_name}' is not a comparison: it holds no plan.")
    plan = parse_plan(read_yaml_text(facts[attributes.PLAN], study.study_name), study.study_name, study.study_name)
    tables = load_tables(study)
    runs = run_table(tables, plan)
    trials = study.get_trials(deepcopy=False)
    workers = {trial.number: fact(trial, attributes.WORKERS) for trial in trials}
    reliabilities = {
        trial.number: parse_reliability(stored)
        for trial in trials
        if (stored := fact(trial, attributes.RELIABILITY)) is not None
    }
    sizes = facts.get(attributes.PARAMETERS) or {}
    asked = int(facts.get(attributes.TRIALS, 0)) // len(plan.arms)
    arms = [_arm(name, tables, plan, runs, asked, sizes.get(name), workers) for name in plan.arms]
    margin = float(facts.get(attributes.MARGIN, MARGIN))
    differences = compare_arms(runs, list(plan.arms), margin, tables.measured)
    return Comparison(tables, plan, arms, differences, margin, runs, reliabilities)


def run_table(tables: Tables, plan: FixedPlan) -> pd.DataFrame:
    """A row per finished run, with every series at every moment (`val_accuracy_last`)."""
    observed = tables.trials[tables.observed() & tables.trials["slot"].notna()]
    tasks = [plan.task(int(slot)) for slot in observed["slot"]]
    runs = pd.DataFrame(
        {
            "number": observed["number"].to_numpy(),
            "arm": [task.arm for task in tasks],
            "repeat": [task.repeat for task in tasks],
            "seed": [task.seed for task in tasks],
            "epochs": observed["epochs"].to_numpy(),
            "best_epoch": observed["best_epoch"].to_numpy(),
        }
    )
    run = ["number", *([FOLD] if FOLD in tables.epochs else [])]  # each fold is a run; a repeat is their mean
    epochs, best, scale = tables.epochs, observed, tables.measured
    if RUNNING_GAP in (recorded := series_of(tables)):
        epochs, best = (
            rows.assign(**{RUNNING_GAP: scale.gap(rows[scale.train], rows[scale.val])}) for rows in (epochs, best)
        )
    epochs = epochs.sort_values([*run, "epoch"])
    at = {
        "first": epochs.drop_duplicates(run, keep="first"),
        "last": epochs.drop_duplicates(run, keep="last"),
        "best": best,
    }
    for moment in MOMENTS:
        values = at[moment].groupby("number")[recorded].mean().add_suffix(f"_{moment}")
        runs = runs.join(values, on="number")
    return runs


def curves_of(tables: Tables) -> list[str]:
    """The series of the study's metric that were recorded: in train mode only accuracy and loss are."""
    measured = tables.measured
    return [name for name in (measured.train, measured.clean_train, measured.val) if name in tables.epochs.columns]


def series_of(tables: Tables) -> list[str]:
    """Every series that an arm reports: curves and gaps of the study's metric, and accuracy with its gap."""
    curves, measured = curves_of(tables), tables.measured
    accuracy = [] if measured is ACCURACY else [ACCURACY.clean_train, ACCURACY.val, GAP + ACCURACY.name]
    return [*curves, tables.gap, *([RUNNING_GAP] if measured.train in curves else []), *accuracy]


def outcomes_of(measured: Metric) -> list[str]:
    """The measures in which arms are compared."""
    return [f"{prefix}{measured.name}_{moment}" for moment in ("last", "best") for prefix in (VALIDATION, GAP)]


def compare_arms(
    runs: pd.DataFrame,
    arms: list[str],
    margin: float,
    measured: Metric = ACCURACY,
    outcomes: Sequence[str] | None = None,
) -> list[Difference]:
    """Every other arm against the first in every outcome, with p-values adjusted over all of them."""
    by_repeat = {arm: rows.set_index("repeat") for arm, rows in runs.groupby("arm")}
    first, *others = arms
    none = runs.iloc[:0].set_index("repeat")
    found = []
    for other in others:
        mine, theirs = by_repeat.get(first, none), by_repeat.get(other, none)
        both = mine.index.intersection(theirs.index)
        for measure in outcomes or outcomes_of(measured):
            a, b = (rows.loc[both, measure].to_numpy(dtype=np.float64) for rows in (mine, theirs))
            found.append((other, measure, paired(a, b)))
    adjusted = adjust([pairs for _, _, pairs in found])
    return [
        Difference(arm, first, measure, pairs, margin, measured)
        for (arm, measure, _), pairs in zip(found, adjusted, strict=True)
    ]


def spread(values: pd.Series) -> Spread:
    """Mean, standard deviation (n − 1) and range of the numbers among the values."""
    numbers = values.dropna().astype(float)
    if numbers.empty:
        return Spread(0, math.nan, math.nan, math.nan, math.nan)
    sd = float(numbers.std(ddof=1)) if len(numbers) > 1 else math.nan
    return Spread(len(numbers), float(numbers.mean()), sd, float(numbers.min()), float(numbers.max()))


def _arm(
    name: str,
    tables: Tables,
    plan: FixedPlan,
    runs: pd.DataFrame,
    asked: int,
    size: list[int] | None,
    workers: Mapping[int, int | None],
) -> Arm:
    mine, trials = runs[runs["arm"] == name], tables.trials[tables.trials["arm"] == name]
    diverged = int(((trials["outcome"] == "diverged") & (trials["state"] == "COMPLETE")).sum())
    held = trials.loc[trials["state"].isin(["COMPLETE", "RUNNING"]), "slot"]
    faults = trials[(trials["state"] == "FAIL") & trials["fault"].notna() & ~trials["slot"].isin(held)]
    failed, running = int(faults["slot"].nunique()), int((trials["state"] == "RUNNING").sum())
    epochs = tables.epochs[tables.epochs["number"].isin(mine["number"])]
    shared = int(mine["epochs"].min()) if len(mine) else 0
    together = connected_runs(epochs, curves_of(tables)).query("epoch <= @shared").groupby("epoch")
    neighbors = [count for number in mine["number"] if (count := workers.get(number)) is not None]
    return Arm(
        name=name,
        asked=max(asked, len(mine) + diverged + failed + running),
        used=len(mine),
        diverged=diverged,
        failed=failed,
        running=running,
        longer=int((mine["epochs"] > shared).sum()),
        epochs=spread(mine["epochs"]),
        planned_epochs=plan.arms[name].planned_epochs,
        parameters=(size[0], size[1]) if size else None,
        seconds=float(epochs["seconds"].median()) if len(epochs) else math.nan,
        workers=(min(neighbors), max(neighbors)) if neighbors else None,
        spreads={f"{s}_{moment}": spread(mine[f"{s}_{moment}"]) for moment in MOMENTS for s in series_of(tables)},
        curves={series: together[series].agg(["mean", "min", "max"]) for series in curves_of(tables)},
    )
