"""One contract for every source of images, and what is particular to each kind of file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from regstudy.config.schema import Data
from regstudy.data import SOURCES, cifar10, open_test, prepare, source, svhn
from regstudy.data.image_set import ImageSet
from regstudy.errors import DataError, DataUnavailable, RegstudyError

Pixels = npt.NDArray[np.uint8]


def noise(*shape: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_svhn(path: Path, images: Pixels, labels: npt.NDArray[Any]) -> None:
    """A file as SVHN's authors wrote it, from N×32×32×3 images and labels 0..9."""
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"X": images.transpose(1, 2, 3, 0), "y": np.where(labels == 0, 10, labels).reshape(-1, 1)})


def write_folder(
    folder: Path, count: int, classes: tuple[str, ...] = ("cat", "dog"), seed: int = 0, side: int = 10
) -> None:
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            picture = noise(side, side, 3, seed=1000 * seed + 100 * number + index)
            Image.fromarray(picture).save(folder / name / f"{index}.png")


@dataclass
class Prepared:
    """A source whose files are in place."""

    config: Data
    data_dir: Path
    has_test: bool = True

    def load(self, part: str) -> ImageSet | None:
        return source(self.config.name)(part, self.config, self.data_dir, **self.config.options)

    def part(self, part: str) -> ImageSet:
        found = self.load(part)
        assert found is not None
        return found


def digits(folder: Path) -> Prepared:
    return Prepared(Data(name="digits", size=8), folder)


def house_numbers(folder: Path) -> Prepared:
    for seed, name in enumerate(["train_32x32.mat", "test_32x32.mat"]):
        write_svhn(folder / "svhn" / name, noise(60, 32, 32, 3, seed=seed), np.arange(60) % 10)
    return Prepared(Data(name="svhn", validation=0.25), folder)


def one_folder(folder: Path) -> Prepared:
    write_folder(folder / "images", 8)
    return Prepared(Data(name="image_folder", root=str(folder / "images"), size=10), folder / "data", has_test=False)


def divided_folder(folder: Path) -> Prepared:
    for seed, name in enumerate(["train", "val", "test"]):
        write_folder(folder / "images" / name, 6 - seed, seed=seed)
    return Prepared(Data(name="image_folder", root=str(folder / "images"), size=10), folder / "data")


def street_digits(folder: Path) -> Prepared:
    return Prepared(Data(name="street_digits", train_limit=200), folder)


def cifar10_pictures(folder: Path) -> Prepared:
    for seed, (name, count) in enumerate({"train": 4, "test": 2}.items()):
        write_folder(folder / "cifar10" / name, count, cifar10.CLASSES, seed, side=32)
    return Prepared(Data(name="cifar10", validation=0.25), folder)


def table(folder: Path) -> Prepared:
    lines = ["path,kind,part"]
    for seed, part in enumerate(["train", "val", "test"]):
        write_folder(folder / "images" / part, 6 - seed, seed=seed)
        lines += [f"{part}/{kind}/{n}.png,{kind},{part}" for kind in ("dog", "cat") for n in range(6 - seed)]
    (folder / "images" / "labels.csv").write_text("\n".join(lines))
    columns = {"file": str(folder / "images" / "labels.csv"), "image": "path", "label": "kind", "split": "part"}
    return Prepared(Data(name="table", size=10, **columns), folder / "data")


MAKERS: dict[str, Callable[[Path], Prepared]] = {
    "cifar10": cifar10_pictures,
    "digits": digits,
    "svhn": house_numbers,
    "image_folder": one_folder,
    "image_folder, divided": divided_folder,
    "street_digits": street_digits,
    "table": table,
}


@pytest.fixture(scope="module", params=MAKERS)
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cifar10, "IMAGES_PER_CLASS", {"train": 4, "test": 2})
        yield MAKERS[request.param](tmp_path_factory.mktemp("source"))


def test_the_contract_meets_every_source() -> None:
    assert {name.partition(",")[0] for name in MAKERS} == set(SOURCES)


def pictures(images: ImageSet) -> set[bytes]:
    return {image.numpy().tobytes() for image in images.images}


def test_a_part_is_images_with_labels_that_its_classes_name(prepared: Prepared) -> None:
    for part in ("train", "test") if prepared.has_test else ("train",):
        found = prepared.part(part)
        assert found.images.dtype == torch.uint8
        assert found.labels.dtype == torch.int64 and found.labels.shape == (len(found.images),)
        channels, height, width = found.shape
        assert channels in (1, 3) and height == width
        assert set(found.labels.tolist()) == set(range(len(found.classes)))
        assert len(set(found.classes)) == len(found.classes) >= 2
        assert found.images.float().std() > 10, "the images are empty"


