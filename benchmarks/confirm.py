"""Simulates confirmation: search and race against "take the best" with as many trainings, and alternatives to the race.

    python benchmarks/confirm.py [--banks digits cifar10] [--studies 2000] [--null 10000] [--processes 2]

Whole studies are drawn from the banks `benchmarks/repeats/*.jsonl` (`confirm_world.py`); race and claim are the real
ones of `regstudy.analysis` (`confirm_studies.py`). Prints Markdown tables; ± is one Monte-Carlo standard error. Study k
is the same in all variants.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from confirm_studies import (
    FURTHER,
    POINTS,
    PRUNED,
    USUAL,
    VARIANTS,
    Row,
    Variant,
    applied,
    budget,
    direct,
    epochs,
    same_cost,
    study,
)
from confirm_world import World, described, usable, world_of
from curve_bank import read_bank
from repeat_bank import REPEATS

from regstudy.analysis import race as rules
from regstudy.analysis.race import BASELINE, Entrant

TRIALS = (20, 30, 50, 100, 200)
COMPARED = (50, 100)  # numbers of trials at which alternatives are compared
EQUAL = (30, 50, 100)  # numbers of trials of studies in which all are equal
CHUNK = 250  # studies per task
NOBODY = Entrant(BASELINE, 0.0)


def main() -> None:
    """Simulate everything, print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = sorted((path.stem for path in REPEATS.glob("*.jsonl")), reverse=True)
    parser.add_argument("--banks", nargs="*", default=known, choices=known)
    parser.add_argument("--studies", type=int, default=2000, help="per row")
    parser.add_argument("--null", type=int, default=10_000, help="studies per row in which all are equal")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    given = parser.parse_args()
    with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
        for bank in given.banks:
            lines = read_bank(REPEATS / f"{bank}.jsonl")
            if not usable(lines):
                print(f"\n### {bank}\n\nToo few trainings so far: `python benchmarks/repeat_bank.py {bank}` adds them.")
                continue
            print(f"\n### {bank}\n\n{described(lines)}", flush=True)
            run = partial(simulated, pool, bank)
            usual = {n: run(n, USUAL, given.studies) for n in TRIALS}
            print("\n".join([*contest(usual), *honesty(usual)]), flush=True)
            unstable = {n: run(n, USUAL, given.studies, "unstable") for n in COMPARED}
            print("\n".join([*failing(unstable), *direct_table(direct(bank, given.studies))]), flush=True)
            null = {n: (run(n, USUAL, given.null, "equal"), run(n, USUAL, given.null, "equal truth")) for n in EQUAL}
            print("\n".join([*all_equal(null), *claims(usual)]), flush=True)
            rows = {
                (n, v.name): usual[n] if v is USUAL else run(n, v, given.studies)
                for v in VARIANTS
                for n in COMPARED
                if not v.sizes or n in v.sizes
            }
            print("\n".join(alternatives(rows)), flush=True)


def simulated(pool: Any, bank: str, trials: int, variant: Variant, studies: int, kind: str = "usual") -> list[Row]:
    """The rows of so many studies."""
    starts = range(0, studies, CHUNK)
    work = partial(chunk, bank, kind, trials, VARIANTS.index(variant), studies)
    return [row for rows in pool.map(work, starts, chunksize=1) for row in rows]


def chunk(bank: str, kind: str, trials: int, variant: int, studies: int, first: int) -> list[Row]:
    """Some of the studies of a row of a table."""
    with applied(VARIANTS[variant]):
        seeds = range(first, min(first + CHUNK, studies))
        return [study(load(bank, kind), trials, VARIANTS[variant], seed, again=kind == "equal") for seed in seeds]


@cache
def load(bank: str, kind: str = "usual") -> World:
    """The world of a bank, or what becomes of it."""
    world = world_of(read_bank(REPEATS / f"{bank}.jsonl"), unstable=kind == "unstable")
    return world.equal(noise_too=kind == "equal") if kind.startswith("equal") else world


def column(rows: Sequence[Row], name: str, missing: float | None = None) -> np.ndarray:
    """A column of the rows that have it, or with a value where it is missing."""
    return np.array([row.get(name, missing) for row in rows if missing is not None or name in row], dtype=float)


def shown(rows: Sequence[Row], name: str, form: str = ".2f") -> str:
    """Mean ± standard error."""
    values = column(rows, name)
    if not len(values):
        return "–"
    return f"{values.mean():{form}} ± {values.std(ddof=1) / np.sqrt(len(values)):{form}}"


