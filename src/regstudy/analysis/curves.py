"""What the epochs of the best trials say: the look of their learning curves, and whether they had enough epochs.

A diagnosis is a fixed rule: one run's epochs in, the names of what is wrong with it out.

A run shorter than `LEAST` epochs is not judged. Epochs in which a series is not finite are left out of that series.
Every rule compares means or slopes over several epochs, because a single epoch may be noise; each threshold stands
above what the validation accuracy of a healthy run does by itself, none of them is a test.
Accuracies are fractions in 0..1, losses nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from regstudy.study.tables import Tables

Array = NDArray[np.float64]
Severity = Literal["act", "note", "fine"]
Diagnosis = Literal[
    "training loss rising", "overfitting", "unsteady", "still improving at the end", "saturated long before the end"
]

TOP = 5  # best trials that are looked at
MANY = 3  # of them
CURVES = 3  # best trials whose curves are looked at
EARLY, LATE = 0.1, 0.75  # shares of the planned epochs
LEAST = 8  # epochs
RISE = 0.10  # of the total fall of the validation loss, after its minimum
UNSTEADY = 0.02  # standard deviation of the change of the accuracy from one epoch to the next
IMPROVING = 0.005  # accuracy gained over the last quarter
SATURATED = 0.003  # accuracy gained in the second half
LOSS_RISE = 0.05  # relative, from the third quarter to the last
LOSS_FLOOR = 0.01  # of the first epoch's training loss: what may come and go when hardly any loss is left
ANNEALED = 0.1  # of the highest learning rate, below which a schedule counts as run down


_CURVE_ADVICE: dict[Diagnosis, str] = {
    "training loss rising": "Lower `optimizer.lr` or set `optimizer.clip`; if that does not help, suspect a fault.",
    "overfitting": "Search stronger regularizers; set `training.patience` to end such runs sooner.",
    "unsteady": "Lower `optimizer.lr` or let `schedule` run down; enlarge `data.validation` if it is small.",
    "still improving at the end": "Raise `training.epochs`.",
    "saturated long before the end": "Lower `training.epochs`, or set `training.patience`, and spend it on trials.",
}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. ``advice`` names the path or flag to change; empty if the severity is ``fine``."""

    id: str  # stable, such as "boundary:optimizer.lr"
    severity: Severity
    finding: str  # one sentence, with the numbers
    advice: str = ""


def budget(tables: Tables) -> Iterator[Check]:
    """Whether the best epochs lie at the very beginning or near the end of what was planned."""
    planned, usable = tables.epochs_planned, tables.observed() & (tables.trials["best_epoch"].fillna(0) > 0)
    top = tables.trials.loc[ranked(tables, usable)].iloc[:TOP]
    if not planned or top.empty:
        return
    shares = top["best_epoch"].astype("float64") / planned
    first, median = int(top["best_epoch"].iloc[0]), float(top["best_epoch"].astype("float64").median())
    finding = f"Of {planned} epochs planned the best trial was best at epoch {first}, the top {len(top)} at {median:g} "
    finding += "(median)"
    for where, inside in (("first tenth", shares <= EARLY + 1e-9), ("last quarter", shares > LATE + 1e-9)):
        middle = float(shares.median())
        central = middle <= EARLY + 1e-9 if where == "first tenth" else middle > LATE + 1e-9
        if not (inside.iloc[0] or central):
            continue
        run_down = where == "last quarter" and annealed(_epochs(tables, int(top["number"].iloc[0])))
        both = inside.iloc[0] and central and len(top) >= MANY and not run_down
        advice = "Lower `training.epochs`, or `optimizer.lr`" if where == "first tenth" else "Raise `training.epochs`"
        if run_down:
            advice += "; but its learning rate had run down by then, and a run mostly ends best where that is so"
        counted = f"{int(inside.sum())} of {len(top)} in the {where}"
        yield Check("budget", "act" if both else "note", f"{finding}: {counted}.", f"{advice}.")
        return
    yield Check("budget", "fine", f"{finding}.")


def look_at_curves(tables: Tables) -> Iterator[Check]:
    """What the learning curves of the best few look like."""
    trials = tables.trials.set_index("number")
    numbers = [int(n) for n in tables.trials.loc[ranked(tables, tables.observed()), "number"].iloc[:CURVES]]
    numbers = [number for number in numbers if len(_epochs(tables, number))]
    found: dict[Diagnosis, list[int]] = {}
    short = []
    for number in numbers:
        result = diagnose(_epochs(tables, number), stopped=trials.at[number, "outcome"] == "stopped")
        if result is None:
            short.append(number)
        for diagnosis in result or []:
            found.setdefault(diagnosis, []).append(number)
    for diagnosis, advice in _CURVE_ADVICE.items():
        if who := found.get(diagnosis):
            severity: Severity = "act" if diagnosis == "training loss rising" else "note"
            finding = f"{diagnosis.capitalize()}: {_names(who)} of the best {len(numbers)}."
            yield Check(f"curve:{diagnosis.replace(' ', '_')}", severity, finding, advice)
    if short:
        finding = f"The curve of {_names(short)} is not judged: fewer than {LEAST} epochs."
        yield Check("curve:short", "fine", finding)
    if not found and len(short) < len(numbers):
        finding = f"The curves of the best ({_names([n for n in numbers if n not in short])}) show nothing unusual."
        yield Check("curve", "fine", finding)


def diagnose(epochs: pd.DataFrame, *, stopped: bool = False) -> list[Diagnosis] | None:
    """What is wrong with one run, the gravest first; None if it is too short to be judged.

    ``epochs``: the run's rows of `Tables.epochs`, in any order. ``stopped``: whether early stopping ended it; such a
    run ends after a plateau by design and is not called saturated.
    """
    if len(epochs) < LEAST:
        return None
    epochs = epochs.sort_values("epoch")
    rules: dict[Diagnosis, Callable[[pd.DataFrame], bool]] = {
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


def _epochs(tables: Tables, number: int) -> pd.DataFrame:
    return tables.epochs[tables.epochs["number"] == number]


def count_of(count: int, noun: str) -> str:
    """``1 trial``, ``2 trials``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _names(numbers: list[int]) -> str:
    return f"trial{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"


def _series(epochs: pd.DataFrame, name: str) -> Array:
    values = epochs[name].to_numpy(dtype=float)
    finite: Array = values[np.isfinite(values)]
    return finite


def _quarters(values: Array) -> tuple[Array, Array]:
    """The third and the last quarter."""
    quarter = len(values) // 4
    return values[-2 * quarter : -quarter], values[-quarter:]