def test_parts_are_the_same_every_time_and_do_not_overlap(prepared: Prepared) -> None:
    train = prepared.part("train")
    assert prepared.part("train").hash == train.hash
    if not prepared.has_test:
        assert prepared.load("test") is None
        with pytest.raises(DataError, match="has no test set"):
            open_test(prepared.config, prepared.data_dir)
        return
    test = open_test(prepared.config, prepared.data_dir)
    assert test.hash == prepared.part("test").hash != train.hash
    assert test.classes == train.classes and test.shape == train.shape
    assert not pictures(train) & pictures(test)


def test_prepared_splits_are_stable_disjoint_and_measured_on_training_images(prepared: Prepared) -> None:
    one, other = (prepare(prepared.config, prepared.data_dir) for _ in range(2))
    assert one.hash == other.hash and one.describe() == other.describe()
    assert pictures(one.clean_train) <= pictures(one.train)
    assert not pictures(one.train) & pictures(one.validation)
    assert len(one.clean_train) == min(len(one.validation), len(one.train))
    assert one.describe()["validation"] == len(one.validation) and one.describe()["name"] == prepared.config.name
    for part in (one.train, one.clean_train, one.validation):
        assert len(part) == len(part.images) and set(part.labels.tolist()) == set(range(len(part.classes)))


def test_preparing_never_opens_the_test_part(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    genuine = source(prepared.config.name)

    def load(part: str, *others: Any, **options: Any) -> ImageSet | None:
        asked.append(part)
        return genuine(part, *others, **options)

    monkeypatch.setattr(f"{SOURCES[prepared.config.name].module}.load", load)
    prepare(prepared.config, prepared.data_dir)
    assert asked == ["train", "validation"]


def test_paths_are_one_for_each_image_or_none_at_all(prepared: Prepared) -> None:
    found = prepared.part("train")
    if SOURCES[prepared.config.name].files:
        assert len(set(found.paths)) == len(found)
        assert all(
            found.classes[label] in path.split("/") for path, label in zip(found.paths, found.labels, strict=True)
        )
    else:
        assert found.paths == ()


def test_another_split_seed_divides_otherwise(tmp_path: Path) -> None:
    made = one_folder(tmp_path)
    hashes = {prepare(made.config.model_copy(update={"split_seed": seed}), made.data_dir).hash for seed in range(3)}
    assert len(hashes) == 3


def test_digits_are_gray_upright_and_a_fifth_is_kept_for_the_test(tmp_path: Path) -> None:
    made = Prepared(Data(name="digits"), tmp_path)
    train, test = made.part("train"), made.part("test")
    assert (len(train), len(test)) == (1437, 360) and train.shape == (1, 32, 32)
    assert Prepared(Data(name="digits", size=20), tmp_path).part("train").shape == (1, 20, 20)
    zeros = train.images[train.labels == 0].float().mean(0)[0]
    ones = train.images[train.labels == 1].float().mean(0)[0]
    assert zeros[14:18, 14:18].mean() < 40 < ones[14:18, 14:18].mean()  # the hole and the stroke
    sevens = train.images[train.labels == 7].float().mean(0)[0]
    assert sevens[2:5].mean() > sevens[-5:-2].mean()  # the bar is above


# SVHN


def test_svhn_pixels_keep_their_place_and_color_and_label_ten_is_zero(tmp_path: Path) -> None:
    images = np.zeros((3, 32, 32, 3), dtype=np.uint8)
    images[0, 2, 30] = (255, 0, 0)  # red, above on the right
    images[1, 29, 1] = (0, 254, 0)  # green, below on the left
    images[2, 31, 31] = (0, 0, 253)  # blue, below on the right
    write_svhn(tmp_path / "svhn" / "train_32x32.mat", images, np.array([0, 1, 9]))
    found = Prepared(Data(name="svhn"), tmp_path).part("train")
    assert found.labels.tolist() == [0, 1, 9] and found.classes == tuple("0123456789")
    assert [tuple(place) for place in found.images.nonzero().tolist()] == [(0, 0, 2, 30), (1, 1, 29, 1), (2, 2, 31, 31)]
    assert [int(image.max()) for image in found.images] == [255, 254, 253]


def test_real_crops_of_svhn_are_read_as_they_are(tmp_path: Path) -> None:
    folder = os.environ.get("REGSTUDY_TEST_DATA")
    if not folder:
        if os.environ.get("CI") == "true":
            pytest.fail("REGSTUDY_TEST_DATA must name the folder of real images")
        pytest.skip("REGSTUDY_TEST_DATA does not name a folder of real images")
    with np.load(Path(folder) / "svhn_real_crops.npz") as crops:
        images, labels = crops["test_x"], crops["test_y"]
    write_svhn(tmp_path / "svhn" / "test_32x32.mat", images, labels)
    found = open_test(Data(name="svhn"), tmp_path)
    assert len(found) == len(labels) == 50 and found.labels.tolist() == labels.tolist()
    assert 0 in labels  # stored as 10
    assert np.array_equal(found.images.numpy(), np.moveaxis(images, 3, 1))


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("svhn") / "whole.mat"
    write_svhn(path, noise(4, 32, 32, 3), np.arange(4))
    return path.read_bytes()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.999))
