"""Simulates confirmation: search and race against "take the best", with as many trainings, and alternatives to the race.

    python benchmarks/confirm.py [--banks digits cifar10] [--studies 2000] [--null 10000] [--processes 2]

Whole studies are drawn from `benchmarks/repeats/*.jsonl` (see `confirm_world.py`); race and claim are the real ones of
`regstudy.analysis`. Prints Markdown tables with Monte-Carlo errors (one standard error, ±). All variants see the same
studies.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any
from unittest.mock import patch

import numpy as np
from confirm_world import ROUNDS, Drawn, World, draw, values_of, world_of
from curve_bank import read_bank
from repeat_bank import FIRST, REPEATS, SEARCHED

from regstudy.analysis import race as rules
from regstudy.analysis.claim import Claim, Estimate, claim_of, deficits, interval, status_of, t_quantile
from regstudy.analysis.gap import MARGIN
from regstudy.analysis.race import BASELINE, Entrant, Race, Run
from regstudy.space.search_space import is_baseline

TRIALS = (20, 30, 50, 100, 200)
EQUAL = (30, 50, 100)  # numbers of trials of studies in which all are equal
COMPARED = (50, 100)  # numbers of trials at which alternatives are compared
SHARE = 0.3  # of the trainings, for confirmation
PRUNED = 0.45  # epochs of a search trial with pruning, as a share of an unpruned one (docs/pruning.md: 0.4 to 0.55)
CHUNK = 250  # studies per task
POINTS = 100 * MARGIN  # the margin in points
Row = Mapping[str, float]


@dataclass(frozen=True)
class Variant:
    """A way to run the race: changed constants or functions of `regstudy.analysis.race`, or fixed sizes of rounds."""

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[int, tuple[int, ...]] = field(default_factory=dict)  # by number of trials
    share: float = SHARE


def fresh_only(entrant: Entrant, center: float, without: int | None = None) -> float:
    """A belief that forgets the value of the search as soon as there are others."""
    values = [value for number, value in entrant.fresh.items() if number != without] or [entrant.searched]
    return (sum(values) + rules.PRIOR_RUNS * center) / (len(values) + rules.PRIOR_RUNS)


USUAL = Variant("as it is")
VARIANTS = [
    USUAL,
    Variant("KEEP 0.5", {"KEEP": 0.5}),
    Variant("KEEP 0.75", {"KEEP": 0.75}),
    Variant("PRIOR_RUNS 0", {"PRIOR_RUNS": 0.0}),
    Variant("PRIOR_RUNS 0.5", {"PRIOR_RUNS": 0.5}),
    Variant("PRIOR_RUNS 2", {"PRIOR_RUNS": 2.0}),
    Variant("belief without the search value", {"belief": fresh_only}),
    Variant("fewer rounds, more leaders: max(4, 2 + runs // 8)", {"wanted_rounds": lambda runs: max(4, 2 + runs // 8)}),
    Variant("more rounds, fewer leaders: max(5, 3 + runs // 4)", {"wanted_rounds": lambda runs: max(5, 3 + runs // 4)}),
    Variant("4 → 3 → 2 → 2; 8 → 6 → 4 → 3 → 2", sizes={50: (4, 3, 2, 2), 100: (8, 6, 4, 3, 2)}),
    Variant("8 → 3 at once; 16 → 6 → 2", sizes={50: (8, 1, 1, 1), 100: (16, 4, 1, 1, 1, 1)}),
    Variant("share 0.2", share=0.2),
    Variant("share 0.4", share=0.4),
]


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
            print("\n".join(described(bank)), flush=True)
            usual = {n: simulated(pool, bank, n, USUAL, given.studies) for n in TRIALS}
            print("\n".join([*contest(usual), *honesty(usual), *claims(usual)]), flush=True)
            rows = {
                (n, v.name): usual[n] if v is USUAL else simulated(pool, bank, n, v, given.studies)
                for v in VARIANTS
                for n in COMPARED
                if not v.sizes or n in v.sizes
            }
            print("\n".join(alternatives(rows)), flush=True)
            null = {n: simulated(pool, bank, n, USUAL, given.null, equal=True) for n in EQUAL}
            print("\n".join(all_equal(null)), flush=True)
            print("\n".join(direct(bank, given.studies)), flush=True)


def simulated(pool: Any, bank: str, trials: int, variant: Variant, studies: int, equal: bool = False) -> list[Row]:
    """The rows of so many studies."""
    starts = range(0, studies, CHUNK)
    work = partial(chunk, bank, trials, VARIANTS.index(variant), equal, studies)
    return [row for rows in pool.map(work, starts, chunksize=1) for row in rows]


def chunk(bank: str, trials: int, variant: int, equal: bool, studies: int, first: int) -> list[Row]:
    """Some of the studies of a row of a table: study k is the same in all variants."""
    world = load(bank).null() if equal else load(bank)
    seeds = range(first, min(first + CHUNK, studies))
    with applied(VARIANTS[variant]):
        return [study(world, trials, VARIANTS[variant], seed) for seed in seeds]


@cache
def load(bank: str) -> World:
    """The world of a bank."""
    return world_of(read_bank(REPEATS / f"{bank}.jsonl"))


def applied(variant: Variant) -> ExitStack:
    """The rules of the race with a variant's changes, for the time of a `with`."""
    stack = ExitStack()
    for name, value in variant.changes.items():
        stack.enter_context(patch.object(rules, name, value))
    return stack


