"""How long `regstudy report` takes and how large its page gets, by the number of trials in the study.

    python benchmarks/report.py [--trials 200 1000 10000] [--epochs 30] [--json FILE]

Each study is simulated (no training), written to a SQLite file, and read back as the command would: "load" is opening
the file and making the tables, "analyse" is the gap, the importances, and their permutation null, and "render" is
sections, figures, and all files. Curves saturate with noise, and a quarter of the trials is pruned at two fifths.
Optuna writes the first 200 trials; the others are copies of these under their own numbers, made inside the database,
because Optuna takes 0.1 s to write one.
"""

from __future__ import annotations

import argparse
import json
import math
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from regstudy.records import EpochRecord, dump_records
from regstudy.report import page
from regstudy.study import attributes
from regstudy.study.storage import open_storage

SPACE: dict[str, BaseDistribution] = {
    "optimizer.lr": FloatDistribution(1e-4, 1e-2, log=True),
    "training.batch_size": IntDistribution(5, 8),
    "schedule": CategoricalDistribution(["constant", "step", "cosine"]),
    "model.dropout": FloatDistribution(0.0, 0.6),
    "regularization.l2.on": CategoricalDistribution([True, False]),
    "regularization.l2": FloatDistribution(1e-6, 1e-2, log=True),
    "regularization.l1.on": CategoricalDistribution([True, False]),
    "regularization.l1": FloatDistribution(1e-7, 1e-4, log=True),
    "regularization.label_smoothing": FloatDistribution(0.0, 0.2),
    "augmentation.strength": FloatDistribution(0.0, 1.0),
}
STRENGTHS = ["model.dropout", "regularization.l2", "regularization.l1", "regularization.label_smoothing"]
FACTS: dict[str, Any] = {
    attributes.SPACE_NAME: "made_up",
    attributes.METRIC: "val_accuracy",
    attributes.REGULARIZERS: dict.fromkeys([*STRENGTHS, "augmentation.strength"], 0.0),
    attributes.NUISANCES: ["optimizer.lr", "training.batch_size", "schedule"],
    attributes.DATA: {"name": "digits", "requested": "digits", "train": 1000, "validation": 400, "split_hash": "9f2c"},
    attributes.SEED: 0,
    attributes.COMMAND: "python benchmarks/report.py",
}
WRITTEN = 200  # trials, before copies
SETTINGS = {f"part{i}.setting{j}": i + j for i in range(6) for j in range(6)}  # as many as a resolved configuration
spent: Counter[str] = Counter()


