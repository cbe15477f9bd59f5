"""Compares pruning rules by what counts: how good the configuration is that search and confirmation hand over.

    python benchmarks/fidelity.py [--worlds repeats/digits …] [--rules TEXT …] [--studies 200] [--json FILE]

Every rule gets the same epochs: those of N trainings (30, 50, 100) in full, of which the usual share is left to the
real race of `regstudy.analysis.race`. What a rule saves buys it further trials (`trials`), or further runs of the race
(`runs`). The trials are recorded curves (fidelity_world.py) in the same random order for every rule. Regret is the true
quality of the world's best configuration less that of the race's winner, in points. ± is one standard error over the
studies; a difference is paired, and of the default rule.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from confirm_studies import SHARE
from fidelity_rules import Halving, Percentile, Promotion, Rule, ShortThenBest, Signal, never
from fidelity_world import WORLDS, Stream, stream, world

from regstudy.analysis import race as rules
from regstudy.analysis.race import BASELINE, Entrant

SIZES = (30, 50, 100)  # trainings in full that a study has epochs for
LONGEST = 400  # trials of the longest study
DEFAULT = "signal"
RULES: Mapping[str, Rule] = {
    "none": never,
    **{f"median, warm-up {share:g}": Percentile(0.5, share) for share in (0.1, 0.2, 0.3, 0.4, 0.5)},
    **{f"percentile {100 * p:g}, warm-up {w:g}": Percentile(p, w) for w in (0.1, 0.3) for p in (0.35, 0.25, 0.08)},
    "rank 50, warm-up 0.3": Percentile(0.5, 0.3, pruned_too=True),
    **{f"halving {share:g}, 2": Halving(share, 2) for share in (0.1, 0.2)},
    "hyperband 0.2, 2": Halving(0.2, 2, brackets=True),
    DEFAULT: Signal(),
    **{f"signal {chance:g}": Signal(chance) for chance in (0.06, 0.4, 0.6)},
    "signal, warm-up 0.1": Signal(warm_up=0.1),
    "signal, 8 full": Signal(full_runs=8),
    "signal, baselines no peers": Signal(baselines=False),
    "signal, audit": Signal(audit=True),
    "signal of version 0.1.0": Signal(0.06, 0.4, 8, warm_up=0.1),
    "promotion 60/35/20": Promotion(),
    **{f"k epochs {share:g}": ShortThenBest(share) for share in (0.2, 0.4)},
}
Row = dict[str, float]


def main() -> None:
    """Replay everything, print a table per world."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", nargs="*", choices=WORLDS, default=WORLDS)
    parser.add_argument("--rules", nargs="*", default=[""], help="only rules whose names begin like this")
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    names = [name for name in RULES if name == DEFAULT or name.startswith(tuple(given.rules))]
    found: dict[str, dict[str, list[Row]]] = {}
    with get_context("spawn").Pool(given.processes) as pool:
        for name in given.worlds:
            tasks = [(name, names, seed) for seed in range(given.studies)]
            studies = pool.starmap(replay, tasks, chunksize=2)
            found[name] = {rule: [study[rule] for study in studies] for rule in names}
            print("\n".join(table(name, found[name])), flush=True)
    print("\n".join(summary(found)))
    if given.json:
        given.json.write_text(json.dumps(found))


def replay(name: str, names: list[str], seed: int) -> dict[str, Row]:
    """One order of trials under each rule."""
    drawn = stream(world(name), LONGEST, seed)
    return {rule: study(drawn, RULES[rule], world(name).best) for rule in names}


def study(drawn: Stream, rule: Rule, best: float) -> Row:
    """The epochs of one rule, and its regret for each size and use of what it saves."""
    row: Row = {}
    budgets = {size: size - rules.most_runs(round(SHARE * size)) for size in SIZES}
    spent = rule(drawn, max(budgets.values()) * drawn.epochs)
    for size, trials in budgets.items():
        runs, budget = size - trials, trials * drawn.epochs
        if isinstance(rule, ShortThenBest):
            spent = rule(drawn, budget)
        row[f"{size} count"] = float((spent.over <= budget).sum())
        row[f"{size} trials"] = best - winner(drawn, np.flatnonzero(spent.full <= budget), runs)
        if isinstance(rule, (Promotion, ShortThenBest)):
            continue  # it decides by a budget, not by a number of trials
        short = np.arange(LONGEST) < trials
        left = size - spent.over[trials - 1] / drawn.epochs
        row[f"{size} epochs"] = spent.over[trials - 1] / budget
        row[f"{size} runs"] = best - winner(drawn, np.flatnonzero(short & np.isfinite(spent.full)), int(left))
    return row


