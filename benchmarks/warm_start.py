"""Replays searches that start from an earlier study: what a related one gains, and what a misleading one costs.

    python benchmarks/warm_start.py [--replays 20] [--processes 2] [--cases related …] [--json FILE]

Nothing is trained. A Gaussian process is fitted to each bank of recorded trainings, and its mean is taken as the true
quality of every point of the bank's space. `banks/*` (curve_bank.py) have one training per point, so their truth is
that of a smoothed single run; `repeats/*` (repeat_bank.py) have up to 13, so theirs is the truth of confirm_world.py.
A trial's value is its truth plus the noise of a run, which the repeats give. The searches are real: Optuna in memory
with regstudy's sampler, its baseline slots, and what `search.earlier_study` makes of the earlier study, which is a cold
search of 50 trials. A misleading one has the values of its trials reversed, or shuffled.

Two qualities are judged, both true ones: `winner`, of the trial with the best value, and `found`, the best of all.
A goal is a share of replays: a warm search of 25 trials is at least as good as the cold one of 50 (ties count), and the
median over replays of a warm search of 35 with a misleading start is not below that of a cold one of 25.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from confirm_world import fails, values_of, world_of
from curve_bank import BANKS, read_bank
from optuna.trial import FrozenTrial, create_trial
from repeat_bank import REPEATS, SEARCHED
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from regstudy.search.earlier_study import source_of
from regstudy.search.known_start import MOST_TRIED
from regstudy.search.sampler import make_sampler
from regstudy.space.loader import load_space
from regstudy.space.ranges import Choice, Range
from regstudy.space.search_space import Space, Switch, is_baseline
from regstudy.study import attributes
from regstudy.study.start import Start

OLD, COLD, WARM, MORE = 50, 50, 25, 10  # trials
CASES = {  # by kind: the bank of the earlier study, that of the new one
    "same": [("banks/digits", "banks/digits"), ("repeats/cifar10", "repeats/cifar10")],
    "related": [
        ("repeats/cifar10", "banks/cifar10"),
        ("banks/cifar10", "repeats/cifar10"),
        ("repeats/digits", "banks/digits"),
        ("banks/digits", "banks/cifar10"),
        ("banks/cifar10", "banks/digits"),
    ],
    "reversed": [(name, name) for name in ("banks/digits", "banks/cifar10", "repeats/cifar10")],
    "shuffled": [(name, name) for name in ("banks/digits", "banks/cifar10", "repeats/cifar10")],
}
MISLEADING = ("reversed", "shuffled")
LOWEST = 3  # interquartile ranges below the median, to which failed trainings are raised before the fit


@dataclass(frozen=True)
class World:
    """A space with a true quality at every point, in points, and the noise of a run."""

    space: Space
    kernel: Any
    points: np.ndarray
    weights: np.ndarray
    scale: tuple[float, float]  # of the quality: mean and spread
    noise: float

    def truth(self, params: Mapping[str, Any]) -> float:
        """The true quality at a point."""
        at = self.kernel(np.array([coordinates(self.space, params)]), self.points) @ self.weights
        return float(at[0] * self.scale[1] + self.scale[0])


@dataclass(frozen=True)
class Searched:
    """The trials of a search, one after another: their values and their truths."""

    values: np.ndarray
    truths: np.ndarray

    def quality(self, what: str) -> np.ndarray:
        """After each trial, the true quality of the winner so far, or of the best point found so far."""
        if what == "found":
            return np.maximum.accumulate(self.truths)
        best = [int(np.argmax(self.values[: end + 1])) for end in range(len(self.values))]
        return self.truths[best]


def main() -> None:
    """Replay all cases, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replays", type=int, default=20)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    pairs = [(kind, old, new) for kind in given.cases for old, new in CASES[kind]]
    tasks = [(*pair, seed) for pair in pairs for seed in range(given.replays)]
    with multiprocessing.get_context("spawn").Pool(given.processes, quiet) as pool:
        results = pool.starmap(replay, tasks, chunksize=5)
    rows = [
        summary(*pair, [one for task, one in zip(tasks, results, strict=True) if task[:3] == pair]) for pair in pairs
    ]
    print("\n".join(table(rows)))
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


