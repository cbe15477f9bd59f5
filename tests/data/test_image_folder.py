"""Folders of one's own images: what belongs to which class and part, and what is said where something is wrong."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from regstudy.config.schema import Data
from regstudy.data import image_folder, open_test, parallel, pixel_cache, prepare
from regstudy.data.image_set import ImageSet
from regstudy.errors import DataError, DataUnavailable, RegstudyError

COLOR = (200, 40, 100)


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (10, 10, 3), dtype=np.uint8))


def write_folder(folder: Path, count: int = 8, classes: tuple[str, ...] = ("cat", "dog"), seed: int = 0) -> Path:
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            picture(1000 * seed + 100 * number + index).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of eight images."""
    return write_folder(tmp_path / "images")


def config(root: Path, **changes: Any) -> Data:
    return Data(name="image_folder", root=str(root), **{"size": 10, **changes})


def load(root: Path, part: str = "train", **changes: Any) -> ImageSet:
    found = image_folder.load(part, config(root, **changes), root.parent / "data")
    assert found is not None
    return found


# What belongs where


def test_images_come_in_the_order_of_their_names_with_labels_classes_and_paths(root: Path) -> None:
    found = load(root)
    assert found.images.shape == (16, 3, 10, 10) and found.images.dtype == torch.uint8
    assert found.classes == ("cat", "dog") and found.labels.tolist() == [0] * 8 + [1] * 8
    assert found.labels.dtype == torch.int64
    assert found.paths == tuple(f"{name}/{index}.png" for name in ("cat", "dog") for index in range(8))
    for place, seed in ((0, 0), (7, 7), (8, 100), (15, 107)):
        assert np.array_equal(found.images[place].numpy(), np.asarray(picture(seed)).transpose(2, 0, 1))


@pytest.mark.parametrize("threads", [1, 5])
def test_the_set_is_the_same_for_any_number_of_threads(
    root: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr(parallel, "THREAD_COUNT", threads)
    monkeypatch.setattr(pixel_cache, "FILES_PER_BATCH", 1)
    found = load(root)
    assert [int(image[0, 0, 0]) for image in found.images] == [
        int(np.asarray(picture(seed))[0, 0, 0]) for seed in (*range(8), *range(100, 108))
    ]


def test_the_size_is_64_unless_it_is_given_and_fit_is_obeyed(root: Path) -> None:
    assert load(root, size=None).shape == (3, 64, 64)
    for path in root.rglob("*.png"):
        Image.new("RGB", (20, 10), COLOR).save(path)
    assert int(load(root, fit="crop").images[0, 0].min()) == 200
    assert int(load(root, fit="stretch").images[0, 0].min()) == 200
    padded = load(root, fit="pad").images[0, 0]
    assert padded[5].tolist() == [200] * 10 and padded[0].tolist() == padded[9].tolist() == [0] * 10


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "P", "I;16"])
def test_gray_folders_have_one_channel_with_pillows_gray(root: Path, mode: str, fit: str) -> None:
    for path in root.rglob("*.png"):
        Image.new("L", (20, 10), 255).convert(mode).save(path)
    found = load(root, channels=1, fit=fit)
    assert found.shape == (1, 10, 10) and found.images.dtype == torch.uint8
    assert int(found.images[0, 0, 5, 5]) in (254, 255) or mode == "I;16"  # 255 of 65535 is black
    assert load(root, fit=fit).shape == (3, 10, 10)


def test_color_becomes_gray_by_its_luma(root: Path) -> None:
    gray, color = load(root, channels=1).images[0, 0], load(root).images[0].float()
    expected = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
    assert float((gray.float() - expected).abs().max()) <= 1


def test_writing_to_the_images_does_not_warn_and_changes_nothing_kept(root: Path) -> None:
    found = load(root)
    before = found.hash
    found.images.zero_()
    assert load(root).hash == before


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp", "tif", "PNG", "JPEG"])
def test_every_usual_suffix_is_read(root: Path, suffix: str) -> None:
    Image.new("RGB", (8, 8), COLOR).save(root / "cat" / f"a.{suffix}")
    found = load(root)
    image = found.images[found.paths.index(f"cat/a.{suffix}")]
    assert (image.float().mean((1, 2)) - torch.tensor(COLOR)).abs().max() < 6


