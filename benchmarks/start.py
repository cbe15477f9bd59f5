"""Compares ways to start a search, and samplers, by the true quality of what the search hands over.

    python benchmarks/start.py [--replays 60] [--starts sobol …] [--worlds banks/digits …] [--processes 2] [--json FILE]

Real searches in the worlds of warm_start.py: Optuna in memory, planted truth, noise of single runs, baseline slots.
After 15, 25 and 50 trials the winner is judged by its truth: at once, and after a race of `regstudy.analysis.race` with
three runs per seven trials. Every start sees the same noise, slot by slot. A figure is the mean difference from the
usual start (ten random trials, three of them baselines, then TPE), in points, ± one standard error over the replays.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import fidelity
import numpy as np
import optuna
import warm_start
from fidelity_world import WORLDS, Stream
from optuna.samplers import BaseSampler, TPESampler
from scipy.stats import qmc

from regstudy.config.run_config import RunConfig
from regstudy.search.sampler import STARTUP_TRIALS, make_sampler
from regstudy.space.ranges import Choice, Range, Scalar
from regstudy.space.search_space import Parameter, Space, Switch, default, is_baseline
from regstudy.study.start import Start

LOOKS = (15, 25, 50)  # trials
ROUNDS = 32
FIRST = 7  # search trials among the first ten
Points = Mapping[int, Mapping[str, Scalar]]  # by slot


@dataclass(frozen=True)
class Beginning:
    """``points`` are queued for the first slots; ``startup``: trials before the sampler looks at results."""

    points: Callable[[Space, int], Points] = lambda *_: {}
    startup: int = STARTUP_TRIALS
    sampler: str = "tpe"


def main() -> None:
    """Replay everything, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replays", type=int, default=60)
    parser.add_argument("--starts", nargs="*", choices=STARTS, default=list(STARTS))
    parser.add_argument("--worlds", nargs="*", choices=WORLDS, default=WORLDS)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    names = list(dict.fromkeys([USUAL, *given.starts]))
    found: dict[str, dict[str, list[list[float]]]] = {}
    with multiprocessing.get_context("spawn").Pool(given.processes, warm_start.quiet) as pool:
        for world in given.worlds:
            tasks = [(world, name, seed) for seed in range(given.replays) for name in names]
            rows = pool.starmap(replay, tasks, chunksize=len(names))
            found[world] = {name: [r for t, r in zip(tasks, rows, strict=True) if t[1] == name] for name in names}
            print("\n".join(table(world, found[world])), flush=True)
    if len(found) > 1:
        pooled = {name: [row for rows in found.values() for row in rows[name]] for name in names}
        print("\n".join(table("all of them", pooled)))
    if given.json:
        given.json.write_text(json.dumps(found))


def replay(name: str, start: str, seed: int) -> list[float]:
    """The winner's truth after each look, at once and after a race; then CPU seconds per trial."""
    world, how = warm_start.world(name), STARTS[start]
    space, count = world.space, LOOKS[-1]
    points = how.points(space, seed)
    noise = np.random.default_rng(seed).normal(0, world.noise, (count, 1 + ROUNDS))
    study = optuna.create_study(direction="maximize", sampler=sampler_of(how, space, seed))
    truth, begun = np.empty(count), time.process_time()
    for slot in range(count):
        arm, params = space.order(slot)
        study.enqueue_trial(dict(points.get(slot, params)))
        trial = study.ask()
        space.suggest(trial, baseline=arm == "baseline")
        truth[slot] = world.truth({**(space.off_values() if arm == "baseline" else {}), **trial.params})
        study.tell(trial, truth[slot] + noise[slot, 0])
    used = (time.process_time() - begun) / count
    values, baseline = truth + noise[:, 0], np.array([is_baseline(slot) for slot in range(count)])
    drawn = Stream(
        values[:, None], values[:, None], np.empty(0), truth, truth[:, None] + noise[:, 1:], baseline, np.empty(0),
        np.empty(0),
    )  # fmt: skip
    row = []
    for look in LOOKS:
        row += [float(truth[np.argmax(values[:look])]), fidelity.winner(drawn, np.arange(look), round(3 * look / 7))]
    return [*row, used]


def sampler_of(how: Beginning, space: Space, seed: int) -> BaseSampler:
    """The sampler of a study."""
    if how.sampler == "gp":
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=how.startup)
    if how.sampler == "random":
        return optuna.samplers.RandomSampler(seed)
    sampler = make_sampler(space, seed, 0, 0, Start())
    assert isinstance(sampler, TPESampler)
    sampler._n_startup_trials = how.startup
    return sampler


