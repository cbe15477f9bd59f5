"""preprocessing.json: what the network of a training needs to know about its input, without the training images.

A picture is decoded to ``size`` × ``size`` pixels of ``channels`` (see `regstudy.data.decoding`), the center ``crop`` ×
``crop`` is cut out, and each channel becomes (pixel / 255 - mean) / std. The network's outputs, divided by
``temperature``, are the logits of ``classes``; several ``members`` are an ensemble, whose probabilities are averaged.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from regstudy.config.run_config import RunConfig
from regstudy.config.schema import Positive
from regstudy.data.image_set import Splits
from regstudy.data.preprocessing import statistics
from regstudy.errors import FileError
from regstudy.files import outputs, read_bytes, write_atomically
from regstudy.files.paths import shown
from regstudy.metrics import metric

PREPROCESSING_FILE = "preprocessing.json"
WEIGHTS_FILE = "model.safetensors"
OLD_WEIGHTS_FILE = "weights.safetensors"  # of version 0.1.0
FORMAT_NUMBER = 1  # increase if an older regstudy would misread the file
MOST_BYTES = 10_000_000  # bytes; a thousand classes take about 20,000
RESIZING = "bilinear with antialiasing"
TRANSPARENT = "black"
RESTORE_IT = "Train again with the same configuration, or restore the file from a copy."

Side = Annotated[int, Field(ge=1, le=100_000)]


class StoredPreprocessing(BaseModel):
    """The content of preprocessing.json; keys that a later version adds are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)

    format: Annotated[int, Field(ge=1)] = FORMAT_NUMBER
    network: str
    data: str  # the name of the data set, which is the user's own code if it has a colon
    channels: Annotated[int, Field(ge=1)]  # 1: gray, 3: RGB
    size: Side  # per side, after decoding
    fit: Literal["crop", "pad", "stretch"]  # how a picture that is not square becomes one
    resizing: str = RESIZING
    transparent: str = TRANSPARENT
    crop: Side  # side of the center crop; equal to size if nothing is cut off
    mean: tuple[float, ...] = Field(strict=False)
    std: tuple[Positive, ...] = Field(strict=False)
    classes: tuple[str, ...] = Field(strict=False, min_length=1)
    positive: str | None = None  # of two classes, the one whose average precision is measured
    metric: str
    temperature: Positive = 1.0
    members: tuple[str, ...] = Field(default=(WEIGHTS_FILE,), strict=False, min_length=1)  # relative to the folder

    @property
    def positive_number(self) -> int:
        """The number of the positive class; of no use with more than two classes."""
        return 1 if self.positive is None else self.classes.index(self.positive)

    @model_validator(mode="after")
    def _fits_together(self) -> StoredPreprocessing:
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise ValueError(f"mean and std must have one value per channel, and channels is {self.channels}")
        if self.crop > self.size:
            raise ValueError(f"crop is {self.crop}, but the images have only {self.size} pixels per side")
        if self.positive is not None and self.positive not in self.classes:
            raise ValueError(f"positive is '{self.positive}', which is not among the classes")
        for member in self.members:
            if PurePosixPath(member).is_absolute() or ".." in PurePosixPath(member).parts:
                raise ValueError(f"members has '{member}', which is not within the folder")
        return self


def preprocessing_of(
    config: RunConfig, splits: Splits, *, temperature: float = 1.0, members: Sequence[str] = (WEIGHTS_FILE,)
) -> StoredPreprocessing:
    """What the network of a training on these splits needs to know; raises ConfigError if the splits do not fit."""
    channels, size, _ = splits.train.shape
    mean, std = statistics(config.preprocessing, splits.train)
    classes = tuple(map(str, splits.train.classes))  # of the user's own code, perhaps
    return StoredPreprocessing(
        network=config.model.name,
        data=config.data.name,
        channels=channels,
        size=size,
        fit=config.data.fit,
        crop=config.preprocessing.crop or size,
        mean=mean,
        std=std,
        classes=classes,
        positive=classes[splits.positive] if len(classes) == 2 else None,
        metric=metric(config.training.metric).name,
        temperature=temperature,
        members=tuple(members),
    )


def write_preprocessing(
    out: Path,
    config: RunConfig,
    splits: Splits,
    *,
    temperature: float = 1.0,
    members: Sequence[str] = (WEIGHTS_FILE,),
) -> StoredPreprocessing:
    """Write preprocessing.json of a training into its folder; ``members`` are its files of weights, relative to it."""
    facts = preprocessing_of(config, splits, temperature=temperature, members=members)
    write_stored(out, facts)
    return facts


def write_stored(out: Path, facts: StoredPreprocessing) -> None:
    """Write facts that are known already, such as those of a file with another temperature."""
    content = {outputs.KEY: outputs.mark("train"), **facts.model_dump(mode="json")}
    write_atomically(out / PREPROCESSING_FILE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_preprocessing(out: Path) -> StoredPreprocessing:
    """The facts in a training's folder; FileError, with everything that is wrong, if they cannot be used."""
    path = out / PREPROCESSING_FILE
    content = read_bytes(path, MOST_BYTES + 1)
    try:
        tree: Any = json.loads(content.decode("utf-8-sig")) if len(content) <= MOST_BYTES else None
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise FileError(f"{shown(path)} cannot be used: it is not JSON ({_in_one_line(error)}). {RESTORE_IT}") from None
    if not isinstance(tree, dict) or "format" not in tree:
        raise FileError(f"{shown(path)} cannot be used: `regstudy train` did not write it. {RESTORE_IT}")
    if isinstance(tree["format"], int) and tree["format"] > FORMAT_NUMBER:
        raise FileError(
            f"{shown(path)} has format {tree['format']}, but this version of regstudy reads up to format"
            f" {FORMAT_NUMBER}. Use a newer version: pip install --upgrade regstudy."
        )
    try:
        return StoredPreprocessing.model_validate(tree)
    except ValidationError as error:
        wrong = [_problem(dict(detail)) for detail in error.errors(include_url=False)]
        raise FileError(f"{shown(path)} cannot be used: {'; '.join(dict.fromkeys(wrong))}. {RESTORE_IT}") from None


def _problem(detail: dict[str, Any]) -> str:
    where = ".".join(str(key) for key in detail["loc"])
    if detail["type"] == "missing":
        return f"{where} is missing"
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    words = str(detail["msg"])
    return f"{where}: {words[:1].lower()}{words[1:]}"


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