def test_images_in_folders_below_a_class_belong_to_it_and_other_files_to_nothing(root: Path) -> None:
    for folder in (root / "cat" / "winter" / "night", root / ".hidden", root / "cat" / ".trash"):
        folder.mkdir(parents=True)
        picture(9).save(folder / "9.png")
    for stray in ("notes.txt", "cat/notes.txt", "cat/.trash.png", "stray.png"):
        (root / stray).write_text("")
    found = load(root)
    assert found.classes == ("cat", "dog")
    assert torch.bincount(found.labels).tolist() == [9, 8]
    assert "cat/winter/night/9.png" in found.paths


def test_classes_are_sorted_and_may_differ_by_case_only(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "images", 2, ("b", "B", "a", "Ä"))
    if len(list(folder.iterdir())) == 4:  # not every file system can tell
        assert load(folder).classes == ("B", "a", "b", "Ä")


def test_links_are_followed_and_lead_round_no_circle(root: Path) -> None:
    elsewhere = write_folder(root.parent / "elsewhere", 3, ("emus", "more"), seed=5)
    (root / "emu").symlink_to(elsewhere / "emus")
    (root / "dog" / "more").symlink_to(elsewhere / "more")
    (root / "dog" / "again").symlink_to(elsewhere / "more")  # a second way to the same folder
    (root / "cat" / "self").symlink_to(root / "cat")
    (root / "cat" / "up").symlink_to(root)
    (root / "cat" / "top").symlink_to("/")
    (elsewhere / "emus" / "back").symlink_to(root)
    (elsewhere / "emus" / "round").symlink_to(elsewhere)
    (root / "cat" / "knot").symlink_to("knot")
    (root / "cat" / "link.png").symlink_to(root / "cat" / "0.png")
    found = load(root)
    assert found.classes == ("cat", "dog", "emu")
    assert torch.bincount(found.labels).tolist() == [9, 11, 3]
    assert "dog/again/0.png" in found.paths and "dog/more/0.png" not in found.paths


def test_names_that_are_no_text_are_no_obstacle(root: Path) -> None:
    try:
        (root / "cat" / "0.png").rename(root / "cat" / os.fsdecode(b"\xff\xfe.png"))
    except OSError:
        pytest.skip("this file system takes text only")
    (root / "dog" / os.fsdecode(b"\xff.png")).write_bytes(b"")
    for _ in range(2):
        assert len(load(root, unreadable="skip")) == 16
    (listed,) = (root.parent / "data").rglob("*.skipped.txt")
    assert len(listed.read_bytes().splitlines()) == 2  # a heading, and the one file


# Parts


NAMES = [
    ("train", "val", "test"),
    ("training", "valid", "test"),
    ("train", "validation", "test"),
    ("Train", "VAL", "Test"),
]


@pytest.mark.parametrize("names", NAMES)
def test_a_divided_folder_keeps_its_division(tmp_path: Path, names: tuple[str, ...]) -> None:
    for seed, name in enumerate(names):
        write_folder(tmp_path / "images" / name, 6 - seed, seed=seed)
    section, data = config(tmp_path / "images"), tmp_path / "data"
    splits = prepare(section, data)
    assert (len(splits.train), len(splits.clean_train), len(splits.validation)) == (12, 10, 10)
    test = open_test(section, data)
    assert len(test) == 8 and test.paths[0] == f"{names[2]}/cat/0.png"
    assert np.array_equal(test.images[0].numpy(), np.asarray(picture(2000)).transpose(2, 0, 1))
    limited = prepare(section.model_copy(update={"train_limit": 4}), data)
    assert torch.bincount(limited.train.labels).tolist() == [2, 2]
    assert limited.validation.hash == splits.validation.hash


