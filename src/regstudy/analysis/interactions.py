"""Which regularizers of a full on/off lattice depend on each other: two-factor interactions, repeat by repeat.

The interaction of two regularizers is what one of them does with the other, minus what it does without it, on average
over the settings of the remaining ones. Every repeat gives one value of it, so it is tested by paired t, with Holm's
correction over all pairs of regularizers and both measures, at the same looks as the effects. What kind it is follows
from the four simple effects: an effect that is there must have a 95 % interval above none, and one that is not must
not have one, and be less than half of the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from regstudy.analysis.ablation import Change, change
from regstudy.analysis.ablation_arms import lattice
from regstudy.analysis.contrasts import MEASURES, Key, Lost, Measure, Pairs, Results, Stage, look, summary

Kind = Literal[
    "either is enough",
    "first only without second",
    "second only without first",
    "first only with second",
    "second only with first",
    "only together",
    "less together",  # each does less in the presence of the other, but neither nothing
    "more together",
    "none",  # shown
]


@dataclass(frozen=True)
class Interaction:
    """Two regularizers in one measure. All changes are positive where they are good: better validation, smaller gap.

    ``size`` is the interaction: negative where one does less in the presence of the other. The simple effects are those
    of ``first`` without and with ``second``, and the reverse.
    """

    first: str
    second: str
    measure: Measure
    kind: Kind
    size: Change
    first_without: Change
    first_with: Change
    second_without: Change
    second_with: Change

    @property
    def stands(self) -> bool:
        """Whether a look has found it."""
        return self.kind != "none"


def interactions(
    results: Results,
    active: Sequence[str],
    stages: Sequence[Stage],
    *,
    maximize: bool = True,
    lost: Lost = frozenset(),
    test_share: float | None = None,
) -> list[Interaction]:
    """All pairs of the active regularizers in both measures, from the runs of the arms of `lattice`."""
    cells = lattice(active)
    pairs = list(combinations(active, 2))
    found: set[Key] = set()
    last = 0
    tables: dict[Measure, _Table] = {}
    for measure in MEASURES:
        sign = 1.0 if measure == "metric" and maximize else -1.0
        tables[measure] = _table(results, cells, measure, sign)
    for stage in stages:
        if not stage.ended(results, lost):
            break
        last = stage.last
        tests = {
            (f"{one}\n{other}", measure): summary(_interaction(tables[measure], one, other, last))
            for one, other in pairs
            for measure in MEASURES
        }
        found |= {key for key, sign in look(tests, stage.alpha, 0.0).items() if sign in ("higher", "lower")}
    return [
        _described(tables[measure], one, other, measure, (f"{one}\n{other}", measure) in found, last, test_share)
        for measure in MEASURES
        for one, other in pairs
    ]


@dataclass(frozen=True)
class _Table:
    """Values of the repeats in which all arms have run, by the set of regularizers that are on; larger is better."""

    repeats: NDArray[np.int64]
    values: dict[frozenset[str], NDArray[np.float64]]

    def mean(self, keep: Callable[[frozenset[str]], bool], last: int) -> NDArray[np.float64]:
        """By repeat, the mean of the arms to keep."""
        mean: NDArray[np.float64] = np.mean([row for on, row in self.values.items() if keep(on)], axis=0)
        return mean[self.repeats <= last]


def _table(results: Results, cells: dict[str, frozenset[str]], measure: Measure, sign: float) -> _Table:
    place = 0 if measure == "metric" else 1
    shared = set.intersection(*(set(results.get(arm, {})) for arm in cells))
    repeats = sorted(n for n in shared if all(math.isfinite(results[arm][n][place]) for arm in cells))
    values = {on: np.array([sign * results[arm][n][place] for n in repeats]) for arm, on in cells.items()}
    return _Table(np.array(repeats, dtype=np.int64), values)


def _simple(table: _Table, one: str, other: str, present: bool, last: int) -> NDArray[np.float64]:
    """What one regularizer does with or without the other, by repeat."""
    with_it = table.mean(lambda on: one in on and (other in on) == present, last)
    return with_it - table.mean(lambda on: one not in on and (other in on) == present, last)


def _interaction(table: _Table, one: str, other: str, last: int) -> NDArray[np.float64]:
    return _simple(table, one, other, True, last) - _simple(table, one, other, False, last)


def _described(
    table: _Table, one: str, other: str, measure: Measure, found: bool, last: int, test_share: float | None
) -> Interaction:
    def simple(name: str, by: str, present: bool) -> Change:
        return _change(summary(_simple(table, name, by, present, last)), test_share)

    size = _change(summary(_interaction(table, one, other, last)), test_share)
    effects = [simple(one, other, False), simple(one, other, True), simple(other, one, False), simple(other, one, True)]
    return Interaction(one, other, measure, kind_of(size, *effects) if found else "none", size, *effects)


def _change(pairs: Pairs, test_share: float | None) -> Change:
    return change(pairs, "open", test_share)


def kind_of(size: Change, one_without: Change, one_with: Change, two_without: Change, two_with: Change) -> Kind:
    """The kind of an interaction that stands."""
    if size.mean < 0:
        first, second = _only(one_without, one_with), _only(two_without, two_with)
        kinds: tuple[Kind, Kind, Kind, Kind] = (
            "either is enough",
            "first only without second",
            "second only without first",
            "less together",
        )
    else:
        first, second = _only(one_with, one_without), _only(two_with, two_without)
        kinds = ("only together", "first only with second", "second only with first", "more together")
    return kinds[0] if first and second else kinds[1] if first else kinds[2] if second else kinds[3]


def _only(there: Change, gone: Change) -> bool:
    """Whether an effect is in the first place, and not in the second."""
    return there.low > 0 and gone.low <= 0 and gone.mean < there.mean / 2