def sobol(space: Space, seed: int, count: int = FIRST) -> Points:
    """Scrambled Sobol points over the whole space."""
    parameters = space.parameters()
    unit = qmc.Sobol(len(parameters), seed=seed).random(2 ** math.ceil(math.log2(count)))[:count]
    return _slots([{p.name: at(p, float(u)) for p, u in zip(parameters, row, strict=True)} for row in unit])


def narrow(space: Space, seed: int, count: int = FIRST, width: float = 0.5) -> Points:
    """Random points, regularizers around the middle of their ranges, the nuisances around their defaults."""
    rng = np.random.default_rng([seed, 1])

    def value(parameter: Parameter) -> Scalar:
        if not isinstance(parameter.spec, Range):
            return at(parameter, float(rng.random()))
        middle = 0.5 if parameter.path in RunConfig.regularizers else place(parameter.spec)
        return at(parameter, float(np.clip(middle + width * (rng.random() - 0.5), 0, 1 - 1e-9)))

    return _slots([{p.name: value(p) for p in space.parameters()} for _ in range(count)])


def strengths(*shares: float) -> Callable[[Space, int], Points]:
    """One point each: all regularizers on, at this share of their ranges, the nuisances at their defaults."""

    def points(space: Space, _: int) -> Points:
        def value(parameter: Parameter, share: float) -> Scalar:
            if parameter.path not in RunConfig.regularizers:
                return default(parameter)
            return True if isinstance(parameter.spec, Switch) else at(parameter, share)

        return _slots([{p.name: value(p, share) for p in space.parameters()} for share in shares])

    return points


def at(parameter: Parameter, unit: float) -> Scalar:
    """The value at a place in [0, 1) of the parameter's scale."""
    spec = parameter.spec
    if isinstance(spec, Switch):
        return unit >= 0.5
    if isinstance(spec, Choice):
        return list(spec.options)[int(unit * len(spec.options))]
    if spec.powers:
        return spec.powers[int(unit * len(spec.powers))]
    if spec.integer:
        return int(spec.low + unit * (spec.high - spec.low + 1))
    if spec.log:
        return float(np.exp(np.log(spec.low) + unit * (np.log(spec.high) - np.log(spec.low))))
    return float(spec.low + unit * (spec.high - spec.low))


def place(spec: Range) -> float:
    """Where a range's default lies on its scale."""
    low, high, value = float(spec.low), float(spec.high), float(spec.default)
    if spec.log or spec.powers:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)


def _slots(points: list[dict[str, Scalar]]) -> Points:
    slots = [slot for slot in range(LOOKS[-1]) if not is_baseline(slot)]
    return dict(zip(slots, points, strict=False))


USUAL = "random 10"
STARTS: Mapping[str, Beginning] = {
    USUAL: Beginning(),
    "random 5": Beginning(startup=5),
    "random 20": Beginning(startup=20),
    "sobol": Beginning(sobol),
    "sobol 14": Beginning(lambda space, seed: sobol(space, seed, 14), startup=18),
    "middle first": Beginning(strengths(0.5)),
    "quarter first": Beginning(strengths(0.25)),
    "three strengths first": Beginning(strengths(0.25, 0.5, 0.75)),
    "narrow": Beginning(narrow),
    "narrow, 5": Beginning(lambda space, seed: narrow(space, seed, 3), startup=5),
    "gp": Beginning(sampler="gp"),
    "gp 5": Beginning(startup=5, sampler="gp"),
    "sobol, gp": Beginning(sobol, sampler="gp"),
    "random only": Beginning(sampler="random"),
}


@cache
def head() -> list[str]:
    """The head of a table."""
    cells = "".join(f" {look}: at once | {look}: raced |" for look in LOOKS)
    return [f"| start |{cells} CPU ms per trial |", "|---|" + "--:|" * (2 * len(LOOKS) + 1)]


def table(world: str, found: Mapping[str, list[list[float]]]) -> list[str]:
    """The rows as Markdown; the usual start by its means."""
    usual = np.array(found[USUAL])
    lines = [f"\n{world}: {len(usual)} replays", *head()]
    for name, rows in found.items():
        own = np.array(rows)
        apart, error = own - usual, (own - usual).std(axis=0, ddof=1) / len(own) ** 0.5
        if name == USUAL:
            cells: list[Any] = [f"{value:.2f}" for value in own.mean(axis=0)[:-1]]
        else:
            cells = [f"{m:+.2f} ± {e:.2f}" for m, e in zip(apart.mean(axis=0)[:-1], error[:-1], strict=True)]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {1000 * own[:, -1].mean():.0f} |")
    return lines


if __name__ == "__main__":
    main()
