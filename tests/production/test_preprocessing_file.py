"""preprocessing.json: it reads back to the bit, and every damage is one clear FileError."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import make_config
from trained_folder import make_trained, random_set

from regstudy.data.image_set import Splits
from regstudy.data.preprocessing import pixel_transform, prepare
from regstudy.errors import FileError
from regstudy.production.preprocessing_file import PREPROCESSING_FILE, read_preprocessing, write_preprocessing


@pytest.mark.parametrize(
    ("normalize", "channels", "crop"),
    [
        ("train", 3, 9),
        ("train", 1, None),
        ("imagenet", 3, None),
        ("half", 4, 11),
        ("none", 3, 12),
        ({"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}, 3, None),
    ],
)
def test_it_gives_the_very_transform_of_the_training(
    tmp_path: Path, normalize: Any, channels: int, crop: int | None
) -> None:
    config = make_config({"preprocessing.normalize": normalize, "preprocessing.crop": crop})
    part = random_set(20, channels, 12, ("a", "b"))
    written = write_preprocessing(tmp_path, config, Splits(part, part, part, "random", 0))
    read = read_preprocessing(tmp_path)
    assert read == written
    wanted, found = (
        prepare(config.preprocessing, part),
        pixel_transform(read.crop, (read.mean, read.std), torch.device("cpu")),
    )
    assert found.side == wanted.side
    assert torch.equal(found.scale, wanted.scale) and torch.equal(found.shift, wanted.shift)
    assert read.positive == "b" and read.metric == "accuracy" and read.classes == ("a", "b")


def test_keys_of_a_later_version_are_ignored(tmp_path: Path) -> None:
    facts = make_trained(tmp_path)
    path = tmp_path / PREPROCESSING_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "new": 1}))
    assert read_preprocessing(tmp_path) == facts


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": None}, ["size"]),
        ({"size": "32"}, ["size"]),
        ({"size": 0, "crop": -1}, ["size", "crop"]),
        ({"crop": 13}, ["crop is 13", "12 pixels"]),
        ({"mean": [0.5]}, ["one value per channel", "channels is 3"]),
        ({"std": [1, 0, 1]}, ["std.1"]),
        ({"std": [1, float("nan"), 1]}, ["std.1"]),
        ({"temperature": 0}, ["temperature"]),
        ({"temperature": -1.0}, ["temperature"]),
        ({"fit": "squash"}, ["fit", "crop"]),
        ({"classes": []}, ["classes"]),
        ({"classes": [1, 2, 3]}, ["classes"]),
        ({"positive": "zebra"}, ["zebra"]),
        ({"members": []}, ["members"]),
        ({"members": ["../../elsewhere.safetensors"]}, ["not within the folder"]),
        ({"members": ["/etc/passwd"]}, ["not within the folder"]),
        ({"format": 2}, ["format 2", "newer version"]),
        ({"format": "1"}, ["format"]),
        ({"format": 0}, ["format"]),
    ],
)
def test_wrong_values_are_named_together(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    make_trained(tmp_path)
    path = tmp_path / PREPROCESSING_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(FileError) as error:
        read_preprocessing(tmp_path)
    assert all(word in str(error.value) for word in [PREPROCESSING_FILE, *words]), error.value
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "cannot be used"),
        (b"[]", "did not write it"),
        (b"null", "did not write it"),
        (b'{"size": 3}', "did not write it"),
        (b'{"format": 1}', "network is missing"),
        (b'{"format": 1, "network": "' + b"x" * 11_000_000 + b'"}', "did not write it"),
    ],
)
def test_a_foreign_or_damaged_file_is_said_to_be_one(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / PREPROCESSING_FILE).write_bytes(content)
    with pytest.raises(FileError, match=words) as error:
        read_preprocessing(tmp_path)
    assert len(str(error.value)) < 1000


def test_a_missing_file_is_a_file_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file"):
        read_preprocessing(tmp_path)
