"""What a final training writes: metrics.json grows part by part, and all other files follow from it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save

from regstudy.config.run_config import RunConfig
from regstudy.data.image_set import ImageSet
from regstudy.files import outputs, write_atomically
from regstudy.metrics import CLEAN_TRAIN, GAP, VALIDATION
from regstudy.production.measured_model import (
    MeasuredModel,
    ModelUnderTest,
    before_and_after,
    over_seeds,
    seed_facts,
)
from regstudy.production.model_card import model_card, model_words
from regstudy.production.part_files import write_part_files
from regstudy.production.part_scores import PartScores
from regstudy.production.preprocessing_file import WEIGHTS_FILE
from regstudy.production.reliability_diagram import reliability_svg
from regstudy.production.seed_runs import SeedRun
from regstudy.production.temperature import at_a_bound
from regstudy.production.test_set_log import TestSetLog, opened_test
from regstudy.production.training_folder import (
    CARD_FILE,
    DIAGRAM_FILE,
    EPOCHS_FILE,
    ERRORS_FILE,
    OPENING_FILE,
    member_folder,
    write_metrics,
)
from regstudy.records import EpochRecord, parse_reliability


def epochs_csv(records: Sequence[EpochRecord]) -> str:
    """One line per epoch with all series and the gaps; every number reads back to the same bits.

    What was measured in no epoch has no column.
    """
    table = pd.DataFrame([record.series for record in records])
    missing = [name for name in table if name.startswith((CLEAN_TRAIN, VALIDATION, GAP)) and table[name].isna().all()]
    return str(table.drop(columns=missing).to_csv(index=False, lineterminator="\n"))


def run_facts(one: SeedRun) -> dict[str, Any]:
    """How a training went, with the metrics of the epoch whose weights it keeps."""
    result = one.result
    facts: dict[str, Any] = {
        "outcome": result.outcome,
        "reason": result.reason,
        "epochs": len(result.records),
        "best_epoch": result.best_epoch,
    }
    if result.best_epoch:
        best = result.records[result.best_epoch - 1]
        measured, prefixes = ("train_loss", "train_accuracy"), (CLEAN_TRAIN, VALIDATION, GAP)
        found = {name: value for name, value in best.series.items() if name in measured or name.startswith(prefixes)}
        facts |= {name: value for name, value in found.items() if value == value}
    return facts


def write_run(folder: Path, one: SeedRun) -> None:
    """Write the curve and, unless it diverged, the weights of a training."""
    write_atomically(folder / EPOCHS_FILE, epochs_csv(one.result.records))
    if one.usable:
        write_atomically(folder / WEIGHTS_FILE, save(one.weights, {outputs.KEY: outputs.mark("train")}))
    else:
        (folder / WEIGHTS_FILE).unlink(missing_ok=True)


def write_runs(out: Path, runs: Sequence[SeedRun], kept: SeedRun) -> None:
    """Write the kept training and, of several, each one into its own folder."""
    write_run(out, kept)
    for one in runs if len(runs) > 1 else ():
        write_run(out / member_folder(one.number), one)


def fit_and_add_validation(
    metrics: dict[str, Any], model: ModelUnderTest, images: ImageSet, *, temperature: bool
) -> tuple[ModelUnderTest, PartScores]:
    """Add the validation part to the metrics, after a temperature has been fitted on it if one is wanted."""
    measured = model.on("validation", images)
    if temperature:
        value = measured.fitted_temperature(model.shape)
        model = replace(model, shape=replace(model.shape, temperature=value))
        bound = "The images do not bound it: nearly all answers are right, or all are as good as chance."
        metrics["temperature"] = {"value": value, "note": bound if at_a_bound(value) else ""}
    scores = add_part(metrics, measured, model)
    return model, scores


def add_part(metrics: dict[str, Any], measured: MeasuredModel, model: ModelUnderTest) -> PartScores:
    """Add what a part shows to the metrics: of the model, of each seed, and what the temperature changes."""
    part, scores = measured.part, measured.scores(model.shape)
    facts = scores.facts(model.config)
    metrics.setdefault("calibration", {})[part] = facts.pop("calibration")
    metrics[part] = {**metrics.get(part, {}), **facts}
    if len(model.numbers) > 1:
        by_number = dict(zip(model.numbers, map(seed_facts, measured.seeds), strict=True))
        for entry in metrics["seeds"]:
            if entry["number"] in by_number:
                entry[part] = by_number[entry["number"]]
        metrics.setdefault("over_seeds", {})[part] = over_seeds(list(by_number.values()))
    if "temperature" in metrics:
        metrics["temperature"][part] = before_and_after(measured, model.shape)
    return scores


def measure_test(
    metrics: dict[str, Any], model: ModelUnderTest, log: TestSetLog, out: Path
) -> tuple[dict[str, Any], PartScores | None]:
    """Measure all seeds in one opening of the test set: how that went, and the scores of the model.

    The metrics get the test part only if it was measured and logged.
    """
    found: list[tuple[dict[str, Any], PartScores]] = []

    def measure(images: ImageSet) -> dict[str, Any]:
        added = copy.deepcopy({key: value for key, value in metrics.items() if key != "test"})
        scores = add_part(added, model.on("test", images), model)
        found.append((added, scores))
        logged = {**added["test"], "calibration": added["calibration"]["test"]}
        if len(model.numbers) > 1:
            logged["seeds"] = [one["test"] for one in added["seeds"] if "test" in one]
        return logged

    identity = model.identity(out / OPENING_FILE)
    test = opened_test(model.config.data, log, identity, model.device, measure)
    if not test["images"]:
        return test, None
    added, scores = found[0]
    added["test"] |= {key: test[key] for key in ("hash", "opened", "opening")}
    metrics.update(added)
    return metrics["test"], scores


def write_results(out: Path, config: RunConfig, metrics: Mapping[str, Any], shown: PartScores | None) -> None:
    """Write everything that follows from the metrics, and they last.

    ``shown`` are the scores that the tables and the pictures are about.
    """
    if shown is not None:
        from regstudy.production.error_page import error_page  # loads plotly, which takes half a second

        write_part_files(out, shown)
        write_atomically(out / ERRORS_FILE, error_page(shown, model_words(metrics)))
    if metrics.get("calibration"):
        parts = {name: parse_reliability(facts["bins"]) for name, facts in metrics["calibration"].items()}
        write_atomically(out / DIAGRAM_FILE, reliability_svg(parts))
    write_atomically(out / CARD_FILE, model_card(config, metrics, shown).encode(errors="backslashreplace"))
    write_metrics(out, metrics)


def threads_and_precision(one: SeedRun) -> dict[str, Any]:
    """What else the bits of a training depend on."""
    return {"threads": torch.get_num_threads(), "precision": one.precision}
