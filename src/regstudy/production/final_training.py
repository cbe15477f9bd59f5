"""The final training of one configuration: weights, metrics, tables and a card in a folder, one test set evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from regstudy import models
from regstudy.config.run_config import RunConfig
from regstudy.data import check_test, prepare, without_folds
from regstudy.data.image_set import Splits
from regstudy.data.loading_events import Notice, OnProgress, listening
from regstudy.data.preprocessing import pixel_transform
from regstudy.data.preprocessing import prepare as prepare_pixels
from regstudy.metrics import metric
from regstudy.models.libraries import is_own_network
from regstudy.production.classifier import bare_network
from regstudy.production.conversion import remove_outdated
from regstudy.production.measured_model import ModelShape, ModelUnderTest
from regstudy.production.preprocessing_file import (
    WEIGHTS_FILE,
    StoredPreprocessing,
    preprocessing_of,
    write_preprocessing,
)
from regstudy.production.seed_runs import SeedRun, SeedRuns, Trainer, fixed_words
from regstudy.production.test_set_log import UNFINISHED, TestSetLog
from regstudy.production.training_folder import (
    check_start,
    check_training_output,
    config_hash,
    marked,
    member_folder,
    remove_checkpoints,
    remove_stale,
    write_metrics,
)
from regstudy.production.training_request import TrainingRequest
from regstudy.production.training_results import (
    fit_and_add_validation,
    measure_test,
    run_facts,
    threads_and_precision,
    write_results,
    write_runs,
)
from regstudy.production.versions import versions
from regstudy.text import counted
from regstudy.training.loop import OnStep
from regstudy.training.run import OnEpoch

ALONE = TrainingRequest()


def train_finally(
    config: RunConfig,
    data_dir: Path,
    out: Path,
    device: torch.device,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    listen: OnProgress | None = None,
    overwrite: bool = False,
    request: TrainingRequest = ALONE,
) -> dict[str, Any]:
    """Train as requested and write the results into a folder (`training_folder.NAMES`); returns the metrics.

    A configuration with k-fold cross-validation is trained on the usual split (`data.validation`), whose validation
    part chooses the best epoch. An interrupted training resumes from the checkpoints in ``out``. The test set is
    evaluated once, after training, for all seeds together, which is logged in the data directory. If there is no test
    set, or if it cannot be evaluated, the metrics say so. That all of this can be written is checked before training:
    an evaluation that cannot be logged must not happen, and one that is logged must not be lost. DataError before
    training if it can be seen without opening the test set that it cannot be used.
    """
    request.check()
    check_test(config.data)
    log = TestSetLog(data_dir)
    log.check()
    check_training_output(out, overwrite, request.seeds)
    check_start(out, config)
    splits = prepare(without_folds(config.data), data_dir, listen)
    if config.data.resampling != "shared" and listen is not None:
        listen(Notice(f"data.resampling is for studies; this training holds out {_held_out(splits)}."))
    _check_network(config, splits)
    with marked(out, config):
        trained = Trainer(config, splits, device, out, on_epoch, on_step, listen).all_seeds(request)
    kept = trained.kept(config)
    metrics = _metrics(config, request, trained, kept or trained.runs[0], splits, device)
    for path in remove_outdated(out):
        if listen is not None:
            listen(Notice(f"Removed {path}: it held the weights of an earlier training."))
    remove_stale(out, config, len(trained.runs) if len(trained.runs) > 1 else 0)
    write_runs(out, trained.runs, kept or trained.runs[0])
    if kept is None:
        write_metrics(out, metrics)
        remove_checkpoints(out)
        return metrics
    usable = [one for one in trained.runs if one.usable]
    members = _members(request, trained)
    model = _model(config, usable, kept, preprocessing_of(config, trained.splits), device, request)
    shown = None
    if request.holds_out:
        model, shown = fit_and_add_validation(metrics, model, splits.validation, temperature=request.temperature)
    else:
        found = model.on("clean_train", splits.clean_train).scores(model.shape).measured
        metrics["clean_train"] = {"loss": found.loss, "accuracy": found.accuracy, **found.extra}
    write_preprocessing(out, config, trained.splits, temperature=model.shape.temperature, members=members)
    metrics["test"] = {"images": 0, "note": UNFINISHED}  # what stands there should the evaluation be interrupted
    write_results(out, config, metrics, shown)
    with listening(listen):
        metrics["test"], of_test = measure_test(metrics, model, log, out)
    write_results(out, config, metrics, of_test or shown)
    remove_checkpoints(out)
    return metrics


def _check_network(config: RunConfig, splits: Splits) -> None:
    """ConfigError before anything is written if a user's own network does not answer the images."""
    if is_own_network(config.model.name):
        side = prepare_pixels(config.preprocessing, splits.train).side
        shape = splits.train.shape[0], side, len(splits.train.classes)
        models.check_answers(config.model, models.build(config.model, *shape), *shape)


