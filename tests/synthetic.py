"""Optuna studies in memory whose truth is known, written with regstudy's attributes; no training.

The gap of a trial is 0.20 minus, for each regularizer in ``effects``, effect × strength (scaled to 0..1) plus noise;
the learning rate costs validation and training accuracy alike; everything not in ``effects`` is a placebo.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from regstudy.records import EpochRecord, dump_records
from regstudy.study import attributes

REGULARIZERS: dict[str, Any] = {
    "model.dropout": 0.0,
    "regularization.l2": 0.0,
    "regularization.l1": 0.0,
    "regularization.label_smoothing": 0.0,
    "augmentation.strength": 0.0,
}
SPACE: dict[str, BaseDistribution] = {
    "optimizer.lr": FloatDistribution(1e-4, 1e-2, log=True),
    "training.batch_size": IntDistribution(5, 8),
    "schedule": CategoricalDistribution(["constant", "step", "cosine"]),
    "schedule.step.gamma": FloatDistribution(0.1, 0.7, log=True),
    "model.dropout": FloatDistribution(0.0, 0.6),
    "regularization.l2.on": CategoricalDistribution([True, False]),
    "regularization.l2": FloatDistribution(1e-6, 1e-2, log=True),
    "regularization.l1.on": CategoricalDistribution([True, False]),
    "regularization.l1": FloatDistribution(1e-7, 1e-4, log=True),
    "regularization.label_smoothing": FloatDistribution(0.0, 0.2),
    "augmentation.strength": FloatDistribution(0.0, 1.0),
}
DATA: dict[str, Any] = {
    "name": "digits",
    "requested": "digits",
    "fallback_reason": None,
    "classes": [str(digit) for digit in range(10)],
    "train": 1000,
    "clean_train": 400,
    "validation": 400,
    "split_hash": "9f2c1ab04e7d",
    "split_seed": 123,
}


def make_study(
    trials: int = 50,
    *,
    baseline: int = 5,
    seed: int = 0,
    name: str = "digits_small_cnn",
    effects: Mapping[str, float] | None = None,
    noise: float = 0.012,
    prune: float = 0.25,
    diverged: int = 0,
    failed: int = 0,
    underfit: int = 0,
    epochs: int = 30,
    data: Mapping[str, Any] | None = None,
    cut_above: tuple[str, float] | None = None,
) -> optuna.Study:
    """A study of ``trials``: first the baseline arm, then the search arm with the asked oddities at its start.

    ``prune``: share of the search arm, worst first, cut at two fifths of its epochs; ``underfit``: trials whose
    training accuracy collapses together with their gap; ``failed``: crashes. ``cut_above``: instead of the worst, all
    search trials are cut that have a parameter above a value, whatever they would have reached. Random sampling, so no
    drift.
    """
    rng = np.random.default_rng(seed)
    study = optuna.create_study(study_name=name, direction="maximize")
    facts = {
        attributes.SPACE_NAME: "small_cnn",
        attributes.METRIC: "val_accuracy",
        attributes.EPOCHS_PLANNED: epochs,
        attributes.REGULARIZERS: REGULARIZERS,
        attributes.NUISANCES: ["optimizer.lr", "training.batch_size", "schedule"],
        attributes.DATA: {**DATA, **(data or {})},
        attributes.SEED: seed,
        attributes.COMMAND: f"regstudy study --space small_cnn --trials {trials} --study '{name}'",
        attributes.VERSIONS: {"regstudy": "0.1.0", "torch": "2.14.1", "device": "cpu", "threads": 2},
    }
    for key, value in facts.items():
        study.set_user_attr(key, value)
    effects = {"model.dropout": 0.09, "augmentation.strength": 0.06} if effects is None else effects
    drawn = [draw(rng, baseline=slot < baseline) for slot in range(trials)]
    scores = [final(params, effects, rng, noise) for params in drawn]
    search = sorted(range(baseline, trials), key=lambda i: scores[i][1])
    cut = set(search[: round(prune * len(search))])
    if cut_above is not None:
        cut = {i for i in search if drawn[i].get(cut_above[0], -math.inf) > cut_above[1]}
    odd = iter(range(baseline, trials))
    kinds = {next(odd): kind for kind in ["failed"] * failed + ["diverged"] * diverged + ["underfit"] * underfit}
    for slot, params in enumerate(drawn):
        kind = kinds.get(slot, "pruned" if slot in cut else "complete")
        arm = "baseline" if slot < baseline else "search"
        study.add_trial(_trial(slot, arm, kind, params, scores[slot], epochs, rng))
    return study


def draw(rng: np.random.Generator, *, baseline: bool) -> dict[str, Any]:
    """Parameters of one trial; in the baseline every regularizer is at its null."""
    schedule = str(rng.choice(["constant", "step", "cosine"]))
    params: dict[str, Any] = {
        "optimizer.lr": float(10 ** rng.uniform(-4, -2)),
        "training.batch_size": int(rng.integers(5, 9)),
        "schedule": schedule,
        "model.dropout": 0.0 if baseline else float(rng.uniform(0, 0.6)),
        "regularization.label_smoothing": 0.0 if baseline else float(rng.uniform(0, 0.2)),
        "augmentation.strength": 0.0 if baseline else float(rng.uniform(0, 1)),
    }
    if schedule == "step":
        params["schedule.step.gamma"] = float(10 ** rng.uniform(-1, math.log10(0.7)))
    for path, low, high in (("regularization.l2", -6, -2), ("regularization.l1", -7, -4)):
        params[path + ".on"] = bool(not baseline and rng.random() < 0.6)
        if params[path + ".on"]:
            params[path] = float(10 ** rng.uniform(low, high))
    return params


def final(
    params: Mapping[str, Any], effects: Mapping[str, float], rng: np.random.Generator, noise: float
) -> tuple[float, float]:
    """Final clean-train and validation accuracy."""
    scale = {"model.dropout": 0.6, "regularization.label_smoothing": 0.2, "augmentation.strength": 1.0}
    gap = 0.20 + rng.normal(0, noise)
    for path, effect in effects.items():
        if path in scale:
            gap -= effect * params[path] / scale[path]
        elif path in params:
            space = SPACE[path]
            assert isinstance(space, FloatDistribution)
            gap -= effect * math.log(params[path] / space.low) / math.log(space.high / space.low)
    cost = 0.02 * (math.log10(params["optimizer.lr"]) + 3) ** 2
    clean = min(1.0, 0.99 - cost + rng.normal(0, 0.004))
    return clean, min(1.0, max(0.1, clean - gap))


def config_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """The resolved run configuration, nested as in the real product."""
    schedule: dict[str, Any] = {"name": params["schedule"]}
    if "schedule.step.gamma" in params:
        schedule |= {"step_size": 5, "gamma": params["schedule.step.gamma"]}
    return {
        "data": {"name": "digits", "split_seed": 123},
        "model": {"name": "small_cnn", "dropout": params["model.dropout"]},
        "optimizer": {"name": "adamw", "lr": params["optimizer.lr"]},
        "regularization": {
            "l2": params.get("regularization.l2", 0.0),
            "l1": params.get("regularization.l1", 0.0),
            "label_smoothing": params["regularization.label_smoothing"],
        },
        "schedule": schedule,
        "augmentation": {"strength": params["augmentation.strength"], "ops": ["crop", "rotate"]},
        "training": {"batch_size": 2 ** params["training.batch_size"], "epochs": 30, "seed": 7},
    }


def curve(clean: float, val: float, ran: int, planned: int, rng: np.random.Generator) -> list[EpochRecord]:
    """Saturating curves that end near the given accuracies; losses follow from the accuracies."""
    records = []
    for epoch in range(1, ran + 1):
        share = 1 - math.exp(-4.5 * epoch / planned)
        clean_now = 0.1 + (clean - 0.1) * share
        val_now = 0.1 + (val - 0.1) * (1 - math.exp(-6 * epoch / planned)) + rng.normal(0, 0.004)
        val_now = min(max(val_now, 0.0), clean_now)
        train_now = clean_now - 0.05
        losses = (2.4 * (1 - train_now), 2.2 * (1 - clean_now), 2.2 * (1 - val_now) * (1 + 0.4 * epoch / planned))
        records.append(
            EpochRecord(epoch, losses[0], train_now, losses[1], clean_now, losses[2], val_now, 1e-3, 1.2, 2.5)
        )
    return records


def _trial(
    slot: int,
    arm: str,
    kind: str,
    params: dict[str, Any],
    score: tuple[float, float],
    epochs: int,
    rng: np.random.Generator,
) -> FrozenTrial:
    clean, val = score
    if kind == "underfit":
        clean, val = 0.62, 0.61
    ran = {"pruned": max(1, epochs * 2 // 5), "diverged": 2, "failed": 3}.get(kind, epochs)
    records = curve(clean, val, ran, epochs, rng)
    if kind == "diverged":
        last = records[-1]
        records[-1] = EpochRecord(2, math.nan, last.train_accuracy, math.nan, 0.1, math.nan, 0.1, 1e-3, math.inf, 2.5)
    top = max(records, key=lambda record: record.val_accuracy)
    best_epoch, best_value = (0, 0.1) if kind == "diverged" else (top.epoch, top.val_accuracy)
    reasons = {
        "pruned": f"behind 8 of 9 peers at epoch {ran} and stalled: forecast 0.71, worth having from 0.80",
        "diverged": "the training loss was not finite in epoch 2",
        "failed": "MemoryError: could not allocate 1.2 GB",
    }
    outcome = {"pruned": "pruned", "diverged": "diverged", "failed": None}.get(kind, "finished")
    attrs: dict[str, Any] = {
        attributes.SLOT: slot,
        attributes.ARM: arm,
        attributes.CONFIG: config_of(params),
        attributes.EPOCHS: dump_records(records),
        attributes.REASON: reasons.get(kind, "all planned epochs were run"),
    }
    if outcome is not None:
        attrs |= {
            attributes.OUTCOME: outcome,
            attributes.BEST_EPOCH: best_epoch,
            attributes.BEST_VALUE: best_value,
        }
    state = {"pruned": TrialState.PRUNED, "failed": TrialState.FAIL}.get(kind, TrialState.COMPLETE)
    return optuna.create_trial(
        state=state,
        value=None if state == TrialState.FAIL else (records[-1].val_accuracy if kind == "pruned" else best_value),
        params=params,
        distributions={name: SPACE[name] for name in params},
        user_attrs=attrs,
        intermediate_values={record.epoch: record.val_accuracy for record in records},
    )
