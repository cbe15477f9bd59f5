"""The drawn house numbers: repeatable, of SVHN's shape, kept safely on disk, and near enough to the real ones."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from regstudy.config.schema import Data
from regstudy.data import street_digits
from regstudy.data.street_digits import PICTURES_VERSION, draw_many, load, load_cached
from regstudy.errors import DataError, RegstudyError
from regstudy.house_numbers.picture import SVHN_DIGIT_COUNTS, draw


def test_a_picture_is_a_function_of_seed_and_index() -> None:
    one, label = draw(3, 17)
    draw(3, 18)  # what is drawn between must not matter
    again, same = draw(3, 17)
    assert one.shape == (32, 32, 3) and one.dtype == np.uint8 and label == same
    assert np.array_equal(one, again)


def test_seed_and_index_each_change_the_picture() -> None:
    pictures = [draw(seed, index)[0].tobytes() for seed in (0, 1) for index in range(20)]
    assert len(set(pictures)) == 40


def test_many_have_the_order_and_type_that_loaders_expect() -> None:
    images, labels = draw_many(0, 5, 7)
    assert images.shape == (7, 3, 32, 32) and images.dtype == np.uint8
    assert labels.shape == (7,) and labels.dtype == np.int64
    picture, label = draw(0, 8)
    assert np.array_equal(images[3], picture.transpose(2, 0, 1)) and labels[3] == label


def test_none_asked_none_drawn() -> None:
    images, labels = draw_many(0, 0, 0)
    assert images.shape == (0, 3, 32, 32) and labels.shape == (0,)


def test_two_new_processes_draw_what_this_one_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(street_digits, "MIN_FOR_PROCESSES", 0)
    monkeypatch.setattr(street_digits, "PICTURES_PER_CHUNK", 20)
    alone, alone_labels = draw_many(2, 100, 50, workers=1)
    shared, shared_labels = draw_many(2, 100, 50, workers=2)
    assert np.array_equal(alone, shared) and np.array_equal(alone_labels, shared_labels)


def test_labels_are_as_frequent_as_in_svhn() -> None:
    _, labels = draw_many(11, 0, 800)
    expected = SVHN_DIGIT_COUNTS / SVHN_DIGIT_COUNTS.sum() * 800
    chi_squared = ((np.bincount(labels, minlength=10) - expected) ** 2 / expected).sum()
    assert chi_squared < 27.9  # 99.9 % point at 9 degrees of freedom; the seed is fixed
    assert SVHN_DIGIT_COUNTS.sum() == 73257


def test_the_labelled_digit_can_be_seen() -> None:
    images, _ = draw_many(6, 0, 150)
    spread = images.mean(axis=1).std(axis=(1, 2))
    assert spread.min() > 3 and np.median(spread) > 15


@pytest.mark.parametrize(("seed", "index"), [(-1, 0), (0, -1)])
def test_negative_numbers_are_refused(seed: int, index: int) -> None:
    with pytest.raises(ValueError, match="non-negative"):
        draw(seed, index)


def test_the_cache_returns_what_was_drawn_and_draws_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, labels = load_cached(tmp_path, 1, 0, 30)
    files = list((tmp_path / "street_digits").iterdir())
    assert len(files) == 1 and f"v{PICTURES_VERSION}" in files[0].name
    monkeypatch.setattr(street_digits, "draw_many", lambda *_: pytest.fail("drawn again"))
    second, again = load_cached(tmp_path, 1, 0, 30)
    assert np.array_equal(first, second) and np.array_equal(labels, again)
    assert second.dtype == np.uint8 and again.dtype == np.int64 and second.flags.writeable and again.flags.writeable


def test_other_requests_have_other_files(tmp_path: Path) -> None:
    for seed, start, count in ((1, 0, 3), (2, 0, 3), (1, 3, 3), (1, 0, 4)):
        assert np.array_equal(load_cached(tmp_path, seed, start, count)[0], draw_many(seed, start, count)[0])
    assert len(list((tmp_path / "street_digits").iterdir())) == 4


@pytest.mark.parametrize("damage", ["flip", "cut", "lengthen", "empty"])
def test_a_damaged_file_is_drawn_anew(tmp_path: Path, damage: str) -> None:
    first, labels = load_cached(tmp_path, 1, 0, 10)
    (path,) = (tmp_path / "street_digits").iterdir()
    whole = path.read_bytes()
    flipped = whole[:500] + bytes([whole[500] ^ 1]) + whole[501:]
    path.write_bytes({"flip": flipped, "cut": whole[:-9], "lengthen": whole + b"0", "empty": b""}[damage])
    second, again = load_cached(tmp_path, 1, 0, 10)
    assert np.array_equal(first, second) and np.array_equal(labels, again)
    assert path.read_bytes() == whole


def test_a_failed_write_is_explained_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(DataError, match=r"No space left on device.*another data folder"):
        load_cached(tmp_path, 1, 0, 2)
    assert list((tmp_path / "street_digits").iterdir()) == []


def test_a_file_where_the_folder_should_be_is_explained(tmp_path: Path) -> None:
    (tmp_path / "street_digits").write_text("in the way")
    with pytest.raises(RegstudyError, match="street_digits is a file"):
        load_cached(tmp_path, 1, 0, 2)


@pytest.mark.parametrize(
    ("settings", "train", "test"),
    [
        ({"train_limit": 90, "validation": 0.1}, 100, 20),
        ({"train_limit": 90, "validation": 30}, 120, 24),
        ({"train_limit": 90, "validation": 0.1, "options": {"count": 50}}, 50, 10),
    ],
)
def test_as_many_are_drawn_as_are_needed(tmp_path: Path, settings: dict[str, object], train: int, test: int) -> None:
    config = Data.model_validate({"name": "street_digits", **settings})
    parts = {part: load(part, config, tmp_path, **config.options) for part in ("train", "test", "validation")}
    assert parts["validation"] is None
    assert parts["train"] is not None and len(parts["train"]) == train
    assert parts["test"] is not None and len(parts["test"]) == test
    assert not (parts["train"].images[:test] == parts["test"].images).flatten(1).all(1).any()


@pytest.mark.skipif("REGSTUDY_TEST_DATA" not in os.environ, reason="REGSTUDY_TEST_DATA names the folder of real crops")
def test_contrast_sharpness_and_color_are_those_of_real_crops() -> None:
    with np.load(Path(os.environ["REGSTUDY_TEST_DATA"]) / "svhn_real_crops.npz", allow_pickle=False) as file:
        real = np.concatenate([file["test_x"], file["format1_x"]])
    drawn = draw_many(0, 0, 200)[0].transpose(0, 2, 3, 1)
    for name, low, high in (("contrast", 0.75, 1.35), ("sharpness", 0.6, 1.6), ("color", 0.6, 1.6)):
        ratio = np.median(properties(drawn)[name]) / np.median(properties(real)[name])
        assert low < ratio < high, f"{name}: drawn over real {ratio:.2f}"


def properties(images: np.ndarray) -> dict[str, np.ndarray]:
    """Per picture of uint8 N x 32 x 32 x 3: spread of gray, mean step between neighbours, mean channel range."""
    pixels = images.astype(np.float64)
    gray = pixels.mean(3)
    steps = (np.abs(np.diff(gray, axis=1)).mean((1, 2)) + np.abs(np.diff(gray, axis=2)).mean((1, 2))) / 2
    return {"contrast": gray.std((1, 2)), "sharpness": steps, "color": np.ptp(pixels, axis=3).mean((1, 2))}
