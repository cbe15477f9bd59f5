"""How well the expected gain of the next trials is announced, and what `--until worth` costs and saves.

    python benchmarks/worth.py [--studies 200] [--processes 2] [--worlds banks/digits …] [--json FILE]

Nothing is trained. The worlds are those of warm_start.py: a Gaussian process through a bank of recorded trainings is
the true quality of every point, and a value is the truth plus the noise of a run. Each study is a real search with
regstudy's sampler, 110 trials long; the full study has 100. The noise of one value is what a user's study knows: the
binomial standard error of its validation images (SE). In three of the worlds that of a run is about 0.7 of it.

Three ways to read the same searches: all trials finished; most trials below the median so far pruned, so that only
that is known of them; and the noise unknown, as with a metric other than accuracy.

First table: announced and true gain of the next ten trials, true being the change of the true quality of the trial with
the best value. Second table: where the search ends, and how much worse the true quality of its winner is than that of
the winner of 100 trials, and than that of the best of these 100. Third table: the same after confirmation, whose race
gets what is left of the 100 trials, against a search of 71 and a race of 29.

The rule's constants were chosen on banks/digits and repeats/cifar10; the other two worlds had no part in it.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from confirm_studies import Contest
from confirm_world import ROUNDS, Drawn
from warm_start import Searched, quiet, search, world

from regstudy.analysis.next_trials import MIN_TRIALS, NEXT, next_trials, noise_of_share
from regstudy.search.division import DEFAULT_SHARE, after_stop, divide
from regstudy.space.search_space import is_baseline
from regstudy.study.start import Start

WORLDS = ("banks/digits", "repeats/cifar10", "banks/cifar10", "repeats/digits")
CHOSEN_ON = WORLDS[:2]
FULL = 100  # trials
AT = (15, 20, 30, 50)  # trials after which the announced gain is judged
PRUNED = 0.8  # of the trials below the median so far
FIRST_PRUNED = 8  # trial
READINGS = ("all finished", "pruned", "noise unknown")
Row = dict[str, Any]


def main() -> None:
    """Search, judge, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--worlds", nargs="*", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    tasks = [(name, seed) for name in given.worlds for seed in range(given.studies)]
    with multiprocessing.get_context("spawn").Pool(given.processes, quiet) as pool:
        found = [row for rows in pool.starmap(study, tasks, chunksize=5) for row in rows]
    print("\n\n".join("\n".join(table(found)) for table in (announced, stopped, confirmed)))
    if given.json:
        given.json.write_text(json.dumps(found) + "\n")


def study(name: str, seed: int) -> list[Row]:
    """One study of a world, read in all ways."""
    where = world(name)
    _, made = search(where, FULL + NEXT, seed, Start(), "the same")
    made = Searched(np.minimum(made.values, 100), made.truths)  # the sampler has seen what noise makes of 99 %
    images = int(where.space.data.validation)  # a whole number in these spaces
    return [
        {"world": name, "reading": reading, **judged(made, images, where.noise, reading, seed)} for reading in READINGS
    ]


def judged(made: Searched, images: int, noise: float, reading: str, seed: int) -> Row:
    """What is announced along a search and what is true; where it ends, and what that costs."""
    seen = pruned(made.values, np.random.default_rng(seed)) if reading == "pruned" else made.values
    winner = made.quality("winner")  # after each trial

    def error(trials: int) -> float:
        return 100 * (noise_of_share(float(np.nanmax(seen[:trials])) / 100, images) or math.nan)

    def ahead(trials: int) -> Any:
        return next_trials(seen[:trials], None if reading == "noise unknown" else error(trials))

    row: Row = {}
    for trials in AT:
        one = ahead(trials)
        gained = winner[trials + NEXT - 1] - winner[trials - 1]
        row[f"at {trials}"] = None if one is None else [one.gain, one.error, float(gained)]
    end = next((n for n in range(MIN_TRIALS, FULL) if (one := ahead(n)) is not None and not one.worth), FULL)
    unit, full = error(end), float(winner[FULL - 1])
    row |= {"end": end, "lost": (full - winner[end - 1]) / unit, "lost to noise": (full - winner[end - 1]) / noise}
    row["behind the best"] = float(made.truths[:FULL].max() - winner[end - 1]) / unit
    row["full behind the best"] = float(made.truths[:FULL].max() - full) / unit
    row["confirmed"] = confirmed_loss(made, noise, end, seed) / unit
    return {key: float(value) if isinstance(value, np.floating) else value for key, value in row.items()}


