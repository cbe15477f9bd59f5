"""The model in a training's folder, ready to be measured again: all seeds whose weights are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from regstudy.config.run_config import RunConfig
from regstudy.data import prepare, without_folds
from regstudy.data.image_set import Splits
from regstudy.data.loading_events import Notice, OnProgress
from regstudy.data.preprocessing import pixel_transform
from regstudy.errors import FileError
from regstudy.files.paths import shown
from regstudy.production.classifier import network_from
from regstudy.production.measured_model import ModelShape, ModelUnderTest
from regstudy.production.older_folder import check_older
from regstudy.production.preprocessing_file import (
    PREPROCESSING_FILE,
    WEIGHTS_FILE,
    StoredPreprocessing,
    preprocessing_of,
    read_preprocessing,
    write_preprocessing,
)
from regstudy.production.training_folder import member_folder


def stored_model(
    out: Path, config: RunConfig, metrics: Mapping[str, Any], facts: StoredPreprocessing, device: torch.device
) -> ModelUnderTest:
    """The networks of all seeds, or of the only one; FileError where weights are missing or do not fit."""
    entries = [one for one in metrics.get("seeds", []) if one["best_epoch"]]
    files = [f"{member_folder(one['number'])}/{WEIGHTS_FILE}" for one in entries] or [WEIGHTS_FILE]
    numbers = tuple(one["number"] for one in entries) or (1,)
    for file in files:
        network_from(out, file, config, facts)  # what is missing is told at once
    members = tuple(range(len(files)))
    if entries and not metrics["ensemble"]:
        members = (numbers.index(metrics["kept"]),)

    def networks() -> Iterator[nn.Module]:
        return (network_from(out, file, config, facts) for file in files)

    pixels = pixel_transform(facts.crop, (facts.mean, facts.std), device)
    shape = ModelShape(members, facts.positive_number, facts.temperature)
    return ModelUnderTest(config, pixels, networks, numbers, shape, device)


def stored_preprocessing(
    out: Path, config: RunConfig, splits: Callable[[], Splits], listen: OnProgress | None
) -> StoredPreprocessing:
    """What preprocessing.json says; where version 0.1.0 wrote none, it is measured on the training images and kept.

    ``splits`` reads the images, which is done only then.
    """
    if (out / PREPROCESSING_FILE).exists():
        return read_preprocessing(out)
    check_older(out)
    facts = preprocessing_of(config, splits())
    write_preprocessing(out, config, splits())
    if listen is not None:
        listen(Notice(f"{shown(out)} had no {PREPROCESSING_FILE}. It was measured on the training images and written."))
    return facts


def same_splits(
    config: RunConfig, metrics: Mapping[str, Any], data_dir: Path, listen: OnProgress | None
) -> tuple[Splits, str]:
    """The splits of a training, read again, and in what they differ from those that it used; empty if in nothing."""
    data, stored = without_folds(config.data), metrics["data"]
    rule = stored.get("file_rule")
    splits = prepare(data, data_dir, listen, rule) if rule is not None else prepare(data, data_dir, listen)
    if splits.hash == stored.get("split_hash"):
        return splits, ""
    return splits, (
        f"The images or their split are not those of the training: the split hash was {stored.get('split_hash')}, and"
        f" it is {splits.hash} now ({len(splits.train):,} + {len(splits.validation):,} images; they were"
        f" {stored.get('train', 0):,} + {stored.get('validation', 0):,})."
    )


def check_same_splits(
    config: RunConfig, metrics: Mapping[str, Any], data_dir: Path, listen: OnProgress | None
) -> Splits:
    """As `same_splits`, but FileError if they differ."""
    return checked(*same_splits(config, metrics, data_dir, listen))


def checked(splits: Splits, different: str) -> Splits:
    """The splits; FileError if they differ from those of the training."""
    if different:
        raise FileError(f"{different} Give the folder of the data with --data-dir, or correct data.root.")
    return splits