def budget(trials: int, variant: Variant) -> int:
    """The runs of confirmation in a study of so many trainings."""
    return (
        sum(s + 1 for s in variant.sizes[trials]) if variant.sizes else rules.most_runs(round(variant.share * trials))
    )


def epochs(searched: int, runs: int = 0) -> float:
    """Cost in unpruned trainings: baseline trials and confirmation runs are never pruned."""
    baselines = sum(map(is_baseline, range(searched)))
    return baselines + PRUNED * (searched - baselines) + runs


def same_cost(searched: int, runs: int) -> int:
    """How many trials a pruned search without confirmation has for the same epochs."""
    trials = searched
    while epochs(trials + 1) <= epochs(searched, runs):
        trials += 1
    return trials


def study(world: World, trials: int, variant: Variant, seed: int) -> Row:
    """One study both ways, from the same draws."""
    runs = budget(trials, variant)
    more = same_cost(trials - runs, runs)
    drawn = draw(world, max(trials, more), np.random.default_rng([seed, trials]))
    found, baseline = raced(drawn, trials - runs, runs, variant.sizes.get(trials))
    row = {"leaders": len(found.entrants)}
    for name, count in (("same number", trials), ("same epochs", more)):
        slots = np.flatnonzero(~drawn.baseline[:count])
        taken, best = slots[np.argmax(drawn.values[slots])], drawn.truth[slots].max()
        row |= {f"{name}: taken": best - drawn.truth[taken], f"{name}: raced": best - drawn.truth[found.winner.number]}
        row |= {f"{name}: taken, of all": world.truth[: world.searched].max() - drawn.truth[taken]}
        row |= {f"{name}: raced, of all": world.truth[: world.searched].max() - drawn.truth[found.winner.number]}
        row |= {f"{name}: overstated": drawn.values[taken] - drawn.truth[taken]}
    level, gain = drawn.truth[found.winner.number], drawn.truth[found.winner.number] - drawn.truth[baseline]
    row |= {"status " + status_of(found.gain, POINTS): 1.0, "status 0 " + status_of(found.gain, 0.0): 1.0}
    row |= judged("level", found.level, level) | judged("gain", found.gain, gain)
    for name, estimate in readings(found, drawn.fresh[baseline]).items():
        row |= judged(name, estimate, gain) | {f"{name}: confirmed": float(status_of(estimate, POINTS) == "confirmed")}
    return row | equality(found, drawn, baseline)


