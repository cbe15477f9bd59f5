"""k-fold cross-validation: stratified folds that keep groups together, their sizes, and clear errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regstudy.config.run_config import config_problems, parse_config
from regstudy.data import prepare
from regstudy.data.fold_split import assign_folds, fold
from regstudy.data.image_set import ImageSet, Splits
from regstudy.errors import DataError

CLASSES = ("a", "b", "c")


def digits(tmp_path: Path, **changes: Any) -> Splits:
    tree = {
        "data": {"name": "digits", "resampling": {"kfold": 5}, **changes},
        "model": {"name": "dropout_cnn"},
    }
    return prepare(parse_config(tree, "test").data, tmp_path)


@pytest.mark.parametrize("folds", [2, 3, 5, 20])
@pytest.mark.parametrize("counts", [(20, 20, 20), (61, 40, 23), (150, 20, 21)])
@pytest.mark.parametrize("seed", [0, 1])
def test_folds_are_even_in_size_and_in_every_class(counts: tuple[int, ...], folds: int, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(3), counts))
    found = assign_folds(labels, None, folds, seed, CLASSES)
    assert sorted(set(found.tolist())) == list(range(1, folds + 1))
    sizes = np.bincount(found)[1:]
    assert sizes.max() - sizes.min() <= 1
    for label in range(3):
        of_class = np.bincount(found[labels == label], minlength=folds + 1)[1:]
        assert of_class.min() >= 1 and of_class.max() - of_class.min() <= 1
    assert (found == assign_folds(labels, None, folds, seed, CLASSES)).all()
    assert (found != assign_folds(labels, None, folds, seed + 7, CLASSES)).any()


@pytest.mark.parametrize(("seed", "folds"), [(seed, folds) for seed in range(5) for folds in (2, 3, 5)])
def test_groups_stay_in_one_fold_and_every_fold_has_every_class(seed: int, folds: int) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(60), rng.integers(1, 12, 60))
    labels = rng.choice(3, len(groups), p=[0.6, 0.25, 0.15])
    found = assign_folds(labels, groups, folds, seed, CLASSES)
    assert all(len(set(found[groups == group])) == 1 for group in range(60))
    table = np.zeros((folds, 3))
    np.add.at(table, (found - 1, labels), 1)
    assert (table > 0).all()
    sizes = table.sum(1)
    assert sizes.max() - sizes.min() <= 12, "folds differ by more than one group"


@pytest.mark.parametrize(
    ("labels", "groups", "folds", "words"),
    [
        ([0] * 9 + [1] * 9 + [2] * 3, None, 5, "too few images of 'c' (3). Use at most 3 folds (data.resampling: {kf"),
        ([0] * 9 + [1] * 9 + [2] * 1, None, 5, "too few images of 'c' (1). Remove the class, or add images."),
        ([0, 1, 2] * 8, [0] * 12 + [1] * 12, 3, "too few groups of 'a' (2), 'b' (2), 'c' (2). Use at most 2 folds"),
        ([0, 2, 0, 1, 1, 2], [0, 0, 1, 1, 2, 2], 2, "no 2 folds were found with images of every class in each"),
    ],
)
def test_a_fold_without_a_class_is_an_error(
    labels: list[int], groups: list[int] | None, folds: int, words: str
) -> None:
    keys = None if groups is None else np.array(groups)
    with pytest.raises(DataError) as error:
        assign_folds(np.array(labels), keys, folds, 0, CLASSES)
    assert words in str(error.value)


def test_every_image_is_validated_on_once_and_trained_on_in_all_other_folds(tmp_path: Path) -> None:
    splits = digits(tmp_path)
    parts = [fold(splits, number) for number in range(1, 6)]
    assert splits.folds == 5 and all(part.folds == 0 for part in parts)
    assert (parts[0].train.hash, parts[0].validation.hash) == (splits.train.hash, splits.validation.hash)
    assert len({part.hash for part in parts}) == 5

    def rows(images: ImageSet) -> list[bytes]:
        return [row.numpy().tobytes() for row in images.images.flatten(1)]

    everything = sorted([*rows(splits.train), *rows(splits.validation)])
    assert sorted(row for part in parts for row in rows(part.validation)) == everything
    for part in parts:
        assert sorted([*rows(part.train), *rows(part.validation)]) == everything
        assert set(rows(part.clean_train)) <= set(rows(part.train))
        assert len(part.clean_train) == len(part.validation)
    described = splits.describe()
    assert (described["folds"], described["validation"]) == (5, len(everything))
    assert described["train"] == len(splits.train)


@pytest.mark.parametrize(("limit", "folds"), [(200, 5), (100, 3), (101, 3), (57, 4), (40, 2)])
def test_no_fold_trains_on_more_images_than_the_limit(tmp_path: Path, limit: int, folds: int) -> None:
    splits = digits(tmp_path, train_limit=limit, resampling={"kfold": folds})
    sizes = [len(fold(splits, number).train) for number in range(1, folds + 1)]
    assert max(sizes) == limit and min(sizes) >= limit - 1


def test_a_limit_too_small_for_the_folds_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train_limit: 30 leaves 37 images for 5 folds, but .* 50 in total. Raise"):
        digits(tmp_path, train_limit=30)


def test_the_positive_class_is_the_same_in_every_fold() -> None:
    labels = torch.tensor([0, 1] * 10)
    pool = ImageSet(torch.zeros(20, 1, 4, 4, dtype=torch.uint8), labels, ("well", "sick"))
    parts = pool.subset(torch.arange(10)), pool.subset(torch.arange(10, 20))
    splits = Splits(parts[0], parts[0], parts[1], "x", 0, fold_of=(1, 2, 1, 2, 1, 1, 2, 2, 2, 1) * 2)
    assert {fold(splits, number).positive for number in (1, 2)} == {splits.positive}


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        (5, "data.resampling", "must be shared, or {kfold: 5} with 2 to 20 folds, but it is 5."),
        ("kfold", "data.resampling", "must be shared, or {kfold: 5}"),
        ({}, "data.resampling", "must be shared, or {kfold: 5}"),
        ({"kfold": 1}, "data.resampling.kfold", "2"),
        ({"kfold": 21}, "data.resampling.kfold", "20"),
        ({"kfold": 2.5}, "data.resampling.kfold", "whole number"),
        ({"folds": 5}, "data.resampling.folds", "kfold"),
    ],
)
def test_a_wrong_resampling_is_one_problem(value: object, path: str, words: str) -> None:
    tree = {"data": {"name": "digits", "resampling": value}, "model": {"name": "dropout_cnn"}}
    problems = [problem for problem in config_problems(tree) if problem.path == path]
    assert len(problems) == 1 and words in problems[0].message


def test_a_validation_part_of_the_data_set_is_refused_with_the_remedy(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            place = tmp_path / "photos" / part / name
            place.mkdir(parents=True)
            for number in range(6):
                Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(place / f"{number}.png")
    data = {"name": "image_folder", "root": str(tmp_path / "photos"), "size": 8, "resampling": {"kfold": 3}}
    tree = {"data": data, "model": {"name": "dropout_cnn"}}
    with pytest.raises(DataError) as error:
        prepare(parse_config(tree, "test").data, tmp_path)
    assert "has its own validation part, which would not be used. Remove data.resampling" in str(error.value)
    assert "set data.parts: {train: …}" in str(error.value)
    data["parts"] = {"train": "train"}
    assert prepare(parse_config(tree, "test").data, tmp_path).folds == 3
