"""Configurations and images for benchmarks/gpu.py: nothing is read or downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.io import savemat

from regstudy.api import load_space
from regstudy.config.run_config import RunConfig
from regstudy.config.schema import Training
from regstudy.data.image_set import ImageSet, Splits
from regstudy.data.street_digits import draw_many

SPACES = Path(__file__).parents[1] / "search_spaces"
SVHN_IMAGES = 73_257  # of which svhn_resnet trains on 65,931 and validates on 7,326
NO_DROPOUT = {"model.dropout": 0.0, "model.block_dropout": 0.0, "model.stochastic_depth": 0.0}
PLAIN: dict[str, Any] = {"training.patience": None, "training.clean_train_every": 1}


def space_config(name: str, changes: dict[str, Any] | None = None) -> RunConfig:
    """The default configuration of a shipped space, without weights to download, and with changes."""
    config = load_space(SPACES / f"{name}.yaml").defaults()
    return config.replaced({"model.weights": None, **PLAIN, **(changes or {})})


def deterministic() -> dict[str, Any]:
    """The change that asks for the same curve each time, if this version of regstudy has it."""
    return {"training.deterministic": True} if "deterministic" in Training.model_fields else {}


def graph_words(state: object) -> str:
    """Whether this version of regstudy replays a recorded CUDA graph for the steps of a state; "" if it never does."""
    steps = getattr(state, "steps", None)
    if steps is None:
        return ""
    refused = getattr(steps, "refused", "")
    return f"no CUDA graph: {refused}" if refused else f"{len(getattr(steps, 'recordings', ()))} CUDA graphs"


def without_graph(state: object) -> bool:
    """Take the steps one by one from now on; False if they are taken so anyway."""
    steps = getattr(state, "steps", None)
    if steps is None or getattr(steps, "record", None) is None:
        return False
    steps.record = None
    return True


def images(count: int, side: int, classes: int, seed: int = 0, channels: int = 3) -> ImageSet:
    """Noise with a bright square whose place tells the class, which is learned within a few steps."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 160, (count, channels, side, side), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % classes
    step = max(side // 4, 2)
    for number in range(classes):
        row, column = (number // 3 % 4) * step, (number % 3) * step
        pixels[labels == number, :, row : row + step, column : column + step] += 90
    return ImageSet(pixels, labels, tuple(map(str, range(classes))))


def splits(train: int, held_out: int, side: int, classes: int = 10, channels: int = 3) -> Splits:
    """Parts of such images."""
    trained = images(train, side, classes, 1, channels)
    clean = trained.subset(torch.arange(min(held_out, train)))
    return Splits(trained, clean, images(held_out, side, classes, 2, channels), "made up", 0)


def write_svhn(data_dir: Path, count: int) -> None:
    """Draw house numbers and write them as SVHN's training file, which `data: svhn` reads.

    The file has SVHN's name and layout, but its pictures are drawn by `regstudy.house_numbers`.
    """
    pixels, labels = draw_many(0, 0, count)
    folder = data_dir / "svhn"
    folder.mkdir(parents=True, exist_ok=True)
    numbers = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
    savemat(folder / "train_32x32.mat", {"X": pixels.transpose(2, 3, 1, 0), "y": numbers})