def test_a_division_without_validation_takes_it_from_training(tmp_path: Path) -> None:
    for seed, name in enumerate(["train", "test"]):
        write_folder(tmp_path / "images" / name, 8, seed=seed)
    splits = prepare(config(tmp_path / "images", validation=0.25), tmp_path / "data")
    assert (len(splits.train), len(splits.validation)) == (12, 4)


def test_a_class_may_be_called_like_a_part_where_there_is_no_division(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "images", 2, ("control", "test"))
    assert load(folder).classes == ("control", "test")
    assert image_folder.load("test", config(folder), tmp_path / "data") is None


# What cannot be used


def loose(root: Path) -> None:
    root.mkdir()
    picture(0).save(root / "0.png")


def divided(*parts: str) -> Callable[[Path], Any]:
    return lambda root: [write_folder(root / part, 2) for part in parts]


def train_and(part: str, *classes: str) -> Callable[[Path], Any]:
    return lambda root: (write_folder(root / "train", 2), write_folder(root / part, 2, classes))


def without_dogs(root: Path) -> None:
    divided("train", "test")(root)
    for path in (root / "test" / "dog").iterdir():
        path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0")
        path.rename(path.with_suffix(".heic"))


REFUSED: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "nothing there": (
        lambda _: None,
        "train",
        r"data.root '.*images' does not exist \(looked in /.*images\)\. It must be a folder",
    ),
    "a file": (lambda root: root.write_bytes(b"PK"), "train", "is a file; unpack it"),
    "no class": (lambda root: root.mkdir(), "train", "at least two subfolders.* has none"),
    "loose images": (loose, "train", "two subfolders.* has none and 1 image outside of subfolders"),
    "one class": (lambda root: write_folder(root, 2, ("cat",)), "train", "two subfolders.* only 'cat'"),
    "one class in training": (
        lambda root: write_folder(root / "train", 2, ("cat",)),
        "train",
        "train must have .* 'cat'",
    ),
    "an empty class": (
        lambda root: (write_folder(root, 2), (root / "emu").mkdir()),
        "train",
        r"has no images for 'emu'\. Add images \(\.bmp, \.gif.* or other formats\) or remove the folder",
    ),
    "no images": (
        lambda root: [(root / name).mkdir(parents=True) for name in ("cat", "dog")],
        "train",
        "has no images for 'cat', 'dog'",
    ),
    "a class of another format": (without_dogs, "test", "test has no images for 'dog'"),
    "fewer classes": (
        train_and("val", "cat"),
        "validation",
        "val and .*train have different classes: 'dog' only in train. Both need the same",
    ),
    "more classes": (train_and("val", "cat", "dog", "emu"), "validation", "different classes: 'emu' only in val"),
    "other classes": (train_and("test", "cat", "emu"), "test", "'dog' only in train, 'emu' only in test"),
    "no training part": (divided("val", "test"), "train", "has 'test', 'val' but no 'train'"),
    "a part twice": (divided("train", "val", "valid"), "train", "both 'val' and 'valid', which mean the same"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_folder_that_cannot_be_used_is_an_error(tmp_path: Path, name: str) -> None:
    make, part, words = REFUSED[name]
    make(tmp_path / "images")
    with pytest.raises(DataError, match=words) as error:
        load(tmp_path / "images", part)
    assert not isinstance(error.value, DataUnavailable), "another data set must not step in"
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


@pytest.mark.parametrize("given", ["x" * 300, "~nobody_of_that_name/images"])
def test_a_root_that_cannot_be_examined_is_an_error(tmp_path: Path, given: str) -> None:
    with pytest.raises(DataError, match=r"data\.root .* cannot be accessed|does not exist"):
        image_folder.load("train", Data(name="image_folder", root=given), tmp_path)


def test_a_folder_that_may_not_be_read_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "dog":
            raise PermissionError(13, "Permission denied")
        return genuine(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=r"The folder .*dog cannot be read: permission denied"):
        load(root)


def test_a_data_folder_that_cannot_be_written_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root.parent / "data").write_text("")
    with pytest.raises(RegstudyError, match="data is a file"):
        load(root)
    (root.parent / "data").unlink()

    def refused(**_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    with pytest.raises(RegstudyError, match="permission denied"):
        load(root)


# Images that cannot be used


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "text": (lambda path: path.write_bytes(b"not a picture"), "not an image"),
    "nothing": (lambda path: path.write_bytes(b""), "empty"),
    "the first half": (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "truncated"),
    "a broken link": (lambda path: (path.unlink(), path.symlink_to("gone.png")), "a broken link"),
    "a pipe": (lambda path: (path.unlink(), os.mkfifo(path)), "not a file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_image_that_cannot_be_read_is_named_or_skipped(
    root: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    change, reason = BROKEN[name]
    change(root / "cat" / "3.png")
    data = root.parent / "data"
    words = rf"^1 of 16 images in .*images cannot be read: cat/3\.png \({reason}\)\. .* set data\.unreadable: skip to"
    for _ in range(2):
        with pytest.raises(DataError, match=words):
            load(root)
    assert not caplog.text
    for _ in range(2):
        found = load(root, unreadable="skip")
        assert len(found) == len(found.paths) == 15 and "cat/3.png" not in found.paths
        assert found.labels.tolist() == [0] * 7 + [1] * 8
        for place, seed in ((2, 2), (3, 4), (14, 107)):
            assert np.array_equal(found.images[place].numpy(), np.asarray(picture(seed)).transpose(2, 0, 1))
        (said,) = caplog.messages
        caplog.clear()
        assert f"Skipped 1 unreadable file in {root}: cat/3.png ({reason}). The full list is in {data}" in said
        assert "\n" not in said
    (listed,) = data.rglob("*.skipped.txt")
    assert reason in listed.read_text()


def test_a_name_in_brackets_is_shown_as_it_is(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "cat" / "[red]3.png").write_bytes(b"")
    load(root, unreadable="skip")
    assert "cat/[red]3.png (empty)" in caplog.text


def test_an_image_that_was_mended_is_read(root: Path) -> None:
    path = root / "cat" / "3.png"
    path.write_bytes(b"x")
    with pytest.raises(DataError, match="1 of 16"):
        load(root)
    picture(3).save(path)
    assert len(load(root)) == 16


def test_of_many_broken_images_ten_are_named_and_all_are_listed(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken = [path for path in root.rglob("*.png") if path.stem not in "07"]
    for path in broken:
        path.write_bytes(b"x")
    with pytest.raises(DataError, match=r"^12 of 16 .*; and 2 more\. The full list is in .*txt\. Fix") as error:
        load(root)
    assert str(error.value).count(".png (") == 10
    assert len(load(root, unreadable="skip")) == 4
    assert "and 9 more" in caplog.text
    (listed,) = (root.parent / "data").rglob("*.skipped.txt")
    assert len(listed.read_text().splitlines()) == 1 + 12


@pytest.mark.parametrize("policy", ["error", "skip"])
def test_a_class_without_a_readable_image_is_an_error_either_way(root: Path, policy: str) -> None:
    for path in (root / "dog").iterdir():
        path.write_bytes(b"x")
    with pytest.raises(
        DataError, match=r"8 of 16 images .* They cannot be skipped, because no image of 'dog' would be left"
    ):
        load(root, unreadable=policy)


@pytest.mark.parametrize("policy", ["error", "skip"])
def test_a_folder_without_a_readable_image_is_an_error_either_way(root: Path, policy: str) -> None:
    for path in root.rglob("*.png"):
        path.write_bytes(b"x")
    with pytest.raises(DataError, match=r"16 of 16 images .* no image of 'cat', 'dog'"):
        load(root, unreadable=policy)


# Real images


@pytest.mark.table
def test_real_smears_are_read(real_images: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(real_images / "smear_cells.zip") as archive:
        archive.extractall(tmp_path / "images")
    section = config(tmp_path / "images", size=64)
    splits = prepare(section, tmp_path / "data")
    assert len(splits.train) + len(splits.validation) + len(open_test(section, tmp_path / "data")) == 843
    assert splits.train.classes == ("neg", "pos") and splits.train.images.float().std() > 10
