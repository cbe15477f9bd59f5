"""Replays pruners on recorded learning curves: what each one saves, and how many good trials it prunes.

    python benchmarks/pruners.py [--banks digits …] [--metric val_accuracy|val_loss] [--orders 24] [--html FILE]

The banks are `benchmarks/banks/*.jsonl`, recorded without pruning by `curve_bank.py`. A replay draws 100 runs of a bank
in random order and reports their curves, epoch by epoch, to a real in-memory Optuna study with the pruner under test.
Every pruner is replayed at several levels of strictness; the first one is its usual setting. `k epochs` trains every
run for k epochs and then the best fifth to the end.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from curve_bank import BANKS, read_bank
from optuna.pruners import BasePruner

from regstudy.search.pruner import SignalPruner

TRIALS = 100  # per replay
TOP, GOOD, EARLY = 0.05, 0.25, 0.2  # shares: of the true best, of the good ones, of the budget at which slowness counts
KEPT = 0.2  # by `k epochs`
COSTS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # at which the pruners' harms are compared
OPTUNA = ("median", "percentile", "halving", "hyperband", "patient")

STRICTNESS: dict[str, tuple[Any, ...]] = {
    "none": (None,),
    "median, as it is": (None,),
    "median": (0.1, 0.0, 0.2, 0.3, 0.45, 0.6),  # share of the epochs that is warm-up
    "percentile": (25.0, 50.0, 35.0, 15.0, 8.0, 3.0),  # share of the values at an epoch that is too low
    "halving": ((1, 4), (2, 3), (4, 3), (8, 2), (12, 2), (20, 2)),  # first rung in epochs, reduction factor
    "hyperband": ((1, 3), (2, 3), (4, 3), (8, 2), (12, 2), (20, 2)),
    "patient": (5, 1, 3, 8, 12, 16),
    "signal": (None, 0.9, 0.6, 0.4, 0.25, 0.15, 0.1, 0.03, 0.01),  # chance below which a trial is cut
    "k epochs": (8, 4, 12, 16, 22),
}

PRUNERS: dict[str, Callable[[Any, int], BasePruner]] = {
    "none": lambda *_: optuna.pruners.NopPruner(),
    "median, as it is": lambda *_: optuna.pruners.MedianPruner(),
    "median": lambda share, epochs: optuna.pruners.MedianPruner(n_warmup_steps=round(share * epochs), n_min_trials=5),
    "percentile": lambda p, epochs: optuna.pruners.PercentilePruner(
        100 - p, n_warmup_steps=round(0.1 * epochs), n_min_trials=5
    ),
    "halving": lambda rung, _: optuna.pruners.SuccessiveHalvingPruner(rung[0], rung[1]),
    "hyperband": lambda rung, epochs: optuna.pruners.HyperbandPruner(rung[0], epochs, rung[1]),
    "patient": lambda patience, epochs: optuna.pruners.PatientPruner(
        optuna.pruners.MedianPruner(n_warmup_steps=round(0.1 * epochs), n_min_trials=5), patience
    ),
    "signal": lambda chance, epochs: SignalPruner(epochs, **({} if chance is None else {"chance": chance})),
}


@dataclass(frozen=True)
class Bank:
    """``curves``: (runs, epochs), larger is better unless ``maximize`` is False; ``strength``: of regularization."""

    curves: np.ndarray
    strength: np.ndarray
    maximize: bool


@dataclass(frozen=True)
class Harm:
    """What one replay came to; shares in 0..1, NaN if there was nobody to cut."""

    cost: float  # epochs spent, as a share of all
    top_cut: float  # share of the true top 5 % that was cut
    slow_cut: float  # of slow starters: lower half at 20 % of the budget, top quarter at the end
    regret: float  # of the best value found, in interquartile ranges of the finals
    strong_cut: float  # of the top quarter's more strongly regularized half
    weak_cut: float  # of its other half
    slow: int  # slow starters there were


def main() -> None:
    """Replay everything, print tables and goals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--banks", nargs="*", default=sorted(path.stem for path in BANKS.glob("*.jsonl")))
    parser.add_argument("--metric", choices=("val_accuracy", "val_loss"), default="val_accuracy")
    parser.add_argument("--pruners", nargs="*", choices=STRICTNESS, default=list(STRICTNESS))
    parser.add_argument("--orders", type=int, default=24)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--html", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = {}
    with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
        for name in given.banks:
            settings = [(pruner, at) for pruner in given.pruners for at in range(len(STRICTNESS[pruner]))]
            tasks = [(pruner, at, seed) for pruner, at in settings for seed in range(given.orders)]
            harms = pool.map(partial(replay, name, given.metric), tasks, chunksize=4)
            by_setting = {key: [h for task, h in zip(tasks, harms, strict=True) if task[:2] == key] for key in settings}
            found[name] = {key: average(replays) for key, replays in by_setting.items()}
            print("\n".join(lines(name, given, found[name])), flush=True)
    if given.json:
        plain = {name: {f"{p} {STRICTNESS[p][at]}": asdict(h) for (p, at), h in f.items()} for name, f in found.items()}
        given.json.write_text(json.dumps(plain, indent=1))
    if given.html:
        draw(found, given.html)