def main() -> None:
    """Make each study, report on it and print a row per size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[200, 1000, 10000])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    page.load_tables = timed("tables", page.load_tables)  # type: ignore[attr-defined]
    page.find = timed("find", page.find)
    rows = []
    print(f"{given.epochs} epochs per trial; seconds")
    print(f"{'trials':>7}{'load':>8}{'analyse':>9}{'render':>8}{'all':>8}{'page, MB':>10}{'epochs.csv, MB':>16}")
    for trials in given.trials:
        with tempfile.TemporaryDirectory() as folder:
            row = measure(trials, given.epochs, Path(folder))
        rows.append(row)
        seconds = "".join(f"{row[part]:>{width}.2f}" for part, width in (("load", 8), ("analyse", 9), ("render", 8)))
        print(f"{trials:>7}{seconds}{row['all']:>8.2f}{row['page']:>10.2f}{row['epochs']:>16.2f}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def measure(trials: int, epochs: int, folder: Path) -> dict[str, float]:
    """Seconds of each part and megabytes of what is written, for one study."""
    url = f"sqlite:///{folder / 'study.db'}"
    write_study(url, trials, epochs)
    spent.clear()
    began = time.perf_counter()
    study = optuna.load_study(study_name="made_up", storage=open_storage(url))
    opened = time.perf_counter() - began
    written = page.write_report(study, folder)
    whole = time.perf_counter() - began
    return {
        "trials": trials,
        "load": opened + spent["tables"],
        "analyse": spent["find"] - spent["tables"],
        "render": whole - opened - spent["find"],
        "all": whole,
        "page": written.stat().st_size / 1e6,
        "epochs": (folder / "epochs.csv").stat().st_size / 1e6,
    }


def write_study(url: str, trials: int, epochs: int) -> None:
    """A study of made-up trials, the first tenth (at most 20) of them the baseline arm."""
    rng = np.random.default_rng(0)
    study = optuna.create_study(study_name="made_up", storage=url, direction="maximize")
    for key, value in (FACTS | {attributes.EPOCHS_PLANNED: epochs}).items():
        study.set_user_attr(key, value)
    study.add_trials([made_up_trial(i, i < min(20, trials // 10), epochs, rng) for i in range(min(trials, WRITTEN))])
    if trials > WRITTEN:
        copy_trials(Path(url.removeprefix("sqlite:///")), trials)


def copy_trials(file: Path, trials: int) -> None:
    """Copies of the trials of the only study of a database, in order, until there are so many."""
    with closing(sqlite3.connect(file)) as database:
        ids = [row[0] for row in database.execute("SELECT trial_id FROM trials ORDER BY number")]
        base = max(ids) + 1 - len(ids)  # a copy's id is its number and this
        parts = ["trial_params", "trial_values", "trial_intermediate_values", "trial_user_attributes"]
        columns = {
            table: [row[1] for row in database.execute(f"PRAGMA table_info({table})") if not row[5]]
            for table in ["trials", *parts]
        }
        for number in range(len(ids), trials):
            new = {"trial_id": base + number, "number": number}
            database.execute(
                f"INSERT INTO trials (trial_id, {', '.join(columns['trials'])}) SELECT :trial_id, "
                f"{', '.join(':number' if name == 'number' else name for name in columns['trials'])} "
                "FROM trials WHERE trial_id = :source",
                new | {"source": (source := ids[number % len(ids)])},
            )
            for table in parts:
                database.execute(
                    f"INSERT INTO {table} ({', '.join(columns[table])}) SELECT "
                    f"{', '.join(':trial_id' if name == 'trial_id' else name for name in columns[table])} "
                    f"FROM {table} WHERE trial_id = :source",
                    {"trial_id": new["trial_id"], "source": source},
                )
            slot = (str(number), new["trial_id"], attributes.SLOT)
            database.execute("UPDATE trial_user_attributes SET value_json = ? WHERE trial_id = ? AND key = ?", slot)
        database.commit()


def made_up_trial(slot: int, baseline: bool, epochs: int, rng: np.random.Generator) -> FrozenTrial:
    """Dropout and augmentation narrow the gap, the rest does nothing; every fourth trial is cut early."""
    params: dict[str, Any] = {
        "optimizer.lr": float(10 ** rng.uniform(-4, -2)),
        "training.batch_size": int(rng.integers(5, 9)),
        "schedule": str(rng.choice(["constant", "step", "cosine"])),
        "model.dropout": 0.0 if baseline else float(rng.uniform(0, 0.6)),
        "regularization.label_smoothing": 0.0 if baseline else float(rng.uniform(0, 0.2)),
        "augmentation.strength": 0.0 if baseline else float(rng.uniform(0, 1)),
    }
    for path, low, high in (("regularization.l2", -6, -2), ("regularization.l1", -7, -4)):
        params[f"{path}.on"] = bool(not baseline and rng.random() < 0.6)
        if params[f"{path}.on"]:
            params[path] = float(10 ** rng.uniform(low, high))
    cut = not baseline and slot % 4 == 3
    ran = max(1, epochs * 2 // 5) if cut else epochs
    gap = 0.2 - 0.15 * params["model.dropout"] - 0.06 * params["augmentation.strength"] + rng.normal(0, 0.012)
    records = [made_up_record(epoch, epochs, gap, rng) for epoch in range(1, ran + 1)]
    top = max(records, key=lambda record: record.val_accuracy)
    config = dict.fromkeys(STRENGTHS, 0.0) | SETTINGS | {k: v for k, v in params.items() if not k.endswith(".on")}
    begun = datetime(2026, 1, 1) + timedelta(minutes=slot)
    attrs = {
        attributes.SLOT: slot,
        attributes.ARM: "baseline" if baseline else "search",
        attributes.CONFIG: config,
        attributes.EPOCHS: dump_records(records),
        attributes.OUTCOME: "pruned" if cut else "finished",
        attributes.REASON: f"behind 8 of 9 peers at epoch {ran}" if cut else "all planned epochs were run",
        attributes.BEST_EPOCH: top.epoch,
        attributes.BEST_VALUE: top.val_accuracy,
    }
    trial = optuna.create_trial(
        state=TrialState.PRUNED if cut else TrialState.COMPLETE,
        value=top.val_accuracy,
        params=params,
        distributions={name: SPACE[name] for name in params},
        user_attrs=attrs,
        intermediate_values={record.epoch: record.val_accuracy for record in records},
    )
    trial.datetime_start, trial.datetime_complete = begun, begun + timedelta(seconds=ran)
    return trial


def made_up_record(epoch: int, planned: int, gap: float, rng: np.random.Generator) -> EpochRecord:
    """One epoch of a saturating curve with noise."""
    clean = 0.1 + 0.88 * (1 - math.exp(-4.5 * epoch / planned)) + float(rng.normal(0, 0.002))
    val = max(0.0, clean - gap * epoch / planned + float(rng.normal(0, 0.004)))
    noise = float(rng.lognormal(0, 0.05))
    return EpochRecord(epoch, 2.4 * (1 - clean) * noise, clean - 0.05, 2.2 * (1 - clean), clean, 2.2 * (1 - val), val,
                       1e-3, 1.2 * noise, 1.0)  # fmt: skip


def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, its time added up under a name."""

    def measured(*arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            spent[name] += time.perf_counter() - began

    return measured


if __name__ == "__main__":
    main()