def raced(drawn: Drawn, searched: int, runs: int, sizes: tuple[int, ...] | None = None) -> tuple[Claim, int]:
    """The claim after a search of so many trials and a race with so many runs, and the slot of the best baseline."""
    slots = np.arange(searched)
    entrants = {int(slot): Entrant(int(slot), drawn.values[slot], {}) for slot in slots[~drawn.baseline[:searched]]}
    base = int(max(slots[drawn.baseline[:searched]], key=lambda slot: drawn.values[slot]))
    baseline = Entrant(BASELINE, drawn.values[base], {})
    race = rules.start(list(entrants.values()), baseline, runs)
    if sizes is not None:
        race = Race(sizes, race.center)
    made = 0
    while True:
        race, wanted = rules.advance(race, list(entrants.values()), baseline)
        if not wanted:
            break
        for run in wanted:
            record(run, baseline if run.number == BASELINE else entrants[run.number], drawn, base)
        made += len(wanted)
    assert made <= runs, f"{made} runs instead of {runs}"
    found = claim_of(list(entrants.values()), baseline, race.center)
    assert found is not None
    return found, base


def record(run: Run, of: Entrant, drawn: Drawn, base: int) -> None:
    """Make a run."""
    assert isinstance(of.fresh, dict)
    of.fresh[run.round] = drawn.fresh[base if run.number == BASELINE else run.number, (run.round - 1) % ROUNDS]


def readings(found: Claim, baseline: np.ndarray) -> dict[str, Estimate]:
    """Other ways to read the gain from the same runs."""
    of = {one.number: one.fresh for one in found.entrants}
    blind = interval([of[found.chosen[n]][n] - baseline[(n - 1) % ROUNDS] for n in found.rounds])
    plain = interval(found.differences)
    wider, degrees = plain, max(1, plain.n - 1)
    if plain.n > 1:
        reach = plain.half * quantile(0.05 / len(found.entrants), degrees) / t_quantile(degrees)
        wider = Estimate(plain.mean, plain.mean - reach, plain.mean + reach, plain.n)
    return {"plain": plain, "blind": blind, "Bonferroni": wider}


@cache
def quantile(level: float, degrees: int) -> float:
    """Student's t for an interval at a level."""
    from scipy import stats

    return float(stats.t.isf(level / 2, degrees))


def judged(name: str, found: Estimate, truth: float) -> Row:
    """How an estimate compares with the truth."""
    row = {f"{name}: error": found.mean - truth}
    if found.n > 1:
        row |= {f"{name}: covered": float(found.low <= truth <= found.high), f"{name}: half": found.half}
    return row


def equality(found: Claim, drawn: Drawn, base: int) -> Row:
    """Whether the best of the leaders is the winner or among its equals, and how much worse the equals are."""
    behind = deficits(found, Entrant(BASELINE, 0.0, dict(enumerate(drawn.fresh[base][: max(found.rounds)], start=1))))
    own = drawn.truth[found.winner.number]
    best = max(found.entrants, key=lambda one: drawn.truth[one.number]).number
    equals = [number for number, one in behind.items() if one.low <= 0]
    row = {"equals": len(equals), "best among equals": float(drawn.truth[best] <= own or best in equals)}
    return row | ({"equals behind": float(np.mean(own - drawn.truth[equals]))} if equals else {})