def _held_out(splits: Splits) -> str:
    images = counted(len(splits.validation), "validation image")
    return f"{images} (data.validation) and trains on {len(splits.train):,}"


def _members(request: TrainingRequest, trained: SeedRuns) -> tuple[str, ...]:
    """The files of the weights that make the model."""
    if not request.ensemble:
        return (WEIGHTS_FILE,)
    return tuple(f"{member_folder(one.number)}/{WEIGHTS_FILE}" for one in trained.runs if one.usable)


def _model(
    config: RunConfig,
    usable: Sequence[SeedRun],
    kept: SeedRun,
    facts: StoredPreprocessing,
    device: torch.device,
    request: TrainingRequest,
) -> ModelUnderTest:
    def networks() -> Iterator[nn.Module]:
        network = bare_network(config, facts)
        for one in usable:
            network.load_state_dict(one.weights)
            yield network

    members = tuple(range(len(usable))) if request.ensemble else (usable.index(kept),)
    return ModelUnderTest(
        config,
        pixel_transform(facts.crop, (facts.mean, facts.std), device),
        networks,
        tuple(one.number for one in usable),
        ModelShape(members, facts.positive_number),
        device,
    )


def _metrics(
    config: RunConfig, request: TrainingRequest, trained: SeedRuns, kept: SeedRun, splits: Splits, device: torch.device
) -> dict[str, Any]:
    """Everything that is known before the model is measured."""
    metrics: dict[str, Any] = {
        **run_facts(kept),
        **threads_and_precision(kept),
        "data": splits.describe(),
        "config_hash": config_hash(config),
        "on": request.on,
        "metric": metric(config.training.metric).name,
        "seed": kept.seed,
        "model": _model_words(config, request, trained, kept),
    }
    if trained.before is not None:
        metrics["fixed"] = {
            "epochs": sum(one.epochs for one in trained.lengths),
            "why": fixed_words(config, trained.lengths),
            "before": {"seed": trained.before.seed, **run_facts(trained.before)},
        }
    if len(trained.runs) > 1:
        metrics["ensemble"] = request.ensemble
        metrics["kept"] = kept.number
        metrics["seeds"] = [{"number": one.number, "seed": one.seed, **run_facts(one)} for one in trained.runs]
    return metrics | {"versions": versions(device), "command": request.command}


def _model_words(config: RunConfig, request: TrainingRequest, trained: SeedRuns, kept: SeedRun) -> str:
    count = len(trained.runs)
    usable = sum(one.usable for one in trained.runs)
    lost = f" {count - usable} of {count} diverged and are left out." if usable < count else ""
    if request.ensemble and usable > 1:
        return f"An ensemble of {usable} trainings with different seeds: it averages their probabilities.{lost}"
    if count == 1:
        return "One training."
    chosen = f"the best by validation {metric(config.training.metric).label}" if request.holds_out else "the first"
    return f"The training with seed {kept.number} of {count}, {chosen}.{lost}"