def quiet() -> None:
    """Once per process."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")


@cache
def world(name: str) -> World:
    """The world of a bank, ``banks/digits`` or ``repeats/digits``."""
    kind, bank = name.split("/")
    space = load_space((BANKS if kind == "banks" else REPEATS) / f"{bank}_space.yaml")
    repeated = read_bank(REPEATS / f"{bank}.jsonl")
    known = world_of(repeated)
    order = np.argsort(-known.truth[: known.searched])
    noise = float(known.noise[order[:20]].std())
    if kind == "banks":
        lines = read_bank(BANKS / f"{bank}.jsonl")
        points = [line["params"] for line in lines]
        return fitted(space, points, np.array([100 * max(line["val_accuracy"]) for line in lines]), noise)
    values, numbers = values_of(repeated)
    kept = [number for number, failing in zip(numbers, fails(values), strict=True) if not failing]
    return fitted(space, [point_of(space, number) for number in kept], known.truth, noise)


def point_of(space: Space, number: int) -> dict[str, Any]:
    """The point of a configuration of a bank of repeats."""
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=number)).ask()
    space.suggest(trial, baseline=number >= SEARCHED)
    return {**(space.off_values() if number >= SEARCHED else {}), **trial.params}


def fitted(space: Space, points: Sequence[Mapping[str, Any]], quality: np.ndarray, noise: float) -> World:
    """The world whose truth goes smoothly through measured points."""
    spread = np.quantile(quality, 0.75) - np.quantile(quality, 0.25)
    raised = np.maximum(quality, np.median(quality) - LOWEST * spread)
    at = np.array([coordinates(space, point) for point in points])
    kernel = ConstantKernel(1.0) * Matern(np.ones(at.shape[1]), (0.05, 20.0), nu=2.5) + WhiteKernel(0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a direction without influence has the longest scale
        found = GaussianProcessRegressor(kernel).fit(at, (raised - raised.mean()) / raised.std())
    return World(space, found.kernel_.k1, at, found.alpha_.ravel(), (float(raised.mean()), float(raised.std())), noise)


def coordinates(space: Space, params: Mapping[str, Any]) -> list[float]:
    """A point in the unit cube; what is not active lies in the middle."""
    at: list[float] = []
    for parameter in space.parameters():
        spec, value = parameter.spec, params.get(parameter.name)
        if isinstance(spec, Switch):
            at.append(float(bool(value)))
        elif isinstance(spec, Choice):
            at += [float(value == label) for label in spec.options]
        else:
            at.append(0.5 if value is None else _share(spec, float(value)))
    return at


def _share(spec: Range, value: float) -> float:
    low, high = spec.low, spec.high
    if spec.log or spec.powers:
        low, high, value = np.log(low), np.log(high), np.log(value)
    return float((value - low) / (high - low))


def search(world_: World, trials: int, seed: int, start: Start, images: str) -> tuple[optuna.Study, Searched]:
    """A search of a world, in a study that has what regstudy stores; ``images`` stands for those it was on."""
    rng, space, values, truths = np.random.default_rng([seed, trials]), world_.space, [], []
    study = optuna.create_study(direction="maximize", sampler=make_sampler(space, seed, 0, 0, start))
    study.set_user_attr(attributes.DATA, {"split_hash": images, "split_seed": 0})
    study.set_user_attr(attributes.METRIC, space.study.metric)
    for slot in range(trials):
        arm, params = space.order(slot)
        study.enqueue_trial(start.tries.get(slot, params), user_attrs={attributes.ARM: arm})
        trial = study.ask()
        config = space.suggest(trial, baseline=arm == "baseline")
        off = space.off_values() if arm == "baseline" else {}
        truths.append(world_.truth({**off, **trial.params}))
        values.append(truths[-1] + rng.normal(0, world_.noise))
        trial.set_user_attr(attributes.CONFIG, config.model_dump(mode="json"))
        study.tell(trial, values[-1])
    return study, Searched(np.array(values), np.array(truths))


def changed(study: optuna.Study, kind: str, seed: int) -> optuna.Study:
    """The study with the values of its trials reversed or shuffled."""
    trials = study.get_trials(deepcopy=False)
    values = np.array([trial.value for trial in trials])
    if kind == "reversed":
        values = values.max() + values.min() - values
    if kind == "shuffled":
        values = np.random.default_rng(seed).permutation(values)
    copy = optuna.create_study(direction="maximize")
    for name, value in study.user_attrs.items():
        copy.set_user_attr(name, value)
    copy.add_trials([_with_value(trial, float(value)) for trial, value in zip(trials, values, strict=True)])
    return copy


def _with_value(trial: FrozenTrial, value: float) -> FrozenTrial:
    return create_trial(
        params=trial.params, distributions=trial.distributions, value=value, user_attrs=trial.user_attrs
    )


def start_from(study: optuna.Study, space: Space, images: str) -> Start:
    """What a new search makes of an earlier study."""
    source, points = source_of(study, "the earlier study", space, images, MOST_TRIED)
    slots = (slot for slot in count() if not is_baseline(slot))
    return Start(dict(zip(slots, points, strict=False)), (), (source,))


def replay(kind: str, old: str, new: str, seed: int) -> dict[str, list[float]]:
    """The qualities of a cold and of a warm search, after each trial."""
    earlier, _ = search(world(old), OLD, 10_000 + seed, Start(), "the same" if kind == "same" else "others")
    start = start_from(changed(earlier, kind, seed), world(new).space, "the same")
    _, cold = search(world(new), COLD, seed, Start(), "the same")
    _, warm = search(world(new), WARM + MORE, 20_000 + seed, start, "the same")
    return {
        f"{name} {what}": searched.quality(what).round(4).tolist()
        for name, searched in (("cold", cold), ("warm", warm))
        for what in ("winner", "found")
    }


def summary(kind: str, old: str, new: str, replays: Sequence[Mapping[str, list[float]]]) -> dict[str, Any]:
    """What the replays of a case come to: mean qualities, and the goal's share or difference, with its spread."""
    row: dict[str, Any] = {"kind": kind, "old": old, "new": new, "replays": len(replays)}
    for what in ("winner", "found"):
        cold, warm = (np.array([one[f"{name} {what}"] for one in replays]) for name in ("cold", "warm"))
        row[f"{what}, cold {WARM}"] = float(cold[:, WARM - 1].mean())
        row[f"{what}, cold {COLD}"] = float(cold[:, COLD - 1].mean())
        row[f"{what}, warm {WARM}"] = float(warm[:, WARM - 1].mean())
        row[f"{what}, at least cold {COLD}"] = float((warm[:, WARM - 1] >= cold[:, COLD - 1]).mean())
        late = warm[:, WARM + MORE - 1] - cold[:, WARM - 1]
        there = np.flatnonzero(warm.mean(axis=0) >= cold[:, WARM - 1].mean())
        row[f"{what}, reached"] = int(there[0]) + 1 if len(there) else None
        row[f"{what}, late"] = [float(np.quantile(late, share)) for share in (0.25, 0.5, 0.75)]
    return row


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows as Markdown."""
    lines = [
        f"| start | earlier study | new study | quality of | cold {WARM} | cold {COLD} | warm {WARM} |"
        f" warm {WARM} ≥ cold {COLD} | warm {WARM + MORE} − cold {WARM}: median (quartiles) | mean of"
        f" cold {WARM} reached after |",
        "|---|---|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        for what in ("winner", "found"):
            low, middle, high = row[f"{what}, late"]
            spread = 100 * (row[f"{what}, at least cold {COLD}"] * (1 - row[f"{what}, at least cold {COLD}"])) ** 0.5
            lines.append(
                f"| {row['kind']} | {row['old']} | {row['new']} | {what} | {row[f'{what}, cold {WARM}']:.2f} |"
                f" {row[f'{what}, cold {COLD}']:.2f} | {row[f'{what}, warm {WARM}']:.2f} |"
                f" {100 * row[f'{what}, at least cold {COLD}']:.0f} ± {spread / row['replays'] ** 0.5:.0f} % |"
                f" {middle:+.2f} ({low:+.2f} to {high:+.2f}) | {row[f'{what}, reached'] or f'over {WARM + MORE}'} |"
            )
    return lines


if __name__ == "__main__":
    main()
