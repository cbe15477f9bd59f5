"""Which regularizers depend on each other, from full lattices whose truth is planted."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import numpy as np
import pytest
from planted_ablation import conducted

from regstudy.analysis.ablation_arms import contrasts_of, lattice
from regstudy.analysis.ablation_design import ArmRun, Request
from regstudy.analysis.contrasts import Result
from regstudy.analysis.interactions import Interaction, interactions

ACTIVE = ["a", "b", "c"]


def planted(level: Callable[[Collection[str]], float], runs: int = 80, maximize: bool = True) -> list[Interaction]:
    """What a lattice of three shows."""
    arms, sign = lattice(ACTIVE), 1 if maximize else -1
    rng = np.random.default_rng(7)

    def value(run: ArmRun) -> Result:
        reached = level(arms[run.arm]) + rng.normal(0, 0.3) + run.repeat
        return Result(sign * reached, -reached + 2 * run.repeat)

    stages, results, lost, _ = conducted(Request(tuple(contrasts_of(ACTIVE)), runs, 0.3, always=tuple(arms)), value)
    return interactions(results, ACTIVE, stages, maximize=maximize, lost=lost)


@pytest.mark.parametrize(
    ("level", "kind"),
    [
        (lambda on: 2.0 * ("a" in on or "b" in on), "either is enough"),
        (lambda on: 2.0 * ("a" in on and "b" not in on), "first only without second"),
        (lambda on: 2.0 * ("b" in on and "a" not in on), "second only without first"),
        (lambda on: 2.0 * ("b" in on) + 2.0 * ("a" in on and "b" in on), "first only with second"),
        (lambda on: 2.0 * ("a" in on) + 2.0 * ("a" in on and "b" in on), "second only with first"),
        (lambda on: 2.0 * ("a" in on and "b" in on), "only together"),
        (lambda on: 2.0 * ("a" in on) + 2.0 * ("b" in on) - 0.8 * ("a" in on and "b" in on), "less together"),
        (lambda on: 2.0 * ("a" in on) + 2.0 * ("b" in on) + 2.0 * ("a" in on and "b" in on), "more together"),
        (lambda on: 2.0 * ("a" in on) + 1.0 * ("b" in on), "none"),
    ],
)
@pytest.mark.parametrize("maximize", [True, False])
def test_kinds(level: Callable[[Collection[str]], float], kind: str, maximize: bool) -> None:
    found = {(one.first, one.second, one.measure): one for one in planted(level, maximize=maximize)}
    assert len(found) == 6
    for measure in ("metric", "gap"):
        one = found["a", "b", measure]
        assert (one.kind, one.stands) == (kind, kind != "none")
    assert not found["a", "c", "metric"].stands and not found["b", "c", "metric"].stands


def test_sizes() -> None:
    one = planted(lambda on: 2.0 * ("a" in on or "b" in on))[0]
    assert one.size.mean == pytest.approx(-2.0, abs=0.4) and one.size.n == 10
    assert one.first_without.mean == pytest.approx(2.0, abs=0.3) == pytest.approx(one.second_without.mean, abs=0.3)
    assert one.first_with.mean == pytest.approx(0.0, abs=0.3)


def test_few_runs_find_nothing() -> None:
    assert not any(one.stands for one in planted(lambda on: 2.0 * ("a" in on or "b" in on), runs=8))
    empty = interactions({}, ACTIVE, [])
    assert [one.kind for one in empty] == ["none"] * 6 and math.isnan(empty[0].size.mean)