def percent(rows: Sequence[Row], name: str, digits: int = 0) -> str:
    """The share of rows; those without an entry do not count in what was judged, and count as no where it is a flag."""
    values = column(rows, name, 0.0) if name.startswith("status") else column(rows, name)
    return f"{100 * values.mean():.{digits}f} %" if len(values) else "–"


def ratio(rows: Sequence[Row], above: str, below: str) -> str:
    """Ratio of two means, with its standard error (delta method)."""
    a, b = column(rows, above), column(rows, below)
    if not b.mean():
        return "–"
    found = a.mean() / b.mean()
    return f"{found:.2f} ± {(a - found * b).std() / np.sqrt(len(a)) / abs(b.mean()):.2f}"


def schedule(trials: int, variant: Variant = USUAL) -> str:
    """The sizes of the rounds of a new race."""
    with applied(variant):
        runs = budget(trials, variant)
        sizes = (
            variant.sizes.get(trials)
            or rules.start([Entrant(n, 0.0) for n in range(trials - runs)], NOBODY, runs).sizes
        )
    once = sum(size == 1 for size in sizes)
    head = [str(size) for size in sizes if size > 1]
    return " → ".join([*head, *([f"1 × {once}"] if once else [])])


def contest(usual: Mapping[int, Sequence[Row]]) -> Iterator[str]:
    """Search and race against take the best."""
    yield "\nTrue regret in points, below the best configuration that the larger of the two searches tried:\n"
    yield "| trainings | search + race | rounds | take the best | race | ratio | ratio, best of the whole bank |"
    yield "|--:|---|---|--:|--:|--:|--:|"
    for n, rows in usual.items():
        runs, name = budget(n, USUAL), "same number"
        yield (
            f"| {n} | {n - runs} + {runs} | {schedule(n)} | {shown(rows, f'{name}: taken')} | "
            f"{shown(rows, f'{name}: raced')} | {ratio(rows, f'{name}: raced', f'{name}: taken')} | "
            f"{ratio(rows, f'{name}: raced, of all', f'{name}: taken, of all')} |"
        )
    yield (
        f"\nAt equal epochs, if a pruned search trial costs {PRUNED:.2f} of a whole one, baseline trials and "
        "confirmation runs cost 1, and pruning loses no good trial:\n"
    )
    yield "| search + race | whole trainings | take the best of | its regret | race | ratio |"
    yield "|---|--:|--:|--:|--:|--:|"
    for n, rows in usual.items():
        runs, name = budget(n, USUAL), "same epochs"
        yield (
            f"| {n - runs} + {runs} | {epochs(n - runs, runs):.1f} | {same_cost(n - runs, runs)} | "
            f"{shown(rows, f'{name}: taken')} | {shown(rows, f'{name}: raced')} | "
            f"{ratio(rows, f'{name}: raced', f'{name}: taken')} |"
        )


def honesty(usual: Mapping[int, Sequence[Row]]) -> Iterator[str]:
    """How honest the claims are."""
    yield "\nWhat is claimed (points; margin " + f"{POINTS:.1f}):\n"
    yield (
        "| trainings | take the best: value − truth | level − truth | gain − truth | level covered | gain covered | "
        "half width of gain | confirmed | no better | undecided | too few rounds |"
    )
    yield "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for n, rows in usual.items():
        statuses = " | ".join(
            percent(rows, f"status {status}") for status in ("confirmed", "no better", "undecided", "too few rounds")
        )
        yield (
            f"| {n} | {shown(rows, 'same number: overstated')} | {shown(rows, 'level: error')} | "
            f"{shown(rows, 'gain: error')} | {percent(rows, 'level: covered', 1)} | "
            f"{percent(rows, 'gain: covered', 1)} | {shown(rows, 'gain: half')} | {statuses} |"
        )
    behind = ", ".join(f"{shown(rows, 'baseline: behind')} ({n} trainings)" for n, rows in usual.items())
    yield f"\nThe chosen baseline is in truth worse than the best baseline tried by {behind} points."
    yield "\nThe set of equals: leaders that the fresh runs cannot distinguish from the winner.\n"
    yield "| trainings | leaders | equals besides the winner | worse than it by | best leader is winner or equal |"
    yield "|--:|--:|--:|--:|--:|"
    for n, rows in usual.items():
        yield (
            f"| {n} | {column(rows, 'leaders').mean():.1f} | {column(rows, 'equals').mean():.1f} | "
            f"{shown(rows, 'equals behind')} | {percent(rows, 'best among equals', 1)} |"
        )


