"""The preprocessing of a training's folder, also where version 0.1.0 wrote it, without preprocessing.json."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from regstudy.config.run_config import RunConfig
from regstudy.data.preprocessing import named_statistics
from regstudy.errors import FileError
from regstudy.files import read_bytes
from regstudy.files.paths import shown
from regstudy.metrics import metric
from regstudy.production.preprocessing_file import (
    OLD_WEIGHTS_FILE,
    PREPROCESSING_FILE,
    RESTORE_IT,
    WEIGHTS_FILE,
    StoredPreprocessing,
    read_preprocessing,
)
from regstudy.production.training_folder import unfinished


def preprocessing_in(out: Path, config: RunConfig) -> StoredPreprocessing:
    """What preprocessing.json says or, where version 0.1.0 wrote none, what metrics.json and the configuration say.

    FileError if they do not say all, as when mean and standard deviation were measured on the training images.
    """
    if (out / PREPROCESSING_FILE).exists():
        return read_preprocessing(out)
    if not any((out / name).exists() for name in (WEIGHTS_FILE, OLD_WEIGHTS_FILE)):
        raise no_weights(out, WEIGHTS_FILE)
    check_older(out)
    facts = _data_facts(out)
    if facts is None:
        raise FileError(
            f"{shown(out)} has no {PREPROCESSING_FILE}, so it is unknown what its network takes. {_again(out)}"
        )
    channels, size, _ = facts["shape"]
    found = named_statistics(config.preprocessing, channels)
    if found is None:
        raise FileError(
            f"{shown(out)} has no {PREPROCESSING_FILE}: an older version of regstudy trained this network, and did not"
            " keep the mean and standard deviation of its training images. Where these images still are,"
            f" `regstudy verify {shown(out)}` writes the file. {_again(out)}"
        )
    return StoredPreprocessing(
        network=config.model.name,
        data=config.data.name,
        channels=channels,
        size=size,
        fit=config.data.fit,
        crop=config.preprocessing.crop or size,
        mean=found[0],
        std=found[1],
        classes=tuple(facts["classes"]),
        positive=facts.get("positive"),
        metric=metric(config.training.metric).name,
    )


def check_older(out: Path) -> None:
    """FileError if a folder without preprocessing.json is of a version that writes one.

    Such a file says more than the configuration does: a temperature, the members of an ensemble, and the mean and
    standard deviation of validation images that were trained on, too.
    """
    if "versions" in _metrics(out):
        raise FileError(
            f"{shown(out)} has no {PREPROCESSING_FILE} any more, so it is unknown what its network takes. {RESTORE_IT}"
        )


def no_weights(out: Path, name: str) -> FileError:
    """Why a training's folder has no weights: it has not ended, it diverged, or they are gone."""
    why = "Train again with its config.yaml, or restore the file from a copy."
    if unfinished(out):
        why = "The training has not ended. Give its `regstudy train` command again; it resumes."
    elif _metrics(out).get("best_epoch") == 0:
        why = "The training diverged before its first usable epoch. Lower optimizer.lr, and train again."
    return FileError(f"There are no weights to load: {shown(out / name)} does not exist. {why}")


def _again(out: Path) -> str:
    command = shlex.join(["regstudy", "train", str(out / "config.yaml"), "-o", f"{out}_new"])
    return (
        f"Train again with the same configuration: {command}. Or name the numbers, if you know them, in a"
        f" {PREPROCESSING_FILE} (docs/production.md)."
    )


def _data_facts(out: Path) -> dict[str, Any] | None:
    """What metrics.json says about the data; None if it does not."""
    facts = _metrics(out).get("data", {})
    try:
        channels, height, width = facts["shape"]
        sound = height == width and channels > 0 and all(isinstance(name, str) for name in facts["classes"])
        return dict(facts) if sound else None
    except (LookupError, TypeError, ValueError):
        return None


def _metrics(out: Path) -> dict[str, Any]:
    """The content of metrics.json; empty if it cannot be used."""
    try:
        content = json.loads(read_bytes(out / "metrics.json"))
    except (FileError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