@cache
def load(name: str, metric: str) -> Bank:
    """A bank; the strength of a run is the mean percentile of its regularizers' values, 0 where one is off."""
    lines = read_bank(BANKS / f"{name}.jsonl")
    names = {key for line in lines for key in line["params"] if is_regularizer(key)}
    values = {key: np.array([float(line["params"].get(key, 0.0)) for line in lines]) for key in sorted(names)}
    places = [np.array([np.mean(column < value) for value in column]) for column in values.values()]
    curves = np.array([line[metric] for line in lines])
    curves = np.where(np.isfinite(curves), curves, 0.0 if metric == "val_accuracy" else 1e3)
    return Bank(curves, np.mean(places, axis=0), metric == "val_accuracy")


def is_regularizer(name: str) -> bool:
    """Whether a parameter's value says how strong a regularizer is."""
    return name in ("model.dropout", "augmentation.strength") or (
        name.startswith("regularization.") and not name.endswith(".on")
    )


def replay(bank: str, metric: str, task: tuple[str, int, int]) -> Harm:
    """One pruner at one strictness over one order of a bank's runs."""
    name, at, seed = task
    loaded = load(bank, metric)
    chosen = np.random.default_rng(seed).permutation(len(loaded.curves))[:TRIALS]
    curves, strictness = loaded.curves[chosen], STRICTNESS[name][at]
    if name == "k epochs":
        lengths = short_then_best(curves, strictness, loaded.maximize)
    else:
        pruner = PRUNERS[name](strictness, curves.shape[1])
        lengths = study_lengths(curves, pruner, loaded.maximize, seed)
    return judge(curves, lengths, loaded.strength[chosen], loaded.maximize)


def study_lengths(curves: np.ndarray, pruner: BasePruner, maximize: bool, seed: int) -> np.ndarray:
    """How many epochs each run is given by a pruner in a study of its own: (runs,)."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    study = optuna.create_study(
        study_name=f"order {seed}",
        direction="maximize" if maximize else "minimize",
        pruner=pruner,
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    best = np.maximum.accumulate(curves, axis=1) if maximize else np.minimum.accumulate(curves, axis=1)
    lengths = np.full(len(curves), curves.shape[1])
    for run, curve in enumerate(curves):
        trial = study.ask()
        for epoch, value in enumerate(curve, start=1):
            trial.report(float(value), epoch)
            if epoch < len(curve) and trial.should_prune():
                lengths[run] = epoch
                break
        cut = lengths[run] < len(curve)
        study.tell(trial, None if cut else best[run, -1], optuna.trial.TrialState.PRUNED if cut else None)
    return lengths


def short_then_best(curves: np.ndarray, k: int, maximize: bool) -> np.ndarray:
    """Everyone k epochs, then the best fifth of them by what they had reached to the end: (runs,)."""
    reached = np.max(curves[:, :k], axis=1) if maximize else -np.min(curves[:, :k], axis=1)
    best = np.argsort(-reached)[: round(KEPT * len(curves))]
    lengths = np.full(len(curves), k)
    lengths[best] = curves.shape[1]
    return lengths


def judge(curves: np.ndarray, lengths: np.ndarray, strength: np.ndarray, maximize: bool) -> Harm:
    """What it means that runs were ended after ``lengths`` epochs."""
    count, epochs = curves.shape
    best = np.maximum.accumulate(curves if maximize else -curves, axis=1)
    finals, cut = best[:, -1], lengths < epochs
    ranks, early = (np.argsort(np.argsort(-values)) / count for values in (finals, best[:, round(EARLY * epochs) - 1]))
    good, slow = ranks < GOOD, (ranks < GOOD) & (early >= 0.5)
    strong = strength > np.median(strength[good])
    spread = float(np.subtract(*np.percentile(finals, [75, 25])))
    found = float(np.max(finals[~cut])) if (~cut).any() else float(np.min(finals))
    return Harm(
        cost=float(lengths.sum() / (count * epochs)),
        top_cut=share(cut[ranks < TOP]),
        slow_cut=share(cut[slow]),
        regret=(float(finals.max()) - found) / spread,
        strong_cut=share(cut[good & strong]),
        weak_cut=share(cut[good & ~strong]),
        slow=int(slow.sum()),
    )


def share(cut: np.ndarray) -> float:
    """Mean of flags, NaN of none."""
    return float(cut.mean()) if len(cut) else float("nan")


def average(harms: list[Harm]) -> Harm:
    """Mean over orders; orders without a slow starter say nothing about those."""
    return Harm(**{name: float(np.nanmean([getattr(h, name) for h in harms])) for name in asdict(harms[0])})


def lines(bank: str, given: argparse.Namespace, found: dict[tuple[str, int], Harm]) -> Iterator[str]:
    """The table of a bank, and each cost's comparison."""
    yield f"\n{bank}, {given.metric}: {given.orders} orders of {TRIALS} runs"
    yield f"{'pruner':<28}{'epochs':>8}{'top 5 % cut':>13}{'slow cut':>10}{'regret':>9}{'strong / weak cut':>19}"
    for (name, at), harm in found.items():
        strictness = STRICTNESS[name][at]
        label = name if strictness is None else f"{name} {strictness}"
        sides = f"{harm.strong_cut:.0%} / {harm.weak_cut:.0%}"
        yield (f"{label:<28}{harm.cost:>8.2f}{harm.top_cut:>13.1%}{harm.slow_cut:>10.0%}{harm.regret:>9.3f}{sides:>19}")
    yield f"slow starters per order: {next(iter(found.values())).slow:.1f}"
    yield f"{'epochs':<28}" + "".join(f"{cost:>8.1f}" for cost in COSTS)
    for measure in ("top_cut", "slow_cut", "regret"):
        for label, names in (("Optuna's best", OPTUNA), ("signal", ("signal",)), ("k epochs", ("k epochs",))):
            points = [(h.cost, getattr(h, measure)) for (name, _), h in found.items() if name in names]
            if points:
                row = "".join(f"{lowest(points, cost):>8.3f}" for cost in COSTS)
                yield f"{measure + ', ' + label:<28}" + row
    yield from goals(found)


