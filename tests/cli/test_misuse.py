"""Wrong folders, groups and weights: one clear paragraph, exit code 2, and nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Command
from PIL import Image
from safetensors.torch import save_file

from regstudy.models import BUILDERS

SPACE = """
data: {name: image_folder, root: photos, size: 32, validation: 0.25}
model: {name: svhn_resnet, dropout: {low: 0.0, high: 0.5}}
training: {epochs: 1}
"""
STAGELESS = """
from torch import nn


def network(channels, size, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, classes))
"""


def pictures(folder: Path, *counts: int) -> None:
    """Classes a, b, … of so many pictures each."""
    for name, count in zip("abc", counts, strict=False):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            noise = np.random.default_rng(number).integers(0, 256, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / name / f"slide{number // 2}_{number}.png")


def fill(folder: Path) -> None:
    pictures(folder / "photos", 8, 8)


def nothing(_folder: Path) -> None:
    return


def an_empty_class(folder: Path) -> None:
    pictures(folder / "photos", 8, 0)


def one_class(folder: Path) -> None:
    pictures(folder / "photos", 8)


def not_a_picture(folder: Path) -> None:
    fill(folder)
    (folder / "photos" / "b" / "notes.png").write_text("not a picture")


def a_lonely_class(folder: Path) -> None:
    pictures(folder / "photos", 20, 1)


def weights_of_another_shape(folder: Path) -> None:
    fill(folder)
    state = BUILDERS["svhn_resnet"](3, 32, 2).state_dict()
    save_file(
        {name: torch.zeros(7, 7) if name == "0.weight" else t for name, t in state.items()}, folder / "w.safetensors"
    )


def a_network_without_stages(folder: Path) -> None:
    fill(folder)
    (folder / "stageless.py").write_text(STAGELESS)


CASES: list[tuple[Callable[[Path], None], list[str], list[str]]] = [
    (nothing, [], ["photos", "does not exist"]),
    (an_empty_class, [], ["'b'", "no images"]),
    (one_class, [], ["at least two", "'a'"]),
    (not_a_picture, [], ["notes.png", "not an image", "unreadable: skip"]),
    (a_lonely_class, [], ["'b' (1)", "at least 2 images"]),
    (fill, ["data.group=patient(\\d+)"], ["patient", "matches none of the 16 images", "a/slide0_0.png"]),
    (fill, ["data.group=(slide"], ["data.group", "not a valid regular expression"]),
    (fill, ["data.group=photos|slide"], ["in one group", "smaller groups"]),
    (weights_of_another_shape, ["model.weights=w.safetensors"], ["w.safetensors", "0.weight", "7×7", "64×3×3×3"]),
    (fill, ["model.weights=none.safetensors"], ["none.safetensors", "no file"]),
    (
        a_network_without_stages,
        [
            "model={name: stageless:network}",
            "model.trainable=last_stage",
            "optimizer={name: adam, lr: {low: 0.001, high: 0.01}}",
        ],
        ["trainable", "stages"],
    ),
]


@pytest.mark.parametrize(("prepare", "sets", "said"), CASES)
def test_misuse_gets_a_paragraph_and_leaves_nothing(
    regstudy: Command, tmp_path: Path, prepare: Callable[[Path], None], sets: list[str], said: list[str]
) -> None:
    prepare(tmp_path)
    (tmp_path / "mine.yaml").write_text(SPACE)
    changes = [part for change in sets for part in ("--set", change)]
    done = regstudy("study", "--space", "mine.yaml", "--trials", "2", *changes)
    assert done.returncode == 2
    message = " ".join(done.stderr.split())
    assert message.startswith("error: ")
    for words in said:
        assert words in message, message
    assert "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / "results").exists()


def test_three_pictures_of_a_class_and_a_tenth_for_validation_are_enough(regstudy: Command, tmp_path: Path) -> None:
    pictures(tmp_path / "photos", 30, 3)
    (tmp_path / "mine.yaml").write_text(SPACE)
    done = regstudy(
        "study", "--space", "mine.yaml", "--trials", "2", "--set", "data.validation=0.1", "--dry-run", "--no-doctor"
    )
    assert done.returncode == 0, done.stderr
    assert "30 for training, 3 for validation" in done.stdout