READINGS = {
    "as it is": "gain",
    "plain mean of the winner": "plain",
    "without each round's own vote, its interval alone": "blind",
    "plain mean, interval divided among the leaders (Bonferroni)": "Bonferroni",
}


def claims(usual: Mapping[int, Sequence[Row]]) -> Iterator[str]:
    """Other readings of the same runs."""
    yield "\nOther ways to read the gain from the same runs:\n"
    yield "| reading | " + " | ".join(f"{n}: error | covered | half width" for n in COMPARED) + " |"
    yield "|---|" + "--:|" * 3 * len(COMPARED)
    for label, key in READINGS.items():
        cells = [
            f"{shown(usual[n], f'{key}: error')} | {percent(usual[n], f'{key}: covered', 1)} | "
            f"{shown(usual[n], f'{key}: half')}"
            for n in COMPARED
        ]
        yield f"| {label} | " + " | ".join(cells) + " |"


def alternatives(rows: Mapping[tuple[int, str], Sequence[Row]]) -> Iterator[str]:
    """Other races."""
    for n in COMPARED:
        yield f"\nOther races, {n} trainings:\n"
        yield "| race | rounds | regret | ratio | gain − truth | gain covered | half width | confirmed |"
        yield "|---|---|--:|--:|--:|--:|--:|--:|"
        for variant in VARIANTS:
            if (found := rows.get((n, variant.name))) is None:
                continue
            yield (
                f"| {variant.name} | {schedule(n, variant)} | {shown(found, 'same number: raced')} | "
                f"{ratio(found, 'same number: raced', 'same number: taken')} | {shown(found, 'gain: error')} | "
                f"{percent(found, 'gain: covered', 1)} | {shown(found, 'gain: half')} | "
                f"{percent(found, 'status confirmed')} |"
            )


def all_equal(null: Mapping[int, tuple[Sequence[Row], Sequence[Row]]]) -> Iterator[str]:
    """The planted null."""
    studies = len(next(iter(null.values()))[0])
    yield f"\nConfirmed, though all configurations and the baseline are equal ({studies:,} studies per row):\n"
    yield (
        f"| trainings | as it is | now or after {FURTHER} or {2 * FURTHER} more runs | with margin 0 | plain mean | "
        "Bonferroni | gain − truth | each with its own noise: as it is | with margin 0 | gain − truth |"
    )
    yield "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for n, (equal, own) in null.items():
        yield (
            f"| {n} | {percent(equal, 'status confirmed', 1)} | {percent(equal, 'looks: confirmed', 1)} | "
            f"{percent(equal, 'status 0 confirmed', 1)} | "
            f"{percent(equal, 'plain: confirmed', 1)} | {percent(equal, 'Bonferroni: confirmed', 1)} | "
            f"{shown(equal, 'gain: error')} | {percent(own, 'status confirmed', 1)} | "
            f"{percent(own, 'status 0 confirmed', 1)} | {shown(own, 'gain: error')} |"
        )


def failing(found: Mapping[int, Sequence[Row]]) -> Iterator[str]:
    """With the configurations that sometimes fail to train."""
    yield "\nThe same with the configurations that sometimes fail to train:\n"
    yield "| trainings | take the best | race | ratio | level − truth | gain − truth | gain covered |"
    yield "|--:|--:|--:|--:|--:|--:|--:|"
    for n, rows in found.items():
        name = "same number"
        yield (
            f"| {n} | {shown(rows, f'{name}: taken')} | {shown(rows, f'{name}: raced')} | "
            f"{ratio(rows, f'{name}: raced', f'{name}: taken')} | {shown(rows, 'level: error')} | "
            f"{shown(rows, 'gain: error')} | {percent(rows, 'gain: covered', 1)} |"
        )


def direct_table(rows: Sequence[Row]) -> Iterator[str]:
    """The check without a model."""
    if not rows:
        yield "\nWithout a model: too few configurations have been repeated often so far."
        return
    trials, runs = (int(rows[0][name]) for name in ("trials", "runs"))
    yield (
        f"\nWithout a model: the {trials} configurations that were repeated most. One of their further repeats is the "
        f"search, others are the rounds, the mean of those left is the truth. {trials - runs} trials and {runs} runs "
        f"against {trials} good trials; ± is between the {len(rows)} repeats that can be the search.\n"
    )
    yield "| | points |\n|---|--:|"
    for label, name in (
        ("the winner of the race − the best of the search, in truth", "better"),
        ("value of the best of the search − truth", "overstated"),
        ("claimed level − truth", "level"),
        ("claimed gain − truth", "gain"),
    ):
        yield f"| {label} | {shown(rows, name)} |"


if __name__ == "__main__":
    main()