def test_a_truncated_file_is_an_error_and_never_a_reason_to_fall_back(
    tmp_path: Path, whole_file: bytes, share: float
) -> None:
    path = tmp_path / "svhn" / "train_32x32.mat"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(whole_file[: int(len(whole_file) * share)])
    with pytest.raises(DataError, match="is not a complete SVHN file") as error:
        Prepared(Data(name="svhn"), tmp_path).load("train")
    assert not isinstance(error.value, DataUnavailable)
    assert str(path) in str(error.value)


WRONG_FILES: dict[str, tuple[dict[str, Any], str]] = {
    "no labels": ({"X": noise(32, 32, 3, 2)}, "cannot be read"),
    "no images": ({"y": np.ones((2, 1))}, "cannot be read"),
    "other order": ({"X": noise(2, 32, 32, 3), "y": np.ones((2, 1))}, "X must be"),
    "other type": ({"X": noise(32, 32, 3, 2).astype(float), "y": np.ones((2, 1))}, "X must be"),
    "too few labels": ({"X": noise(32, 32, 3, 2), "y": np.ones((1, 1))}, "X must be"),
    "label 0": ({"X": noise(32, 32, 3, 2), "y": np.array([[0], [1]])}, "labels 1 to 10"),
    "label 11": ({"X": noise(32, 32, 3, 2), "y": np.array([[1], [11]])}, "labels 1 to 10"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_file_of_another_layout_is_an_error(tmp_path: Path, name: str) -> None:
    content, words = WRONG_FILES[name]
    path = tmp_path / "svhn" / "train_32x32.mat"
    path.parent.mkdir()
    savemat(path, content)
    with pytest.raises(DataError, match=words):
        Prepared(Data(name="svhn"), tmp_path).load("train")


FAILURES = {
    "no network": URLError("no route to host"),
    "wrong checksum": RuntimeError("File not found or corrupted."),
    "disk full": OSError(28, "No space left on device"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_file_that_cannot_be_downloaded_is_unavailable_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def download(url: str, folder: str, filename: str, checksum: str) -> None:
        assert url.endswith("train_32x32.mat") and len(checksum) == 32
        (Path(folder) / filename).write_bytes(b"half of it")
        raise FAILURES[name]

    monkeypatch.setattr(svhn, "download_url", download)
    with pytest.raises(DataUnavailable, match=r"cannot be downloaded .*train_32x32\.mat"):
        Prepared(Data(name="svhn"), tmp_path).load("train")
    assert [path for path in tmp_path.rglob("*") if path.name != "svhn"] == []


def test_a_downloaded_file_is_moved_into_place_and_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_file: bytes
) -> None:
    urls: list[str] = []

    def download(url: str, folder: str, filename: str, _: str) -> None:
        urls.append(url)
        (Path(folder) / filename).write_bytes(whole_file)

    monkeypatch.setattr(svhn, "download_url", download)
    made = Prepared(Data(name="svhn"), tmp_path)
    assert len(made.part("train")) == len(made.part("train")) == 4
    assert len(urls) == 1
    assert [path.name for path in (tmp_path / "svhn").iterdir()] == ["train_32x32.mat"]


def test_a_file_where_the_data_folder_should_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "svhn").write_text("")
    with pytest.raises(RegstudyError, match=r"is a file|file is in its way") as error:
        Prepared(Data(name="svhn"), tmp_path).load("train")
    assert not isinstance(error.value, DataUnavailable)