def confirmed_loss(made: Searched, noise: float, end: int, seed: int) -> float:
    """How much worse the confirmed winner is if the search has ended early, with the race in place of the rest."""
    usual = divide(FULL, DEFAULT_SHARE, 0, 0)
    if end >= usual.search:
        return 0.0
    early = after_stop(FULL, DEFAULT_SHARE, end, 0)
    return raced(made, noise, usual.search, usual.confirm, seed) - raced(made, noise, end, early.confirm, seed)


def pruned(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The values without most of those below the median of all before."""
    low = np.array([at >= FIRST_PRUNED and value < np.median(values[:at]) for at, value in enumerate(values)])
    return np.where(low & (rng.random(len(values)) < PRUNED), np.nan, values)


def raced(made: Searched, noise: float, searched: int, runs: int, seed: int) -> float:
    """The true quality of the winner of a race after so many trials."""
    best = int(np.argmax(made.values[:searched]))
    if not runs:
        return float(made.truths[best])
    baseline = np.array([is_baseline(slot) for slot in range(len(made.values))])
    rng = np.random.default_rng([seed, 1])
    fresh = made.truths[:, None] + rng.normal(0, noise, (len(made.truths), 2 * ROUNDS))
    contest = Contest.after(Drawn(made.truths, made.values, fresh, baseline), searched)
    return float(made.truths[contest.race(runs).winner.number])


def announced(rows: Sequence[Row]) -> list[str]:
    """The first table as Markdown."""
    lines = [
        "| world | reading | after | announced gain | true gain | announced ± | within ± | within 2 ± |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, reading, own in _groups(rows):
        for trials in AT:
            cells = np.array([row[f"at {trials}"] for row in own if row[f"at {trials}"]])
            gain, error, true = cells.T
            off = np.abs(true - gain)
            lines.append(
                f"| {name} | {reading} | {trials} | {_mean(gain)} | {_mean(true)} | {error.mean():.2f} |"
                f" {_share(off <= error)} | {_share(off <= 2 * error)} |"
            )
    return lines


def stopped(rows: Sequence[Row]) -> list[str]:
    """The second table as Markdown."""
    lines = [
        "| world | reading | studies | end: median (10 to 90 %) | loses at most 1 SE | at most the noise of a run |"
        " mean loss (SE) | at most 1 SE behind the best of 100 | the same of the full study |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, reading, own in _groups(rows):
        of = {
            key: np.array([row[key] for row in own])
            for key in own[0]
            if key.split()[0] in ("end", "lost", "behind", "full")
        }
        low, middle, high = np.quantile(of["end"], [0.1, 0.5, 0.9])
        lines.append(
            f"| {name} | {reading} | {len(own)} | {middle:.0f} ({low:.0f} to {high:.0f}) | {_share(of['lost'] <= 1)} |"
            f" {_share(of['lost to noise'] <= 1)} | {_mean(of['lost'])} | {_share(of['behind the best'] <= 1)} |"
            f" {_share(of['full behind the best'] <= 1)} |"
        )
    return lines


def confirmed(rows: Sequence[Row]) -> list[str]:
    """The third table as Markdown."""
    lines = ["| world | reading | loses at most 1 SE | mean loss (SE) |", "|---|---|--:|--:|"]
    for name, reading, own in _groups(rows):
        lost = np.array([row["confirmed"] for row in own])
        lines.append(f"| {name} | {reading} | {_share(lost <= 1)} | {_mean(lost)} |")
    return lines


def _groups(rows: Sequence[Row]) -> list[tuple[str, str, list[Row]]]:
    pairs = dict.fromkeys((row["world"], row["reading"]) for row in rows)
    named = [
        (name, reading, [row for row in rows if (row["world"], row["reading"]) == (name, reading)])
        for name, reading in pairs
    ]
    return [(f"{name}{'' if name in CHOSEN_ON else ' (check)'}", reading, own) for name, reading, own in named]


def _mean(values: np.ndarray) -> str:
    return f"{values.mean():+.2f} ± {values.std(ddof=1) / len(values) ** 0.5:.2f}"


def _share(hits: np.ndarray) -> str:
    share = hits.mean()
    return f"{100 * share:.1f} ± {100 * math.sqrt(share * (1 - share) / len(hits)):.1f} %"


if __name__ == "__main__":
    main()