def goals(found: dict[tuple[str, int], Harm]) -> Iterator[str]:
    """What a pruner should reach, and whether `signal` does."""

    def least(names: tuple[str, ...], measure: str, cost: float) -> float:
        return lowest([(h.cost, getattr(h, measure)) for (name, _), h in found.items() if name in names], cost)

    wanted = (("top_cut", 0.4, 0.05), ("slow_cut", 0.4, 0.6), ("regret", 0.4, 0.01), ("slow_cut", 0.6, 0.25))
    for measure, cost, limit in wanted:
        value = least(("signal",), measure, cost)
        yield f"goal: {measure} at {cost:.2f} at most {limit:.2f}: {value:.3f}, {'met' if value <= limit else 'missed'}"
    for cost in COSTS:
        mine, peers = least(("signal",), "top_cut", cost), least(OPTUNA, "top_cut", cost)
        verdict = "met" if mine <= peers / 2 else "missed"
        yield f"goal: top_cut at {cost:.2f} at most half of Optuna's best {peers:.3f}: {mine:.3f}, {verdict}"
    usual = found.get(("signal", 0))
    if usual:
        apart = abs(usual.strong_cut - usual.weak_cut)
        verdict = "met" if apart <= 0.1 else "missed"
        yield f"goal: strong and weak cut rates at most 0.10 apart: {apart:.3f}, {verdict}"


def lowest(points: list[tuple[float, float]], cost: float) -> float:
    """The least harm that is to be had at a cost: by any point that is cheaper, or by mixing two points."""
    below, above = [p for p in points if p[0] <= cost], [p for p in points if p[0] > cost]
    mixed = [a[1] + (b[1] - a[1]) * (cost - a[0]) / (b[0] - a[0]) for a in below for b in above]
    return min([p[1] for p in below] + mixed, default=float("nan"))


def draw(found: dict[str, dict[tuple[str, int], Harm]], file: Path) -> None:
    """The cost–harm curves of all pruners as one page."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=len(found), subplot_titles=list(found), shared_yaxes=True)
    for column, (_, harms) in enumerate(found.items(), start=1):
        for name in dict.fromkeys(name for name, _ in harms):
            points = sorted((h.cost, h.top_cut) for (other, _), h in harms.items() if other == name)
            figure.add_scatter(
                x=[p[0] for p in points], y=[p[1] for p in points], name=name, mode="lines+markers",
                legendgroup=name, showlegend=column == 1, row=1, col=column,
            )  # fmt: skip
        figure.update_xaxes(title="epochs spent (share of all)", row=1, col=column)
    figure.update_yaxes(title="true top 5 % cut (share)", row=1, col=1)
    figure.update_layout(title="What pruning saves and what it costs")
    assert isinstance(figure, go.Figure)
    figure.write_html(file, include_plotlyjs=True)


if __name__ == "__main__":
    main()
