"""What early stopping saves and costs, by the monitored series and the patience.

    python benchmarks/patience.py [--banks digits …] [--studies 200] [--json FILE]

The recorded curves of `benchmarks/banks/*.jsonl`, which ran to the end, are stopped by the rule of
`regstudy.training.early_stopping`, which waits for the schedule as in a run. Per setting: the epochs used, the mean of
what the best accuracy of a curve loses, the share of curves that lose more than half a point, and both for the best
quarter. The last column is the whole study of fidelity.py with the default pruner and equal epochs: the true regret
after the race, where the truth of a configuration is less what it loses by stopping (smoothed over the space).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import fidelity
import numpy as np
import warm_start
from curve_bank import BANKS, read_bank
from fidelity_rules import Signal
from fidelity_world import World, stream, world
from repeat_bank import REPEATS

from regstudy.space.loader import load_space
from regstudy.space.search_space import Parameter, default
from regstudy.training.early_stopping import StoppingRule
from regstudy.training.schedules import first_decay

HURT = 0.5  # points
SETTINGS = [("", None)] + [(series, n) for series in ("val_loss", "val_accuracy") for n in (3, 5, 8, 10, 15)]


def main() -> None:
    """Stop all curves by all rules, print a table per bank."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--banks", nargs="*", default=sorted(path.stem for path in BANKS.glob("*.jsonl")))
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = {}
    for bank in given.banks:
        found[bank] = rows = rows_of(bank, given.studies)
        print(f"\n{bank}: {len(read_bank(BANKS / f'{bank}.jsonl'))} curves, {given.studies} studies")
        print(
            "| monitor | patience | epochs | points lost | hurt | best quarter: epochs | points lost | hurt | regret |"
        )
        print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
        for row in rows:
            apart = np.array(row["regret"]) - np.array(rows[0]["regret"]) if row["regret"] else np.zeros(0)
            regret = f"{np.mean(row['regret']):.2f} ({apart.mean():+.2f} ± {_error(apart):.2f})" if len(apart) else ""
            shares = [f"{row[s]:.2f} | {row[f'{s} lost']:.2f} | {row[f'{s} hurt']:.0%}" for s in ("all", "top")]
            print(f"| {row['monitor']} | {row['patience']} | {' | '.join(shares)} | {regret} |", flush=True)
    if given.json:
        given.json.write_text(json.dumps(found))


def rows_of(bank: str, studies: int) -> list[dict[str, Any]]:
    """A row per setting."""
    lines = read_bank(BANKS / f"{bank}.jsonl")
    series = {name: np.array([line[name] for line in lines], dtype=float) for name in ("val_accuracy", "val_loss")}
    curves = 100 * np.nan_to_num(series["val_accuracy"])
    best, epochs = curves.max(axis=1), curves.shape[1]
    top = np.argsort(-best)[: len(best) // 4]
    waits = graces(bank, lines)
    rows = []
    for monitor, patience in SETTINGS:
        stops = stops_of(series, monitor, patience, waits) if monitor else np.full(len(lines), epochs)
        stopped = np.array([np.r_[c[:n], np.full(epochs - n, c[:n].max())] for c, n in zip(curves, stops, strict=True)])
        lost = best - stopped.max(axis=1)
        row = {"monitor": monitor or "none", "patience": patience or "", "regret": []}
        for name, of in (("all", np.arange(len(best))), ("top", top)):
            row |= {name: float(stops[of].mean() / epochs), f"{name} lost": float(lost[of].mean())}
            row |= {f"{name} hurt": float((lost[of] > HURT).mean())}
        if (REPEATS / f"{bank}.jsonl").exists():
            row["regret"] = regrets(f"banks/{bank}", stopped, stops, lost, studies)
        rows.append(row)
    return rows


def graces(bank: str, lines: list[Mapping[str, Any]]) -> list[int]:
    """For each curve, the epochs that do not count against patience."""
    space = load_space(BANKS / f"{bank}_space.yaml")

    def grace(params: Mapping[str, Any]) -> int:
        def choose(parameter: Parameter) -> Any:
            return params.get(parameter.name, default(parameter))

        return first_decay(space.resolve(choose))

    return [grace(line["params"]) for line in lines]


def stops_of(series: Mapping[str, np.ndarray], monitor: str, patience: int | None, graces: list[int]) -> np.ndarray:
    """After how many epochs each curve is stopped."""
    curves, found = series[monitor], []
    for curve, grace in zip(curves, graces, strict=True):
        rule = StoppingRule(monitor != "val_loss", len(curve), patience, 1e-4, "accepted", grace)
        found.append(next((signal.epoch for signal in rule.signals(list(curve)) if signal.stop), len(curve)))
    return np.array(found)


def regrets(name: str, stopped: np.ndarray, stops: np.ndarray, lost: np.ndarray, studies: int) -> list[float]:
    """Of whole studies, the mean over their sizes."""
    of, best = world(name), world(name).best
    truth = of.truth - np.maximum(_smooth(name, lost), 0.0)
    changed: World = replace(of, curves=stopped, truth=truth, stops=stops)
    found = []
    for seed in range(studies):
        row = fidelity.study(stream(changed, fidelity.LONGEST, seed), Signal(), best)
        found.append(float(np.mean([row[f"{size} trials"] for size in fidelity.SIZES])))
    return found


def _smooth(name: str, values: np.ndarray) -> np.ndarray:
    """Values at a bank's points, smoothed as its truth is."""
    fit = warm_start.world(name)
    kernel = fit.kernel(fit.points)
    ridge = (fit.noise / fit.scale[1]) ** 2 * np.eye(len(values))
    return np.asarray(values.mean() + kernel @ np.linalg.solve(kernel + ridge, values - values.mean()))


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / len(values) ** 0.5)


if __name__ == "__main__":
    main()
