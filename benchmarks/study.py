"""Time to result: how soon a study finds a value as good as the final best of another study.

    python benchmarks/study.py [--seeds 3] [--peer plain|none|median|hyperband] [--images FOLDER] [--html FILE]

The other study, the peer, is a plain Optuna script or regstudy with another `--pruner`, which shows the effect of
`signal` pruning. Both search the space of study_space.yaml on the same images, split, machine, and seeds, one after the
other, timed from the start of the interpreter. Results that are already finished under --work are not repeated. FOLDER
holds `cifar10_images.zip`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import optuna
import plain_loop
import torch

from regstudy import data, models
from regstudy.data.image_set import Splits
from regstudy.files import write_atomically
from regstudy.records import parse_records
from regstudy.space.loader import load_space
from regstudy.study import attributes
from regstudy.study.storage import sqlite_url

HERE = Path(__file__).parent
SPACE = HERE / "study_space.yaml"
PEERS = ("plain", "none", "median", "hyperband")
Curve = list[tuple[float, float]]  # seconds since the start, validation accuracy of an epoch


def main() -> None:
    """Run what is missing and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("seeds", 3), ("trials", 30), ("epochs", 30), ("train", 3000), ("workers", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument(
        "--images", type=Path, default=os.environ.get("REGSTUDY_TEST_DATA"), help="folder of the archive"
    )
    parser.add_argument("--work", type=Path, default=Path("results/time_to_answer"))
    parser.add_argument("--peer", choices=PEERS, default="plain", help="the plain script, or regstudy with that pruner")
    parser.add_argument("--html", type=Path, help="write the curves of best-so-far over time")
    given = parser.parse_args()
    given.work = given.work.absolute()
    link = given.work / "data" / "cifar10" / "cifar10_images.zip"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.symlink_to((given.images / link.name).absolute())
    config = load_space(SPACE, [f"data.train_limit={given.train}"]).defaults()
    splits = data.prepare(config.data, given.work / "data")  # decoded once, before anybody's time runs
    loaders = best_loaders(splits) if given.peer == "plain" else 0
    curves = {}
    for seed in range(given.seeds):
        for name in (given.peer, "signal")[:: -1 if seed % 2 else 1]:
            curves[name, seed] = cached(given, name, seed, loaders)
        print(line(given.peer, seed, curves[given.peer, seed], curves["signal", seed]), flush=True)
    shares = [share(curves[given.peer, seed], curves["signal", seed]) for seed in range(given.seeds)]
    print(summary(given.peer, shares))
    if given.html:
        draw(curves, given.html)


def best_loaders(splits: Splits) -> int:
    """How many loading processes make the plain loop fastest here, with batches of 32."""
    model = models.dropout_cnn(3, 32, 10)
    optimizer = torch.optim.Adam(model.parameters())
    train, transform = splits.train, plain_loop.training_transform(32, 32, flip=0.5)
    return plain_loop.fastest_workers(
        lambda count: plain_loop.loader(train.images, train.labels, transform, 32, True, count),
        lambda batches: plain_loop.train_epoch(model, batches, optimizer),
    )


def share(peer: Curve, mine: Curve) -> float:
    """When regstudy had the peer's final best, as a share of the peer's whole time; infinite if it never had."""
    first = reached(mine, goal(peer))
    return math.inf if first is None else first / peer[-1][0]


def summary(peer: str, shares: list[float]) -> str:
    """The median over seeds with its range; a seed that never got there counts as infinite."""
    never = sum(map(math.isinf, shares))
    middle = f"median {median(shares):.2f} ({min(shares):.2f} to {max(shares):.2f})"
    return f"share of the whole time of {peer} until its final best: {middle}; {never} of {len(shares)} seeds never"


def cached(given: argparse.Namespace, name: str, seed: int, loaders: int) -> Curve:
    """A contestant's epochs, from the file that its run left or from a run."""
    file = given.work / f"{name}_{seed}_{given.trials}x{given.epochs}x{given.train}_{given.workers}.json"
    if not file.exists():
        curve = plain(given, seed, loaders) if name == "plain" else ours(given, seed, name)
        write_atomically(file, json.dumps(curve))
    return [(moment, accuracy) for moment, accuracy in json.loads(file.read_text())]


def plain(given: argparse.Namespace, seed: int, loaders: int) -> Curve:
    """The plain script."""
    log = given.work / f"plain_{seed}.log"
    log.unlink(missing_ok=True)
    began = time.time()
    sizes = ["--trials", str(given.trials), "--epochs", str(given.epochs), "--train", str(given.train)]
    places = ["--seed", str(seed), "--loaders", str(loaders), "--data-dir", str(given.work / "data"), "--log", str(log)]
    subprocess.run([sys.executable, str(HERE / "plain_study.py"), *sizes, *places], check=True)
    lines = [line.split() for line in log.read_text().splitlines()]
    return [(float(moment) - began, float(accuracy)) for moment, accuracy in lines]


def ours(given: argparse.Namespace, seed: int, pruner: str) -> Curve:
    """A regstudy study with a pruner; a trial's epochs share its whole time by their durations."""
    name = f"{pruner}{seed}"
    folder = given.work / "results" / name
    shutil.rmtree(folder, ignore_errors=True)
    sets = [f"study.seed={seed}", f"training.epochs={given.epochs}", f"data.train_limit={given.train}"]
    words = [sys.executable, "-m", "regstudy", "study", "--no-doctor", "--space", str(SPACE), "--study", name]
    words += [
        "--pruner",
        pruner,
        "--trials",
        str(given.trials),
        "--workers",
        str(given.workers),
        "--data-dir",
        str(given.work / "data"),
    ]
    began = time.time()
    subprocess.run([*words, *(word for text in sets for word in ("--set", text))], cwd=given.work, check=True)
    curve: Curve = []
    for trial in optuna.load_study(study_name=name, storage=sqlite_url(folder / "study.db")).trials:
        records = parse_records(trial.user_attrs[attributes.EPOCHS]) if attributes.EPOCHS in trial.user_attrs else []
        if trial.datetime_start is None or trial.datetime_complete is None or not records:
            continue
        whole = (trial.datetime_complete - trial.datetime_start).total_seconds()
        stretch = whole / sum(record.seconds for record in records)
        moment = trial.datetime_start.timestamp() - began
        for record in records:
            moment += record.seconds * stretch
            curve.append((moment, record.val_accuracy))
    return sorted(curve)


def goal(curve: Curve) -> float:
    """The best accuracy of a curve."""
    return max(accuracy for _, accuracy in curve)


def reached(curve: Curve, accuracy: float) -> float | None:
    """The first moment at which an accuracy was reached."""
    return next((moment for moment, value in curve if value >= accuracy), None)


def line(name: str, seed: int, peer: Curve, mine: Curve) -> str:
    """What a seed shows."""
    best, whole = goal(peer), peer[-1][0]
    found, first = reached(peer, best), reached(mine, best)
    text = f"seed {seed}: {name} best {best:.1%} at {found:.0f} s of {whole:.0f} s; signal best {goal(mine):.1%}, "
    if first is None:
        return text + f"never reached {best:.1%} in {mine[-1][0]:.0f} s"
    return text + (
        f"{best:.1%} at {first:.0f} s of {mine[-1][0]:.0f} s: {first / whole:.2f} of the whole time of {name},"
        f" {first / (found or whole):.2f} of the time it took to get there"
    )


def draw(curves: dict[tuple[str, int], Curve], path: Path) -> None:
    """Best validation accuracy so far over time, a line per study."""
    import plotly.graph_objects as go

    figure = go.Figure()
    colors = {"signal": "#2f7fd0"}
    for (name, seed), curve in curves.items():
        best, heights = 0.0, []
        for _, accuracy in curve:
            best = max(best, accuracy)
            heights.append(100 * best)
        moments = [moment for moment, _ in curve]
        style = {"color": colors.get(name, "#8a8a94"), "shape": "hv"}
        figure.add_scatter(x=moments, y=heights, mode="lines", line=style, name=f"{name}, seed {seed}")
    figure.update_layout(template="plotly_white", xaxis_title="time since the start (s)")
    figure.update_layout(yaxis_title="best validation accuracy so far (%)", title="Time to answer")
    write_atomically(path, figure.to_html(include_plotlyjs=True))


if __name__ == "__main__":
    main()
