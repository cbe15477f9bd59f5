"""Simulates ablations: coverage, false verdicts, power against fixed repeats, calibration, and other designs.

    python benchmarks/ablation.py [--studies 10000] [--processes 2]

Every ablation has a planted truth (`ablation_world.py`); design, looks, intervals and chances are the product's own.
Prints Markdown tables; ± is one Monte-Carlo standard error. Ablation k is the same in all designs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from ablation_factorial import VALUES, contest
from ablation_world import MARGIN, SIZES, World, adaptive, drawn, fixed, is_total, named, wrong

from regstudy.analysis import ablation_design as rules
from regstudy.analysis.ablation_arms import contrasts_of
from regstudy.analysis.ablation_design import Request, resolution

RUNS = 70
CHUNK = 250  # ablations per task
USUAL = World("mixed: half do nothing, others ±0.8, 1.2, 2.0")
WORLDS = (
    USUAL,
    World("one of 1.2, four of 0", (1.2, 0, 0, 0, 0)),
    World("one of 0.8, four of 0", (0.8, 0, 0, 0, 0)),
    World("1.2, 0.8, three of 0", (1.2, 0.8, 0, 0, 0)),
    World("all 1.2", (1.2,) * 5),
    World("all 0.8", (0.8,) * 5),
    World("mixed, arms unevenly noisy", uneven=True),
    World("mixed, heavy tails", tails=True),
)
NOTHING = (
    World("nothing does anything", (0.0,) * 5),
    World("the same, gap with noise of its own", (0.0,) * 5, own_gap=True),
    World("the same, arms unevenly noisy", (0.0,) * 5, own_gap=True, uneven=True),
    World("the same, heavy tails", (0.0,) * 5, own_gap=True, tails=True),
    World("all just at the margin", (MARGIN, -MARGIN, MARGIN, -MARGIN, MARGIN), own_gap=True),
    World("all just at a margin of 1", (1.0, -1.0, 1.0, -1.0, 1.0), own_gap=True, margin=1.0),
)
BELIEFS = (
    World("half do nothing, others exponential, mean 1", "exponential"),
    World("half do nothing, others normal, sd 1", "normal"),
    World("half next to nothing (sd 0.1), others normal, sd 1.5", "nearly"),
    World("all do something, normal around 0.5, sd 0.7", "smooth"),
)
SHAPES = ((2, 28), (3, 40), (5, 35), (5, 70), (5, 140), (8, 110), (10, 120))
AGAIN = ((70,), (70, 100), (70, 100, 140), (35, 70, 140, 280))
ALPHAS = ((0.005, 0.035), (0.005, 0.04), (0.01, 0.03), (0.02, 0.03), (0.025, 0.025))
FIRSTS = (0.4, 0.5, 0.6, 0.7, 0.8)
Row = dict[str, Any]


def main() -> None:
    """Simulate everything, print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--studies", type=int, default=10_000, help="ablations per row; a fifth of it for other designs"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    given = parser.parse_args()
    few = max(1, given.studies // 5)
    with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
        run = partial(simulated, pool)
        worlds = {world: run(world, (RUNS,), given.studies) for world in WORLDS}
        print("\n".join([*power(worlds), *coverage(worlds)]), flush=True)
        print("\n".join(false({world: run(world, (RUNS,), given.studies) for world in NOTHING})), flush=True)
        beliefs = {world: run(world, (RUNS,), given.studies) for world in BELIEFS}
        print("\n".join(calibration(beliefs)), flush=True)
        print("\n".join(again({totals: run(NOTHING[1], totals, few) for totals in AGAIN}, NOTHING[1])), flush=True)
        print("\n".join(again({totals: run(USUAL, totals, few) for totals in AGAIN}, USUAL)), flush=True)
        shapes = {(k, n): run(World(USUAL.name, regularizers=k), (n,), few) for k, n in SHAPES}
        print("\n".join(sizes(shapes)), flush=True)
        told = {n: run(World("", (told_by(n), 0, 0, 0, 0)), (n,), few) for n in (35, 70, 140)}
        print("\n".join(resolved(told)), flush=True)
        rows = {
            (alphas, first): run(USUAL, (RUNS,), few, alphas, first)
            for alphas in ALPHAS
            for first in FIRSTS
            if alphas == rules.ALPHAS or first == rules.FIRST
        }
        print("\n".join(designs(rows)), flush=True)
        found = {world: pool.starmap(contest, [(world, RUNS, k) for k in range(few)], CHUNK) for world in VALUES}
        print("\n".join(factorials(found)), flush=True)


def told_by(runs: int) -> float:
    """The effect that so many runs are said to tell, for five regularizers."""
    return round(resolution(Request(tuple(contrasts_of(list("abcde"))), runs, MARGIN), 1.0), 3)


def simulated(
    pool: Any,
    world: World,
    totals: Sequence[int],
    studies: int,
    alphas: tuple[float, ...] = rules.ALPHAS,
    first: float = rules.FIRST,
) -> list[Row]:
    """A row per comparison of each ablation."""
    work = partial(chunk, world, tuple(totals), alphas, first, studies)
    return [row for rows in pool.map(work, range(0, studies, CHUNK), chunksize=1) for row in rows]


def chunk(
    world: World, totals: Sequence[int], alphas: tuple[float, ...], first: float, studies: int, start: int
) -> list[Row]:
    """Some of the ablations."""
    rules.ALPHAS, rules.FIRST = alphas, first
    return [row for seed in range(start, min(start + CHUNK, studies)) for row in study(world, totals, seed)]


def study(world: World, totals: Sequence[int], seed: int) -> Iterator[Row]:
    """One ablation: what is said of each regularizer, and what is true."""
    of = drawn(world, seed, totals[-1] // 2 + 1)
    found, signs, first = adaptive(of, totals, world.margin)
    once = fixed(of, totals[-1], world.margin)
    for one in found.effects:
        measures = {"metric": one.metric, "gap": one.gap}
        truth = {measure: of.truth[one.name, measure] for measure in measures}
        yield {
            "study": seed,
            "total": is_total(one.name),
            "truth": truth["metric"],
            "named": named(one.metric.sign, truth["metric"]),
            "named by fixed": named(once.get((one.name, "metric"), "open"), truth["metric"]),
            "wrong": any(wrong(signs[one.name, m], t, world.margin) for m, t in truth.items()),
            "wrong by fixed": any(wrong(once.get((one.name, m), "open"), t, world.margin) for m, t in truth.items()),
            "covered": [measures[m].low <= t <= measures[m].high for m, t in truth.items()],
            "stayed": one.metric.n > first,
            "pairs": one.metric.n,
            "helps": one.chances.above if one.chances else np.nan,
            "hurts": one.chances.below if one.chances else np.nan,
            "verdict": one.verdict,
            "runs": found.runs,
        }


def column(rows: Sequence[Row], name: str) -> np.ndarray:
    """A column as numbers."""
    return np.array([row[name] for row in rows], dtype=float)


def share(values: Sequence[float] | np.ndarray, digits: int = 1) -> str:
    """A share in percent ± its standard error."""
    flat = np.asarray(values, dtype=float).ravel()
    if not len(flat):
        return "–"
    mean = flat.mean()
    return f"{100 * mean:.{digits}f} ± {100 * np.sqrt(mean * (1 - mean) / len(flat)):.{digits}f} %"


def by_study(rows: Sequence[Row], name: str) -> np.ndarray:
    """Whether it holds for any comparison of an ablation."""
    found: dict[int, bool] = {}
    for row in rows:
        found[row["study"]] = found.get(row["study"], False) or bool(row[name])
    return np.array(list(found.values()), dtype=float)


def of_size(rows: Sequence[Row], size: float) -> list[Row]:
    """The regularizers with an effect of this size, either way."""
    return [row for row in rows if not row["total"] and abs(abs(row["truth"]) - size) < 1e-9]


def power(worlds: Mapping[World, Sequence[Row]]) -> Iterator[str]:
    """Named effects."""
    yield (
        f"\nEffects named with their sign, two stages / ten fixed repeats; {RUNS} runs, five regularizers and the "
        "baseline, both with Holm over both measures; effects in standard deviations of a paired difference:\n"
    )
    yield "| effects | 0.8 | 1.2 | 2.0 | any false verdict | runs |"
    yield "|---|--:|--:|--:|--:|--:|"
    for world, rows in worlds.items():
        cells = []
        for size in SIZES:
            those = of_size(rows, size)
            both = (share(column(those, name)) for name in ("named", "named by fixed"))
            cells.append(" / ".join(both) if those else "–")
        bad = " / ".join(share(by_study(rows, name)) for name in ("wrong", "wrong by fixed"))
        yield f"| {world.name} | {' | '.join(cells)} | {bad} | {column(rows, 'runs').mean():.1f} |"


def coverage(worlds: Mapping[World, Sequence[Row]]) -> Iterator[str]:
    """Coverage of the intervals on these images."""
    yield "\nHow often the 95 % interval on these images contains the truth (metric and gap), after adaptive stopping:"
    yield ""
    yield "| effects | all | left after the first stage | stayed | effect 0 | 0.8 | 1.2 | 2.0 |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    for world, rows in worlds.items():
        parts = [rows, [row for row in rows if not row["stayed"]], [row for row in rows if row["stayed"]]]
        parts += [of_size(rows, size) for size in (0.0, *SIZES)]
        yield f"| {world.name} | " + " | ".join(share([row["covered"] for row in part]) for part in parts) + " |"


def false(worlds: Mapping[World, Sequence[Row]]) -> Iterator[str]:
    """Family-wise false verdicts."""
    yield "\nAny false decision in an ablation, in either measure: a wrong sign, or “none” of an effect that matters:\n"
    yield "| effects | two stages | ten fixed repeats |"
    yield "|---|--:|--:|"
    for world, rows in worlds.items():
        cells = (share(by_study(rows, name), 2) for name in ("wrong", "wrong by fixed"))
        yield f"| {world.name} | {' | '.join(cells)} |"


def calibration(worlds: Mapping[World, Sequence[Row]]) -> Iterator[str]:
    """P(helps) against how often it does."""
    yield (
        "\nP(helps by more than the margin) in tenths: mean probability → share that truly helps by more than "
        f"{MARGIN} (cases):\n"
    )
    yield "| P(helps) | " + " | ".join(world.name for world in worlds) + " |"
    yield "|---|" + "--:|" * len(worlds)
    for tenth in range(10):
        cells = []
        for rows in worlds.values():
            those = [row for row in rows if not row["total"] and min(9, int(10 * row["helps"])) == tenth]
            true = np.mean([row["truth"] > MARGIN for row in those]) if those else np.nan
            cells.append(f"{column(those, 'helps').mean():.3f} → {true:.3f} ({len(those):,})" if those else "–")
        yield f"| {tenth / 10:.1f} to {tenth / 10 + 0.1:.1f} | {' | '.join(cells)} |"


def again(found: Mapping[Sequence[int], Sequence[Row]], world: World) -> Iterator[str]:
    """Asking for more runs."""
    yield f"\nMore runs asked for after each look; {world.name}:\n"
    yield "| runs | any false decision | fixed, one look | 0.8 named | 1.2 named | covered |"
    yield "|---|--:|--:|--:|--:|--:|"
    for totals, rows in found.items():
        yield (
            f"| {' → '.join(map(str, totals))} | {share(by_study(rows, 'wrong'))} | "
            f"{share(by_study(rows, 'wrong by fixed'))} | {share(column(of_size(rows, 0.8), 'named'))} | "
            f"{share(column(of_size(rows, 1.2), 'named'))} | {share([row['covered'] for row in rows])} |"
        )


def sizes(found: Mapping[tuple[int, int], Sequence[Row]]) -> Iterator[str]:
    """Other numbers of regularizers and runs."""
    yield "\nOther sizes, mixed effects; named by two stages / by fixed repeats:\n"
    yield "| regularizers | runs | 0.8 | 1.2 | 2.0 | any false verdict | covered |"
    yield "|--:|--:|--:|--:|--:|--:|--:|"
    for (k, n), rows in found.items():
        cells = [
            " / ".join(share(column(of_size(rows, size), name)) for name in ("named", "named by fixed"))
            for size in SIZES
        ]
        yield (
            f"| {k} | {n} | {' | '.join(cells)} | {share(by_study(rows, 'wrong'))} | "
            f"{share([row['covered'] for row in rows])} |"
        )


def resolved(found: Mapping[int, Sequence[Row]]) -> Iterator[str]:
    """The resolution that is told before the start."""
    yield "\nThe resolution told before the start (chance of 80 %), if one regularizer has this effect, others none:"
    yield ""
    yield "| runs | smallest detectable effect | named |"
    yield "|--:|--:|--:|"
    for n, rows in found.items():
        yield f"| {n} | {told_by(n):.2f} | {share(column(of_size(rows, told_by(n)), 'named'))} |"


def designs(found: Mapping[tuple[tuple[float, ...], float], Sequence[Row]]) -> Iterator[str]:
    """Other shares of the error, and other first stages."""
    yield f"\nOther designs, mixed effects, {RUNS} runs:\n"
    yield "| error of the looks | first stage | 0.8 | 1.2 | 2.0 | any false verdict | covered |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for (alphas, first), rows in found.items():
        cells = " | ".join(share(column(of_size(rows, size), "named")) for size in SIZES)
        mark = " (as it is)" if (alphas, first) == (rules.ALPHAS, rules.FIRST) else ""
        yield (
            f"| {' + '.join(map(str, alphas))}{mark} | {first} | {cells} | {share(by_study(rows, 'wrong'))} | "
            f"{share([row['covered'] for row in rows])} |"
        )


def factorials(found: Mapping[str, Sequence[Mapping[str, tuple[float, float, float]]]]) -> Iterator[str]:
    """Leave one out against a factorial."""
    yield (
        f"\n“What may I leave out of the winner?”, {RUNS} runs. Needed ones that are named / one that is not needed is "
        "named / mean error of the estimated effect of a:\n"
    )
    names = list(next(iter(found.values()))[0])
    yield "| truth | " + " | ".join(names) + " |"
    yield "|---|" + "--:|" * len(names)
    for world, rows in found.items():
        cells = []
        for name in names:
            right, false_, error = np.array([row[name] for row in rows]).T
            cells.append(f"{share(right)} / {share(false_)} / {error.mean():+.2f}")
        yield f"| {world} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
