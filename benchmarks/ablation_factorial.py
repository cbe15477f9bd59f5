"""The alternative to leaving one out: a fractional factorial over the active regularizers, blocked by repeat.

Every run informs every effect, but the effect is the average over the settings of the others. Both designs are judged
by the question "what may I leave out of the winner?": the truth is what the winner loses without a regularizer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np
from ablation_world import RUN
from scipy import stats

from regstudy.analysis.ablation import ablation
from regstudy.analysis.ablation_arms import arms_of, contrasts_of, switched_on
from regstudy.analysis.ablation_design import Request, advance
from regstudy.analysis.contrasts import Result, Stage
from regstudy.analysis.ranks import holm

ACTIVE = ["a", "b", "c", "d", "e"]
Value = Callable[[Mapping[str, int]], float]
VALUES: Mapping[str, Value] = {
    "additive: a 1.2, b 0.8": lambda on: 1.2 * on["a"] + 0.8 * on["b"],
    "either is enough: a or b 1.2, c 0.8": lambda on: 1.2 * max(on["a"], on["b"]) + 0.8 * on["c"],
    "saturating: a, b, c each 1.2 alone, 2.4 together": lambda on: (
        3.1 * -math.expm1(-(on["a"] + on["b"] + on["c"]) / 2)
    ),
}
HALF = [(*x, math.prod(x)) for x in product((-1, 1), repeat=4)]  # 2^(5-1), resolution V
QUARTER = [(a, b, c, a * b, a * c) for a, b, c in product((-1, 1), repeat=3)]  # 2^(5-2), resolution III


def losses(value: Value) -> dict[str, float]:
    """What the winner loses without each."""
    full = dict.fromkeys(ACTIVE, 1)
    return {name: value(full) - value({**full, name: 0}) for name in ACTIVE}


Said = tuple[set[str], float]  # regularizers that are said to help, and the estimated effect of a


def factorial(design: Sequence[Sequence[int]], runs: int, value: Value, rng: np.random.Generator) -> Said:
    """What a factorial says: least squares with blocks, Holm over effects and two measures."""
    blocks = runs // len(design)
    x = np.array(list(design) * blocks, dtype=float)
    level = np.array([value({name: int(row[i] > 0) for i, name in enumerate(ACTIVE)}) for row in design])
    noise = rng.normal(0, RUN, (blocks, len(design)))
    gap_noise = -noise + rng.normal(0, 0.3, noise.shape)
    found = []
    for y in (level + noise, -level + gap_noise):
        flat = (y - y.mean(axis=1, keepdims=True)).ravel()
        coefficients = x.T @ flat / len(flat)
        degrees = len(flat) - blocks - len(ACTIVE)
        error = math.sqrt(((flat - x @ coefficients) ** 2).sum() / degrees / len(flat))
        found.append((coefficients, 2 * stats.t.sf(np.abs(coefficients) / error, degrees)))
    adjusted = holm([float(p) for _, ps in found for p in ps])[: len(ACTIVE)]
    effects = 2 * found[0][0]
    return {n for n, p, c in zip(ACTIVE, adjusted, effects, strict=True) if p < 0.05 and c > 0}, float(effects[0])


def left_out(runs: int, value: Value, rng: np.random.Generator) -> Said:
    """The same by the product's design."""
    contrasts = tuple(contrasts_of(ACTIVE))
    levels = {}
    for arm in arms_of(contrasts):
        on = switched_on(arm, ACTIVE)
        levels[arm] = value({name: int(name in on) for name in ACTIVE})
    stages: tuple[Stage, ...] = ()
    results: dict[str, dict[int, Result]] = {}
    while True:
        stages, todo = advance(Request(contrasts, runs, 0.3), stages, results)
        if not todo:
            break
        for run in todo:
            noise = rng.normal(0, RUN)
            made = Result(levels[run.arm] + noise, -levels[run.arm] - noise + rng.normal(0, 0.3))
            results.setdefault(run.arm, {})[run.repeat] = made
    found = ablation(results, contrasts, stages, margin=0.3)
    named = {one.name for one in found.effects if one.metric.sign == "higher" and one.name in ACTIVE}
    return named, found.effect("a").metric.mean


def contest(world: str, runs: int, seed: int) -> dict[str, tuple[float, float, float]]:
    """By design: share of what is needed that is named, whether what is not needed is, and the error about a."""
    value, rng = VALUES[world], np.random.default_rng([seed, 11])
    lost = losses(value)
    needed = {name for name, loss in lost.items() if loss > 0.3}
    spare = {name for name, loss in lost.items() if abs(loss) < 1e-9}
    said = {
        "leave one out, two stages": left_out(runs, value, rng),
        "factorial 2^(5−1), blocks of 16": factorial(HALF, runs, value, rng),
        "factorial 2^(5−2), blocks of 8": factorial(QUARTER, runs, value, rng),
    }
    return {
        name: (len(each & needed) / len(needed), float(bool(each & spare)), effect - lost["a"])
        for name, (each, effect) in said.items()
    }
