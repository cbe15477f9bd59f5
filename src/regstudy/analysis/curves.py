"""What is wrong with a learning curve, if anything: fixed rules over the epochs of one run.

A diagnosis is a fixed rule: one run's epochs in, the names of what is wrong with it out.

A run shorter than `LEAST` epochs is not judged. Epochs in which a series is not finite are left out of that series.
Every rule compares means or slopes over several epochs, because a single epoch may be noise; each threshold stands
above what the validation accuracy of a healthy run does by itself, none of them is a test.
Accuracies are fractions in 0..1, losses nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from regstudy.study.tables import Tables

Array = NDArray[np.float64]
CurveFault = Literal[
    "training loss rising", "overfitting", "unsteady", "still improving at the end", "saturated long before the end"
]

LEAST = 8  # epochs
RISE = 0.10  # of the total fall of the validation loss, after its minimum
UNSTEADY = 0.02  # standard deviation of the change of the accuracy from one epoch to the next
IMPROVING = 0.005  # accuracy gained over the last quarter
SATURATED = 0.003  # accuracy gained in the second half
LOSS_RISE = 0.05  # relative, from the third quarter to the last
LOSS_FLOOR = 0.01  # of the first epoch's training loss: what may come and go when hardly any loss is left
ANNEALED = 0.1  # of the highest learning rate, below which a schedule counts as run down


def diagnose(epochs: pd.DataFrame, *, stopped: bool = False) -> list[CurveFault] | None:
    """What is wrong with one run, the gravest first; None if it is too short to be judged.

    ``epochs``: the run's rows of `Tables.epochs`, in any order. ``stopped``: whether early stopping ended it; such a
    run ends after a plateau by design and is not called saturated.
    """
    if len(epochs) < LEAST:
        return None
    epochs = epochs.sort_values("epoch")
    rules: dict[CurveFault, Callable[[pd.DataFrame], bool]] = {
        "training loss rising": loss_rising,
        "overfitting": overfitting,
        "unsteady": unsteady,
        "still improving at the end": still_improving,
        "saturated long before the end": lambda rows: not stopped and saturated(rows),
    }
    return [name for name, holds in rules.items() if holds(epochs)]


def overfitting(epochs: pd.DataFrame) -> bool:
    """Whether the validation loss rose by more than `RISE` of its fall while the clean training loss went on falling.

    The end is the mean of the last three epochs (of those after the minimum).
    """
    rows = epochs[np.isfinite(epochs["val_loss"]) & np.isfinite(epochs["clean_train_loss"])]
    val, clean = (rows[name].to_numpy(dtype=float) for name in ("val_loss", "clean_train_loss"))
    if len(val) < LEAST:
        return False
    lowest = int(val.argmin())
    after = slice(max(lowest + 1, len(val) - 3), None)
    if not len(val[after]):
        return False
    fall, rise = val[0] - val[lowest], float(val[after].mean()) - val[lowest]
    return bool(fall > 0 and rise > RISE * fall and clean[after].mean() < clean[lowest])


def unsteady(epochs: pd.DataFrame) -> bool:
    """Whether validation accuracy jumps over the last third: the spread of its changes from epoch to epoch."""
    accuracy = _series(epochs, "val_accuracy")
    changes = np.diff(accuracy[-max(4, math.ceil(len(accuracy) / 3)) :])
    return len(changes) > 2 and float(changes.std(ddof=1)) > UNSTEADY


def still_improving(epochs: pd.DataFrame) -> bool:
    """Whether the best validation accuracy is in the last tenth and a line through the last quarter rises enough."""
    accuracy = _series(epochs, "val_accuracy")
    if len(accuracy) < LEAST or accuracy.argmax() < len(accuracy) - math.ceil(len(accuracy) / 10):
        return False
    last = accuracy[-max(3, math.ceil(len(accuracy) / 4)) :]
    slope = float(np.polyfit(np.arange(len(last)), last, 1)[0])
    return slope * (len(last) - 1) > IMPROVING


def saturated(epochs: pd.DataFrame) -> bool:
    """Whether the second half of the epochs hardly raised the best validation accuracy."""
    accuracy = _series(epochs, "val_accuracy")
    half = len(accuracy) // 2
    return len(accuracy) >= LEAST and float(accuracy[half:].max() - accuracy[:half].max()) <= SATURATED


def loss_rising(epochs: pd.DataFrame) -> bool:
    """Whether the running training loss rose in the last quarter of the epochs although the learning rate did not."""
    loss, rate = _series(epochs, "train_loss"), epochs["lr"].to_numpy(dtype=float)
    if len(loss) < LEAST:
        return False
    third, last = _quarters(loss)
    rate_third, rate_last = _quarters(rate)
    rate_rose = bool(rate_last.mean() > rate_third.mean() * (1 + 1e-9))  # False if it is unknown
    rise = float(last.mean() - third.mean())
    return not rate_rose and rise > LOSS_RISE * float(third.mean()) and rise > LOSS_FLOOR * float(loss[0])


def annealed(epochs: pd.DataFrame) -> bool:
    """Whether the learning rate ended below `ANNEALED` of its highest value; False if it is unknown."""
    rate = _series(epochs.sort_values("epoch"), "lr")
    return len(rate) > 1 and bool(rate[-1] < ANNEALED * rate.max())


def ranked(tables: Tables, usable: pd.Series) -> pd.Index:
    """Index of the usable trials, the best first, between equals the earlier."""
    values = tables.trials.loc[usable, "value"]
    return values.sort_values(ascending=not tables.maximize, kind="stable").index


def epochs_of(tables: Tables, number: int) -> pd.DataFrame:
    return tables.epochs[tables.epochs["number"] == number]


def _series(epochs: pd.DataFrame, name: str) -> Array:
    values = epochs[name].to_numpy(dtype=float)
    finite: Array = values[np.isfinite(values)]
    return finite


def _quarters(values: Array) -> tuple[Array, Array]:
    """The third and the last quarter."""
    quarter = len(values) // 4
    return values[-2 * quarter : -quarter], values[-quarter:]
