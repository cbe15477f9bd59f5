"""Ablations whose truth is planted, for the rules that plan them and those that read them: no training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from regstudy.analysis.ablation_arms import contrasts_of, switched_on
from regstudy.analysis.ablation_design import ArmRun, Request, advance
from regstudy.analysis.contrasts import Contrast, Lost, Result, Stage

ACTIVE = ["augmentation", "dropout", "l2", "mixup", "label smoothing"]
Value = Callable[[ArmRun], Result | None]  # of a run; None if it is given up
Finished = dict[str, dict[int, Result]]


def request(runs: int, active: Collection[str] = ACTIVE, margin: float = 0.3, **more: bool) -> Request:
    return Request(tuple(contrasts_of(list(active), **more)), runs, margin)


def conducted(
    of: Request, value: Value, stages: tuple[Stage, ...] = (), results: Finished | None = None, lost: Lost = frozenset()
) -> tuple[tuple[Stage, ...], Finished, Lost, list[ArmRun]]:
    """Everything after all runs, and these in their order."""
    found: Finished = {arm: dict(row) for arm, row in (results or {}).items()}
    gone, made = set(lost), list[ArmRun]()
    while True:
        stages, runs = advance(of, stages, found, frozenset(gone))
        if not runs:
            return stages, found, frozenset(gone), made
        made += runs
        for run in runs:
            result = value(run)
            if result is None:
                gone.add((run.arm, run.repeat))
            else:
                found.setdefault(run.arm, {})[run.repeat] = result


def noisy(
    effects: Mapping[str, float],
    seed: int = 1,
    sd: float = 1.0,
    gaps: Mapping[str, float] | None = None,
    active: list[str] = ACTIVE,
) -> Value:
    """Runs in which each regularizer adds its effect; ``sd`` is that of a paired difference."""

    def value(run: ArmRun) -> Result:
        on = switched_on(run.arm, active)
        rng = np.random.default_rng([seed, run.repeat, sum(map(ord, run.arm))])
        split = np.random.default_rng([seed, run.repeat]).normal(0, 5)
        noise = rng.normal(0, sd / np.sqrt(2))
        level = sum(effects.get(name, 0.0) for name in on)
        change = sum((gaps or {name: -size for name, size in effects.items()}).get(name, 0.0) for name in on)
        gap = 20 + change - split - noise + rng.normal(0, 0.2 * sd)
        reached = 80 + level + split + noise
        return Result(reached, gap, reached + gap)

    return value


def constant(differences: Mapping[str, list[tuple[float, float]]], contrasts: list[Contrast]) -> tuple[Finished, Stage]:
    """Runs whose differences (metric, gap) from the winner are given, in one stage with a look at 3.5 %."""
    repeats = len(next(iter(differences.values())))
    results: Finished = {"winner": {n: Result(0.9, 0.05, 0.95) for n in range(1, repeats + 1)}}
    for one in contrasts:
        given = differences.get(one.name, [(0.0, 0.0)] * repeats)
        results[one.off] = {
            n: Result(0.9 - metric, 0.05 - gap, 0.95 - metric - gap) for n, (metric, gap) in enumerate(given, start=1)
        }
    return results, Stage(1, dict.fromkeys(results, repeats), repeats * len(results), 0.035)
