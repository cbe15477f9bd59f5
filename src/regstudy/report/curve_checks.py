"""Checks of the epochs of the best trials: whether they were enough, and what the learning curves look like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from regstudy.analysis.curves import LEAST, CurveFault, annealed, diagnose, epochs_of, ranked
from regstudy.study.tables import Tables

CheckSeverity = Literal["act", "note", "fine"]

TOP = 5  # best trials that are looked at
MANY = 3  # of them
CURVES = 3  # best trials whose curves are looked at
EARLY, LATE = 0.1, 0.75  # shares of the planned epochs

_CURVE_ADVICE: dict[CurveFault, str] = {
    "training loss rising": "Lower `optimizer.lr` or set `optimizer.clip`; if that does not help, suspect a fault.",
    "overfitting": "Search stronger regularizers; set `training.patience` to end such runs sooner.",
    "unsteady": "Lower `optimizer.lr` or let `schedule` run down; enlarge `data.validation` if it is small.",
    "still improving at the end": "Raise `training.epochs`.",
    "saturated long before the end": "Lower `training.epochs`, or set `training.patience`, and spend it on trials.",
}


@dataclass(frozen=True)
class StudyCheck:
    """One thing that was looked at. ``advice`` names the path or flag to change; empty if the severity is ``fine``."""

    id: str  # stable, such as "boundary:optimizer.lr"
    severity: CheckSeverity
    finding: str  # one sentence, with the numbers
    advice: str = ""


def budget(tables: Tables) -> Iterator[StudyCheck]:
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
        run_down = where == "last quarter" and annealed(epochs_of(tables, int(top["number"].iloc[0])))
        both = inside.iloc[0] and central and len(top) >= MANY and not run_down
        advice = "Lower `training.epochs`, or `optimizer.lr`" if where == "first tenth" else "Raise `training.epochs`"
        if run_down:
            advice += "; but its learning rate had run down by then, and a run mostly ends best where that is so"
        counted = f"{int(inside.sum())} of {len(top)} in the {where}"
        yield StudyCheck("budget", "act" if both else "note", f"{finding}: {counted}.", f"{advice}.")
        return
    yield StudyCheck("budget", "fine", f"{finding}.")


def look_at_curves(tables: Tables) -> Iterator[StudyCheck]:
    """What the learning curves of the best few look like."""
    trials = tables.trials.set_index("number")
    numbers = [int(n) for n in tables.trials.loc[ranked(tables, tables.observed()), "number"].iloc[:CURVES]]
    numbers = [number for number in numbers if len(epochs_of(tables, number))]
    found: dict[CurveFault, list[int]] = {}
    short = []
    for number in numbers:
        result = diagnose(epochs_of(tables, number), stopped=trials.at[number, "outcome"] == "stopped")
        if result is None:
            short.append(number)
        for diagnosis in result or []:
            found.setdefault(diagnosis, []).append(number)
    for diagnosis, advice in _CURVE_ADVICE.items():
        if who := found.get(diagnosis):
            severity: CheckSeverity = "act" if diagnosis == "training loss rising" else "note"
            finding = f"{diagnosis.capitalize()}: {_names(who)} of the best {len(numbers)}."
            yield StudyCheck(f"curve:{diagnosis.replace(' ', '_')}", severity, finding, advice)
    if short:
        finding = f"The curve of {_names(short)} is not judged: fewer than {LEAST} epochs."
        yield StudyCheck("curve:short", "fine", finding)
    if not found and len(short) < len(numbers):
        finding = f"The curves of the best ({_names([n for n in numbers if n not in short])}) show nothing unusual."
        yield StudyCheck("curve", "fine", finding)


def _names(numbers: list[int]) -> str:
    return f"trial{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"
