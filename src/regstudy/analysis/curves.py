"""Problems of a learning curve: fixed rules over the epochs of one run.

Runs shorter than `MIN_EPOCHS` are not judged. Epochs in which a series is not finite are left out of that series.
Every rule compares means or slopes over several epochs because a single epoch may be noise. Each threshold is above the
normal fluctuation of a healthy run; none is a statistical test. Accuracies are fractions in 0..1, losses are in nats.

Whether a run still improves or has saturated is judged in the study's metric, because it is about the number that
decides. A loss has no scale of its own: there the thresholds are shares of its fall from the first epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from regstudy.metrics import METRICS, Metric
from regstudy.records import FOLD
from regstudy.study.tables import Tables

Array = NDArray[np.float64]
CurveFault = Literal[
    "training loss rising", "overfitting", "unsteady", "still improving at the end", "saturated long before the end"
]

MIN_EPOCHS = 8  # epochs
OVERFIT_RISE = 0.10  # of the total fall of the validation loss, after its minimum
UNSTEADY_SD = 0.02  # standard deviation of the change of the accuracy from one epoch to the next
IMPROVING_GAIN = 0.005  # gained over the last quarter, as a share such as accuracy
SATURATED_GAIN = 0.003  # gained in the second half
TRAIN_LOSS_RISE = 0.05  # relative, from the third quarter to the last
TRAIN_LOSS_FLOOR = 0.01  # of the first epoch's train loss: normal fluctuation when the loss is near zero
ANNEALED_RATE_SHARE = 0.1  # of the highest learning rate, below which a schedule counts as decayed


def diagnose(
    epochs: pd.DataFrame, *, stopped: bool = False, metric: Metric = METRICS["accuracy"]
) -> list[CurveFault] | None:
    """Problems of one run, the most serious first; None if it is too short to judge.

    ``epochs``: the run's rows of `Tables.epochs`, in any order. ``stopped``: whether early stopping ended it; such a
    run ends after a plateau by design and does not count as saturated. ``metric``: that of the study.
    """
    if len(epochs) < MIN_EPOCHS:
        return None
    epochs = epochs.sort_values("epoch")
    rules: dict[CurveFault, Callable[[pd.DataFrame], bool]] = {
        "training loss rising": loss_rising,
        "overfitting": overfitting,
        "unsteady": unsteady,
        "still improving at the end": lambda rows: still_improving(rows, metric),
        "saturated long before the end": lambda rows: not stopped and saturated(rows, metric),
    }
    return [name for name, holds in rules.items() if holds(epochs)]


def overfitting(epochs: pd.DataFrame) -> bool:
    """Whether the validation loss rose by more than `OVERFIT_RISE` of its fall while the clean train loss kept falling.

    The end is the mean of the last three epochs (of those after the minimum).
    """
    rows = connected(epochs, ["clean_train_loss"])
    rows = rows[np.isfinite(rows["val_loss"]) & np.isfinite(rows["clean_train_loss"])]
    val, clean = (rows[name].to_numpy(dtype=float) for name in ("val_loss", "clean_train_loss"))
    if len(val) < MIN_EPOCHS:
        return False
    lowest = int(val.argmin())
    after = slice(max(lowest + 1, len(val) - 3), None)
    if not len(val[after]):
        return False
    fall, rise = val[0] - val[lowest], float(val[after].mean()) - val[lowest]
    return bool(fall > 0 and rise > OVERFIT_RISE * fall and clean[after].mean() < clean[lowest])


def unsteady(epochs: pd.DataFrame) -> bool:
    """Whether validation accuracy fluctuates in the last third: the spread of its changes between epochs."""
    accuracy = _series(epochs, "val_accuracy")
    changes = np.diff(accuracy[-max(4, math.ceil(len(accuracy) / 3)) :])
    return len(changes) > 2 and float(changes.std(ddof=1)) > UNSTEADY_SD


def still_improving(epochs: pd.DataFrame, metric: Metric = METRICS["accuracy"]) -> bool:
    """Whether the best value is in the last tenth and a line through the last quarter rises enough."""
    values = _progress(epochs, metric)
    if len(values) < MIN_EPOCHS or values.argmax() < len(values) - math.ceil(len(values) / 10):
        return False
    last = values[-max(3, math.ceil(len(values) / 4)) :]
    slope = float(np.polyfit(np.arange(len(last)), last, 1)[0])
    return slope * (len(last) - 1) > IMPROVING_GAIN


def saturated(epochs: pd.DataFrame, metric: Metric = METRICS["accuracy"]) -> bool:
    """Whether the second half of the epochs hardly raised the best value."""
    values = _progress(epochs, metric)
    half = len(values) // 2
    return len(values) >= MIN_EPOCHS and float(values[half:].max() - values[:half].max()) <= SATURATED_GAIN


def _progress(epochs: pd.DataFrame, metric: Metric) -> Array:
    """The metric on validation images by epoch so that more is better; a loss as a share of its fall."""
    values = _series(epochs, metric.val)
    if metric.maximize or not len(values):
        return values
    fall = float(values[0] - values.min())
    return -values / fall if fall > 0 else np.zeros_like(values)


def loss_rising(epochs: pd.DataFrame) -> bool:
    """Whether the train loss (train mode) rose in the last quarter although the learning rate did not."""
    loss, rate = _series(epochs, "train_loss"), epochs["lr"].to_numpy(dtype=float)
    if len(loss) < MIN_EPOCHS:
        return False
    third, last = _quarters(loss)
    rate_third, rate_last = _quarters(rate)
    rate_rose = bool(rate_last.mean() > rate_third.mean() * (1 + 1e-9))  # False if it is unknown
    rise = float(last.mean() - third.mean())
    return not rate_rose and rise > TRAIN_LOSS_RISE * float(third.mean()) and rise > TRAIN_LOSS_FLOOR * float(loss[0])


def annealed(epochs: pd.DataFrame) -> bool:
    """Whether the learning rate ended below `ANNEALED_RATE_SHARE` of its highest value; False if it is unknown."""
    rate = _series(epochs.sort_values("epoch"), "lr")
    return len(rate) > 1 and bool(rate[-1] < ANNEALED_RATE_SHARE * rate.max())


def ranked(tables: Tables, usable: pd.Series) -> pd.Index:
    """Index of the usable trials, the best first; ties by number."""
    values = tables.trials.loc[usable, "value"]
    return values.sort_values(ascending=not tables.maximize, kind="stable").index


def epochs_of(tables: Tables, number: int) -> pd.DataFrame:
    """The epochs of one trial; with folds, those of the first one."""
    return tables.curves[tables.curves["number"] == number]


def connected(epochs: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """A copy in which these series of one run are connected by straight lines across epochs that were not measured."""
    lines = epochs.set_index("epoch")[list(names)].interpolate(method="index", limit_area="inside")
    return epochs.assign(**{name: lines[name].to_numpy() for name in names})


def connected_runs(epochs: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """As `connected`, for the rows of several runs. A mean over runs by epoch needs every run in every epoch."""
    if not epochs[list(names)].isna().any(axis=None):
        return epochs
    run = ["number", *([FOLD] if FOLD in epochs else [])]
    parts = [connected(rows, names) for _, rows in epochs.sort_values([*run, "epoch"]).groupby(run)]
    return pd.concat(parts)


def _series(epochs: pd.DataFrame, name: str) -> Array:
    values = epochs[name].to_numpy(dtype=float)
    finite: Array = values[np.isfinite(values)]
    return finite


def _quarters(values: Array) -> tuple[Array, Array]:
    """The third and the last quarter."""
    quarter = len(values) // 4
    return values[-2 * quarter : -quarter], values[-quarter:]