def direct(bank: str, studies: int) -> Iterator[str]:
    """The same contest on the configurations that were repeated most, with no model: each repeat is used once."""
    table, numbers = values_of(read_bank(REPEATS / f"{bank}.jsonl"))
    fresh = table[:, FIRST:]  # the first repeats chose these configurations
    whole = np.isfinite(fresh).all(axis=1) if fresh.shape[1] else np.zeros(len(table), bool)
    search, base = (np.flatnonzero(whole & (np.array(numbers) < SEARCHED) ^ flip & whole) for flip in (False, True))
    yield f"\n**{bank}, no model.** "
    trials = len(search)
    if trials < 10 or not len(base) or fresh.shape[1] < 8:
        yield "Too few configurations have been repeated often so far."
        return
    runs = rules.most_runs(round(SHARE * trials))
    rows = []
    for seed in range(studies):
        rng = np.random.default_rng(seed)
        order = np.concatenate([rng.permutation(search), base])
        repeats = rng.permutation(fresh.shape[1])
        values = fresh[order][:, repeats]
        used = 2 + runs // 2
        drawn = Drawn(values[:, used:].mean(axis=1), values[:, 0], values[:, 1:used], order >= min(base))
        part = np.r_[0 : trials - runs, trials : trials + len(base)]
        less = Drawn(*(each[part] for each in (drawn.truth, drawn.values, drawn.fresh, drawn.baseline)))
        found, baseline = raced(less, len(part), runs)
        rounds = found.level.n
        left = values[part][:, 1 + rounds :].mean(axis=1)
        taken = int(np.argmax(drawn.values[:trials]))
        of_taken = values[taken, 1 + rounds :].mean()
        won = found.winner.number
        rows.append(
            {
                "search": repeats[0],
                "better": left[won] - of_taken,
                "overstated": drawn.values[taken] - of_taken,
                "level": found.level.mean - left[won],
                "gain": found.gain.mean - (left[won] - left[baseline]),
            }
        )
    yield (
        f"The {trials} configurations of the search with {fresh.shape[1]} further repeats: one repeat is the search, "
        f"others are the rounds ({trials - runs} trials and {runs} runs against {trials} trials), and the mean of those "
        f"left is the truth. The error is that between the {fresh.shape[1]} repeats that can be the search; the "
        "configurations are always the same."
    )
    yield "\n| | points |\n|---|--:|"
    rows = [
        {name: float(np.mean([row[name] for row in rows if row["search"] == repeat])) for name in rows[0]}
        for repeat in sorted({row["search"] for row in rows})
    ]
    yield f"| the race's winner is better than the best of the search by | {shown(rows, 'better')} |"
    yield f"| value of the best of the search − truth | {shown(rows, 'overstated')} |"
    yield f"| claimed level − truth | {shown(rows, 'level')} |"
    yield f"| claimed gain − truth | {shown(rows, 'gain')} |"


# Tables


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


NOBODY = Entrant(BASELINE, 0.0)


def described(bank: str) -> Iterator[str]:
    """What the bank is."""
    lines = read_bank(REPEATS / f"{bank}.jsonl")
    world, table = load(bank), values_of(lines)[0]
    often = int((np.isfinite(table).sum(axis=1) > FIRST).sum())
    best = np.sort(world.truth[: world.searched])[::-1]
    leaders = np.argsort(-world.truth[: world.searched])[:20]
    yield f"\n### {bank}\n"
    yield (
        f"{len(lines)} trainings: {world.searched} configurations of the search and {len(table) - world.searched} "
        f"baselines, {often} of them repeated more than {FIRST} times. Truth: best {best[0]:.1f} %, tenth "
        f"{best[min(9, len(best) - 1)]:.1f} %, median {np.median(best):.1f} %; best baseline "
        f"{world.truth[world.searched :].max():.1f} %. Standard deviation of a run of the best 20: "
        f"{world.noise[leaders].std():.2f} points, of a split: {world.splits.std():.2f} points."
    )


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
            f"{shown(rows, 'gain: error')} | {percent(rows, 'level: covered', 1)} | {percent(rows, 'gain: covered', 1)} | "
            f"{shown(rows, 'gain: half')} | {statuses} |"
        )
    yield "\nThe set of equals: leaders that the fresh runs cannot tell from the winner.\n"
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
        yield "| race | rounds | regret | ratio to take the best | gain − truth | gain covered | half width | confirmed |"
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


def all_equal(null: Mapping[int, Sequence[Row]]) -> Iterator[str]:
    """The planted null."""
    studies = len(next(iter(null.values())))
    yield f"\nAll configurations equal, the baseline too ({studies:,} studies per row): called confirmed, though nothing is better\n"
    yield "| trainings | as it is | with margin 0 | plain mean | Bonferroni | gain − truth |"
    yield "|--:|--:|--:|--:|--:|--:|"
    for n, rows in null.items():
        yield (
            f"| {n} | {percent(rows, 'status confirmed', 1)} | {percent(rows, 'status 0 confirmed', 1)} | "
            f"{percent(rows, 'plain: confirmed', 1)} | {percent(rows, 'Bonferroni: confirmed', 1)} | "
            f"{shown(rows, 'gain: error')} |"
        )


if __name__ == "__main__":
    main()
