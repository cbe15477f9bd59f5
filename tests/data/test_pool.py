"""One contract for images that can be split again, for every kind of source and every kind of split."""

from __future__ import annotations

import gc
import multiprocessing
import pickle
import shutil
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from regstudy.config.schema import Data
from regstudy.data import prepare
from regstudy.data.fold_split import fold
from regstudy.data.groups import NEAR_DUPLICATES
from regstudy.data.image_set import ImageSet, Splits
from regstudy.data.pool import Pool, load_pool
from regstudy.data.split_source import SplitSource
from regstudy.errors import DataError

pytestmark = pytest.mark.table

OWN_SOURCE = """
import torch
from regstudy.data.image_set import ImageSet

asked = []

def images(part, config, data_dir, own=False):
    asked.append(part)
    if part == "validation" and not own:
        return None
    count = {"train": 90, "validation": 30, "test": 30}[part]
    generator = torch.Generator().manual_seed(count)
    pixels = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=generator)
    return ImageSet(pixels, torch.arange(count) % 3, ("a", "b", "c"))
"""


def write_photos(folder: Path, slides: int, first: int = 0) -> None:
    """Two classes; a slide has three photos with its number in their names."""
    for slide in range(first, first + slides):
        place = folder / "np"[slide % 2]
        place.mkdir(parents=True, exist_ok=True)
        for number in range(3):
            pixels = np.random.default_rng([slide, number]).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / f"slide{slide:02}_{number}.png")


def photos(folder: Path, **changes: Any) -> Data:
    write_photos(folder / "photos", 16)
    fields = {"name": "image_folder", "root": str(folder / "photos"), "size": 8, "validation": 0.25, **changes}
    return Data.model_validate(fields)


def divided(folder: Path, **changes: Any) -> Data:
    write_photos(folder / "photos" / "train", 12)
    write_photos(folder / "photos" / "val", 6, first=10)  # slides 10 and 11 are in both parts
    return Data.model_validate({"name": "image_folder", "root": str(folder / "photos"), "size": 8, **changes})


def built_in(name: str, **changes: Any) -> Callable[[Path], Data]:
    return lambda _: Data.model_validate({"name": name, **changes})


SLIDE, FOLDS = r"(slide\d+)", {"kfold": 4}
KINDS: dict[str, Callable[[Path], Data]] = {
    "street digits": built_in("street_digits", train_limit=200),
    "digits": built_in("digits", size=8),
    "digits, near duplicates": built_in("digits", size=8, group=NEAR_DUPLICATES),
    "digits, limited": built_in("digits", size=8, train_limit=300, validation=150),
    "digits, folds": built_in("digits", size=8, resampling=FOLDS),
    "digits, limited folds": built_in("digits", size=8, resampling=FOLDS, train_limit=150),
    "folder": photos,
    "folder, positive class": lambda folder: photos(folder, positive="n"),
    "folder, groups": lambda folder: photos(folder, group=SLIDE),
    "folder, limited groups": lambda folder: photos(folder, group=SLIDE, train_limit=20),
    "folder, folds of groups": lambda folder: photos(folder, group=SLIDE, resampling=FOLDS),
    "folder, limited folds of groups": lambda folder: photos(folder, group=SLIDE, resampling=FOLDS, train_limit=24),
    "own validation": divided,
    "own validation, limited": lambda folder: divided(folder, train_limit=20),
    "own validation, groups": lambda folder: divided(folder, group=SLIDE, train_limit=20),
    "plugin": built_in("my_images:images", validation=0.25),
    "plugin, own validation": built_in("my_images:images", options={"own": True}, train_limit=40),
    "plugin, folds": built_in("my_images:images", resampling=FOLDS),
}


@dataclass
class Made:
    """A configuration whose files are in place, and its pool."""

    kind: str
    config: Data
    data_dir: Path
    pool: Pool

    def prepared(self, seed: int) -> Splits:
        return prepare(self.config.model_copy(update={"split_seed": seed}), self.data_dir)


