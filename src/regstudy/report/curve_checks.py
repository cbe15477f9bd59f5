"""Checks of the best trials: whether they ran enough epochs, and what their learning curves look like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from regstudy.analysis.curves import MIN_EPOCHS, CurveFault, annealed, diagnose, epochs_of, ranked
from regstudy.study.tables import Tables
from regstudy.text import counted

CheckSeverity = Literal["act", "note", "fine"]

TOP_TRIALS = 5  # best trials that are checked
MAJORITY_OF_TOP = 3  # of them
CURVES_CHECKED = 3  # best trials whose curves are checked
EARLY_SHARE, LATE_SHARE = 0.1, 0.75  # shares of the planned epochs

_CURVE_ADVICE: dict[CurveFault, str] = {
    "training loss rising": "Lower `optimizer.lr` or raise `schedule.warmup_epochs`. If neither helps, look for a bug.",
    "overfitting": "Search stronger regularizers, and set `training.patience` to stop such runs earlier.",
    "unsteady": (
        "Lower `optimizer.lr`, use a decaying learning rate (`schedule`), or raise `data.validation` if it is small."
    ),
    "still improving at the end": "Raise `training.epochs`.",
    "saturated long before the end": "Lower `training.epochs` or set `training.patience`, and run more trials instead.",
}


_CURVE_FINDINGS: dict[CurveFault, str] = {
    "training loss rising": "Train loss rises at the end",
    "overfitting": "Overfitting: validation loss rises while train loss falls",
    "unsteady": "Unstable validation accuracy",
    "still improving at the end": "Still improving at the last epoch",
    "saturated long before the end": "Plateau: hardly any improvement in the second half of training",
}


@dataclass(frozen=True)
class StudyCheck:
    """One check. ``advice`` names the path or flag to change; it is empty if the severity is ``fine``."""

    id: str  # stable, such as "boundary:optimizer.lr"
    severity: CheckSeverity
    finding: str  # one sentence, with the numbers
    advice: str = ""


def budget(tables: Tables) -> Iterator[StudyCheck]:
    """Whether the best epochs lie at the very beginning or near the end of the planned epochs."""
    planned, usable = tables.epochs_planned, tables.eligible() & (tables.trials["best_epoch"].fillna(0) > 0)
    top = tables.trials.loc[ranked(tables, usable)].iloc[:TOP_TRIALS]
    if not planned or top.empty:
        return
    shares = top["best_epoch"].astype("float64") / planned
    first, median = int(top["best_epoch"].iloc[0]), float(top["best_epoch"].astype("float64").median())
    finding = (
        f"With {counted(planned, 'planned epoch')}, the best epoch of the best trial was {first}; median of the top "
    )
    finding += f"{len(top)}: {median:g}"
    for where, inside in (("first tenth", shares <= EARLY_SHARE + 1e-9), ("last quarter", shares > LATE_SHARE + 1e-9)):
        middle = float(shares.median())
        central = middle <= EARLY_SHARE + 1e-9 if where == "first tenth" else middle > LATE_SHARE + 1e-9
        if not (inside.iloc[0] or central):
            continue
        run_down = where == "last quarter" and annealed(epochs_of(tables, int(top["number"].iloc[0])))
        both = inside.iloc[0] and central and len(top) >= MAJORITY_OF_TOP and not run_down
        advice = "Lower `training.epochs` or `optimizer.lr`" if where == "first tenth" else "Raise `training.epochs`"
        if run_down:
            advice += " only if the curves still rise: by then the learning rate had decayed to under a tenth of its "
            advice += "maximum, and a late best epoch is normal there"
        share = f"{int(inside.sum())} of {len(top)} are in the {where} of training"
        yield StudyCheck("budget", "act" if both else "note", f"{finding} ({share}).", f"{advice}.")
        return
    yield StudyCheck("budget", "fine", f"{finding}.")


def look_at_curves(tables: Tables, *, few: bool = False) -> Iterator[StudyCheck]:
    """What the learning curves of the best few look like; no advice on regularizers with too ``few`` trials."""
    trials = tables.trials.set_index("number")
    numbers = [int(n) for n in tables.trials.loc[ranked(tables, tables.eligible()), "number"].iloc[:CURVES_CHECKED]]
    numbers = [number for number in numbers if len(epochs_of(tables, number))]
    found: dict[CurveFault, list[int]] = {}
    short = []
    for number in numbers:
        result = diagnose(
            epochs_of(tables, number), stopped=trials.at[number, "outcome"] == "stopped", metric=tables.measured
        )
        if result is None:
            short.append(number)
        for diagnosis in result or []:
            found.setdefault(diagnosis, []).append(number)
    for diagnosis, advice in _CURVE_ADVICE.items():
        if who := found.get(diagnosis):
            severity: CheckSeverity = "act" if diagnosis == "training loss rising" else "note"
            finding = f"{_CURVE_FINDINGS[diagnosis]}: {_names(who)} (of the best {len(numbers)})."
            if few and diagnosis == "overfitting":
                advice = "Set `training.patience` to stop such runs earlier."
            yield StudyCheck(f"curve:{diagnosis.replace(' ', '_')}", severity, finding, advice)
    if short:
        finding = f"The learning curve of {_names(short)} was not checked: it has fewer than {MIN_EPOCHS} epochs."
        yield StudyCheck("curve:short", "fine", finding)
    if not found and len(short) < len(numbers):
        finding = (
            f"The learning curves of the best trials ({_names([n for n in numbers if n not in short])}) look normal."
        )
        yield StudyCheck("curve", "fine", finding)


def _names(numbers: list[int]) -> str:
    return f"trial{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"
