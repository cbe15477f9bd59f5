"""The preprocessing of a training's folder, also where version 0.1.0 wrote it, without preprocessing.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from regstudy.config.run_config import RunConfig
from regstudy.data.preprocessing import named_statistics
from regstudy.errors import FileError
from regstudy.files import read_bytes
from regstudy.files.paths import shown
from regstudy.metrics import metric
from regstudy.production.preprocessing_file import PREPROCESSING_FILE, StoredPreprocessing, read_preprocessing


def preprocessing_in(out: Path, config: RunConfig) -> StoredPreprocessing:
    """What preprocessing.json says or, without that file, what metrics.json and the configuration say.

    FileError if they do not say all, as when mean and standard deviation were measured on the training images.
    """
    if (out / PREPROCESSING_FILE).exists():
        return read_preprocessing(out)
    facts = _data_facts(out)
    if facts is None:
        raise FileError(f"{shown(out)} has no {PREPROCESSING_FILE}, so it is unknown what its network takes. {_AGAIN}")
    channels, size, _ = facts["shape"]
    found = named_statistics(config.preprocessing, channels)
    if found is None:
        raise FileError(
            f"{shown(out)} has no {PREPROCESSING_FILE}: an older version of regstudy trained this network, and did not"
            f" keep the mean and standard deviation of its training images. {_AGAIN}"
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


_AGAIN = (
    "Train again with the same configuration: regstudy train OLD/config.yaml -o NEW. Or name the numbers, if you know"
    f" them, in a {PREPROCESSING_FILE} like that of another training (docs/production.md)."
)


def _data_facts(out: Path) -> dict[str, Any] | None:
    """What metrics.json says about the data; None if it does not."""
    try:
        facts = json.loads(read_bytes(out / "metrics.json"))["data"]
        channels, height, width = facts["shape"]
        sound = height == width and channels > 0 and all(isinstance(name, str) for name in facts["classes"])
        return dict(facts) if sound else None
    except (FileError, ValueError, LookupError, TypeError):
        return None