@pytest.fixture(scope="module", autouse=True)
def own_source(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The module `my_images` on the path."""
    folder = tmp_path_factory.mktemp("own_source")
    (folder / "my_images.py").write_text(OWN_SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        import my_images  # type: ignore[import-not-found]

        yield my_images


@pytest.fixture(scope="module", params=KINDS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("pool")
    config = KINDS[request.param](folder)
    return Made(request.param, config, folder / "data", load_pool(config, folder / "data"))


def parts_of(splits: Splits) -> list[ImageSet]:
    return [splits.train, splits.clean_train, splits.validation]


def equal(one: Splits, other: Splits) -> bool:
    """Whether all that a run or a report can see is the same, to the bit."""
    return (
        (one.hash, one.describe(), one.in_words(), one.fold_of, one.named_positive)
        == (other.hash, other.describe(), other.in_words(), other.fold_of, other.named_positive)
        and [part.hash for part in parts_of(one)] == [part.hash for part in parts_of(other)]
        and [part.paths for part in parts_of(one)] == [part.paths for part in parts_of(other)]
        and all(
            (a.groups is None and b.groups is None) or torch.equal(a.groups, b.groups)
            for a, b in zip(parts_of(one), parts_of(other), strict=True)
        )
    )


@pytest.mark.parametrize("seed", [0, 7])
def test_a_pool_makes_the_splits_that_prepare_makes(made: Made, seed: int) -> None:
    assert equal(made.pool.split(seed), made.prepared(seed))
    assert equal(made.pool.at(seed), made.pool.split(seed))


def test_other_seeds_give_other_training_images(made: Made) -> None:
    hashes = [
        {part.hash for part in parts} for parts in zip(*(parts_of(made.pool.split(s)) for s in range(3)), strict=True)
    ]
    train, clean, validation = map(len, hashes)
    own = made.pool.validation is not None
    assert validation == (1 if own else 3)
    assert train == (3 if made.config.train_limit or not own else 1)
    assert clean == 3
    assert made.pool.split(1).split_seed == 1


def test_a_group_is_never_in_both_parts_whatever_the_seed(made: Made) -> None:
    if made.config.group is None or made.pool.validation is not None:
        assert (made.pool.images.groups is None) == (made.config.group is None)
        return
    for seed in range(6):
        splits = made.pool.split(seed)
        assert splits.grouping is not None and splits.grouping.in_both_parts == 0
        for one in [fold(splits, number) for number in range(1, splits.folds + 1)] or [splits]:
            sides = [set(part.groups.tolist()) for part in (one.train, one.validation) if part.groups is not None]
            assert len(sides) == 2 and not sides[0] & sides[1]


def answer(pool: Pool, seeds: list[int], pipe: Connection) -> None:
    """What another process sees of a pool, with shared images."""
    splits = [pool.at(seed) for seed in seeds]
    pipe.send([(one.hash, one.clean_train.hash, one.describe(), pool.images.images.is_shared()) for one in splits])


def elsewhere(pool: Pool, seeds: list[int]) -> list[Any]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=answer, args=(pool, seeds, there))
    process.start()
    there.close()
    try:
        assert here.poll(120), "the other process does not answer"
        found: list[Any] = here.recv()
    finally:
        process.join(60)
    assert process.exitcode == 0
    return found


@pytest.mark.parametrize("kind", ["folder, groups", "own validation", "digits, limited folds", "plugin"])
def test_another_process_makes_the_same_splits_from_shared_images(kind: str, tmp_path: Path) -> None:
    pool = load_pool(KINDS[kind](tmp_path), tmp_path / "data")
    expected = [pool.split(seed) for seed in (3, 4)]
    shared = pool.share()
    assert all(tensor.is_shared() for part in (shared.images, shared.validation) if part for tensor in part.tensors)
    found = elsewhere(shared, [3, 4])
    assert found == [(one.hash, one.clean_train.hash, one.describe(), True) for one in expected]


def test_a_pool_remembers_its_last_splits_only_and_takes_none_along(made: Made) -> None:
    first = made.pool.at(1)
    assert made.pool.at(1) is first
    gone = weakref.ref(first)
    made.pool.at(2)
    del first
    gc.collect()
    assert gone() is None
    assert made.pool._last is not None and pickle.loads(pickle.dumps(made.pool))._last is None
    assert equal(pickle.loads(pickle.dumps(made.pool)).at(2), made.pool.at(2))


def test_splits_are_the_same_for_every_seed(made: Made) -> None:
    splits = made.pool.split(5)
    sources: list[SplitSource] = [splits, made.pool]
    assert sources[0].at(1) is sources[0].at(2) is splits
    assert sources[1].at(1).hash == made.prepared(1).hash


def test_shared_images_of_an_own_division_are_not_copied_for_a_seed(tmp_path: Path) -> None:
    config = divided(tmp_path)
    before, pool = prepare(config, tmp_path / "data"), load_pool(config, tmp_path / "data").share()
    splits = pool.split(0)
    assert splits.train is pool.images and splits.validation is pool.validation
    assert equal(splits, before)


def test_a_source_is_asked_once_for_all_seeds_and_never_for_test_images(tmp_path: Path, own_source: Any) -> None:
    own_source.asked.clear()
    pool = load_pool(KINDS["plugin"](tmp_path), tmp_path)
    assert len({pool.split(seed).hash for seed in range(4)}) == 4
    assert own_source.asked == ["train", "validation"]


def test_too_little_shared_memory_is_told_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = load_pool(divided(tmp_path), tmp_path / "data")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000))
    with pytest.raises(DataError, match=r"need 0\.0 GB of shared memory, but /dev/shm has less free space.*--shm-size"):
        pool.share()
    assert not any(tensor.is_shared() for part in (pool.images, pool.validation) if part for tensor in part.tensors)


def test_images_that_are_shared_already_need_no_more_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = load_pool(divided(tmp_path), tmp_path / "data").share()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    assert pool.share() is pool


def test_a_view_counts_with_all_that_it_takes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = torch.zeros(1000, 1, 8, 8, dtype=torch.uint8)
    images = ImageSet(whole[:10], torch.arange(10) % 2, ("a", "b"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50_000))
    with pytest.raises(DataError, match="shared memory"):
        Pool(Data(name="x:y"), images).share()


def test_prepare_keeps_no_images_but_those_of_its_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[weakref.ref[torch.Tensor]] = []

    def load(part: str, *_: object) -> ImageSet | None:
        if part != "train":
            return None
        images = torch.zeros(60, 1, 8, 8, dtype=torch.uint8)
        kept.append(weakref.ref(images))
        return ImageSet(images, torch.arange(60) % 3, ("a", "b", "c"))

    monkeypatch.setattr("regstudy.data.pool.source", lambda _: load)
    splits = prepare(Data(name="mine:images"), tmp_path)
    gc.collect()
    assert kept[0]() is None and len(splits.train) + len(splits.validation) == 60


IMPOSSIBLE: dict[str, tuple[Callable[[Path], Data], str]] = {
    "no such class": (lambda folder: photos(folder, positive="m"), "data.positive: "),
    "folds of an own division": (lambda folder: divided(folder, resampling=FOLDS), "has its own validation part"),
    "pattern": (lambda folder: photos(folder, group="scan"), "matches none of the 48 images"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_no_seed_can_change_is_refused_while_loading(name: str, tmp_path: Path) -> None:
    make, words = IMPOSSIBLE[name]
    with pytest.raises(DataError, match=words):
        load_pool(make(tmp_path), tmp_path / "data")
