"""Ablations whose truth is planted: what each regularizer does, how noisy a run is, and the product's own rules on top.

The unit is the standard deviation of a paired difference of the metric. A repeat has an effect of its split, which
pairs remove, and each run its own noise. The gap has most of its noise from the validation images, as in practice
(correlation about −0.9 with the metric), or noise of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from regstudy.analysis.ablation import Ablation, ablation
from regstudy.analysis.ablation_arms import EVERYTHING, contrasts_of
from regstudy.analysis.ablation_design import Request, advance
from regstudy.analysis.contrasts import MEASURES, Contrast, Key, Result, Sign, Stage, look, pairs_of

MARGIN = 0.3  # in standard deviations of a paired difference, such as 0.3 points if that is one point
RUN = 1 / math.sqrt(2)  # standard deviation of a run within its repeat
SIZES = (0.8, 1.2, 2.0)


@dataclass(frozen=True)
class World:
    """What is true. ``effects``: planted ones, or the name of what they are drawn from: half of them do nothing, and
    four in five of the others help."""

    name: str
    effects: tuple[float, ...] | str = "mixed"
    regularizers: int = 5
    gap: float = 1.0  # effect on the gap for each unit of the metric
    own_gap: bool = False  # its noise is independent of that of the metric
    tails: bool = False  # one run in 20 is three times as noisy
    uneven: bool = False  # the arms have noise between a half and one and a half times the usual one
    margin: float = MARGIN

    def drawn(self, rng: np.random.Generator) -> list[float]:
        """The effects of the regularizers."""
        if not isinstance(self.effects, str):
            return list(self.effects)
        k = self.regularizers
        some, sign = rng.random(k) < 0.5, np.where(rng.random(k) < 0.8, 1, -1)
        if self.effects == "mixed":
            return list(some * sign * rng.choice(SIZES, k))
        if self.effects == "exponential":
            return list(some * sign * rng.exponential(1, k))
        if self.effects == "normal":
            return list(some * sign * np.abs(rng.normal(0, 1, k)))
        if self.effects == "nearly":
            return list(np.where(some, sign * np.abs(rng.normal(0, 1.5, k)), rng.normal(0, 0.1, k)))
        return list(rng.normal(0.5, 0.7, k))


@dataclass(frozen=True)
class Drawn:
    """One ablation: the truth in both measures, and every run that could be made."""

    contrasts: tuple[Contrast, ...]
    truth: Mapping[Key, float]
    runs: Mapping[str, Sequence[Result]]

    def result(self, arm: str, repeat: int) -> Result:
        """What a run reaches."""
        return self.runs[arm][repeat - 1]


def drawn(world: World, seed: int, repeats: int) -> Drawn:
    """An ablation of the world."""
    rng = np.random.default_rng([seed, 7])
    effects = world.drawn(rng)
    contrasts = tuple(contrasts_of([f"r{i}" for i in range(len(effects))]))
    of = dict(zip([one.name for one in contrasts], [*effects, sum(effects)], strict=True))
    truth = {}
    level = {contrasts[0].on: 0.0}
    for one in contrasts:
        truth[one.name, MEASURES[0]], truth[one.name, MEASURES[1]] = of[one.name], -world.gap * of[one.name]
        level[one.off] = -of[one.name]
    split = rng.normal(0, 1, repeats)
    runs = {}
    for arm, mean in level.items():
        scale = rng.uniform(0.5, 1.5) if world.uneven else 1.0
        noise = rng.normal(0, RUN * scale, repeats)
        if world.tails:
            noise *= np.where(rng.random(repeats) < 0.05, 3, 1)
        values = mean + split + noise
        fit = rng.normal(0, RUN * scale if world.own_gap else 0.3, repeats)
        gaps = -world.gap * mean - split + fit - (0 if world.own_gap else noise)
        runs[arm] = [
            Result(*each) for each in zip(values.tolist(), gaps.tolist(), (values + gaps).tolist(), strict=True)
        ]
    return Drawn(contrasts, truth, runs)


def conducted(
    of: Drawn, totals: Sequence[int], margin: float
) -> tuple[tuple[Stage, ...], dict[str, dict[int, Result]]]:
    """The runs that the design makes, when so many and then more are asked for."""
    stages: tuple[Stage, ...] = ()
    results: dict[str, dict[int, Result]] = {}
    for total in totals:
        while True:
            stages, runs = advance(Request(of.contrasts, total, margin), stages, results)
            if not runs:
                break
            for run in runs:
                results.setdefault(run.arm, {})[run.repeat] = of.result(run.arm, run.repeat)
    return stages, results


def adaptive(of: Drawn, totals: Sequence[int], margin: float) -> tuple[Ablation, dict[Key, Sign], int]:
    """The ablation, its decisions, and the repeats of the first stage."""
    stages, results = conducted(of, totals, margin)
    found = ablation(results, of.contrasts, stages, margin=margin)
    signs: dict[Key, Sign] = {}
    for one in found.effects:
        signs[one.name, "metric"], signs[one.name, "gap"] = one.metric.sign, one.gap.sign
    return found, signs, stages[0].last


def fixed(of: Drawn, total: int, margin: float) -> dict[Key, Sign]:
    """The decisions from as many repeats of all arms, with one look."""
    repeats = range(1, total // len(of.runs) + 1)
    results = {arm: {repeat: of.result(arm, repeat) for repeat in repeats} for arm in of.runs}
    tests = {(one.name, measure): pairs_of(results, one, measure) for one in of.contrasts for measure in MEASURES}
    return look(tests, 0.05, margin)


def wrong(sign: Sign, truth: float, margin: float) -> bool:
    """Whether a decision is false. An effect of exactly the margin is not within it."""
    return {
        "higher": truth <= 0,
        "lower": truth >= 0,
        "none": abs(truth) >= margin,
        "not higher": truth >= margin,
        "not lower": truth <= -margin,
        "open": False,
    }[sign]


def named(sign: Sign, truth: float) -> bool:
    """Whether an effect is found, with its sign."""
    return sign == ("higher" if truth > 0 else "lower")


def is_total(name: str) -> bool:
    """Whether it is the winner against the baseline."""
    return name == EVERYTHING