def winner(drawn: Stream, full: np.ndarray, runs: int) -> float:
    """The truth of the winner of a race among the full trials."""
    searched, baselines = full[~drawn.baseline[full]], full[drawn.baseline[full]]
    finals = drawn.best[:, -1]
    entrants = {int(one): Entrant(int(one), float(finals[one]), {}) for one in searched}
    base = int(baselines[np.argmax(finals[baselines])]) if len(baselines) else int(full[np.argmin(finals[full])])
    baseline = Entrant(BASELINE, float(finals[base]), {})
    race = rules.start(list(entrants.values()), baseline, runs)
    while True:
        race, wanted = rules.advance(race, list(entrants.values()), baseline)
        if not wanted:
            break
        for run in wanted:
            of, slot = (baseline, base) if run.number == BASELINE else (entrants[run.number], run.number)
            assert isinstance(of.fresh, dict)
            of.fresh[run.round] = float(drawn.fresh[slot, (run.round - 1) % drawn.fresh.shape[1]])
    ran = [one for one in entrants.values() if one.fresh] or list(entrants.values())
    return float(drawn.truth[rules.by_belief(ran, race.center)[0].number])


def table(name: str, found: Mapping[str, list[Row]]) -> list[str]:
    """The rows as Markdown."""
    lines = [f"\n{name}: {len(found[DEFAULT])} studies. Regret in points (less that of {DEFAULT})"]
    uses = "".join(f" {size}, {use} |" for size in SIZES for use in ("trials", "runs"))
    lines += [f"| rule | epochs | trials |{uses} all, trials |", "|---|--:|--:|" + "--:|" * (2 * len(SIZES) + 1)]
    for rule, rows in found.items():
        cells = [_cell(rows, found[DEFAULT], (f"{s} {use}",)) for s in SIZES for use in ("trials", "runs")]
        cells.append(_cell(rows, found[DEFAULT], tuple(f"{s} trials" for s in SIZES)))
        share = np.mean([row.get("50 epochs", np.nan) for row in rows])
        count = "/".join(f"{np.mean([row[f'{s} count'] for row in rows]):.0f}" for s in SIZES)
        lines.append(f"| {rule} | {share:.2f} | {count} | " + " | ".join(cells) + " |")
    return lines


def summary(found: Mapping[str, Mapping[str, list[Row]]]) -> list[str]:
    """A row per rule: its regret with further trials, the mean over the sizes, by world; and what it is worse by.

    The last two columns are the means over the worlds of the differences from the default rule.
    """
    names = list(next(iter(found.values())))
    keys = {use: tuple(f"{size} {use}" for size in SIZES) for use in ("trials", "runs")}
    lines = ["\n| rule | epochs |" + "".join(f" {name} |" for name in found) + " worse, trials | worse, runs |"]
    lines += ["|---|--:|" + "--:|" * (len(found) + 2)]
    for rule in names:
        shares = [row.get("50 epochs", np.nan) for rows in found.values() for row in rows[rule]]
        cells = [_cell(rows[rule], rows[rule], keys["trials"]) for rows in found.values()]
        for use in keys.values():
            pairs = [_apart(rows[rule], rows[DEFAULT], use) for rows in found.values() if use[0] in rows[rule][0]]
            apart = [(pair.mean(), pair.var(ddof=1) / len(pair)) for pair in pairs]
            if not apart or rule == DEFAULT:
                cells.append("")
                continue
            mean, error = np.mean([m for m, _ in apart]), sum(v for _, v in apart) ** 0.5 / len(apart)
            cells.append(f"{mean:+.3f} ± {error:.3f}")
        lines.append(f"| {rule} | {np.mean(shares):.2f} | " + " | ".join(cells) + " |")
    return lines


def _apart(rows: list[Row], usual: list[Row], keys: tuple[str, ...]) -> np.ndarray:
    """The difference of each study, the mean over its sizes."""
    own, other = (np.mean([[row[key] for key in keys] for row in one], axis=1) for one in (rows, usual))
    return own - other


def _cell(rows: list[Row], usual: list[Row], keys: tuple[str, ...]) -> str:
    if keys[0] not in rows[0]:
        return ""
    own, apart = np.mean([[row[key] for key in keys] for row in rows], axis=1), _apart(rows, usual, keys)
    error = own.std(ddof=1) / len(own) ** 0.5
    difference = f" ({apart.mean():+.2f} ± {apart.std(ddof=1) / len(own) ** 0.5:.2f})" if rows is not usual else ""
    return f"{own.mean():.2f} ± {error:.2f}{difference}"


if __name__ == "__main__":
    main()
