"""CIFAR-10 in each of its forms: batches known by their checksum, and pictures in folders or a zip file."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from regstudy.config.schema import Data
from regstudy.data import cifar10, cifar10_batches, open_test, prepare
from regstudy.data.cifar10 import CLASSES, load
from regstudy.data.cifar10_batches import ARCHIVE, FOLDER
from regstudy.data.image_set import ImageSet
from regstudy.errors import DataError, DataUnavailable, RegstudyError

COUNT = {"train": 3, "test": 2}  # pictures per class


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "IMAGES_PER_CLASS", COUNT)


def pixels(part: str) -> np.ndarray:
    """N×3×32×32: a plain color per picture, so that JPEG keeps it, in the order of the classes."""
    count = 10 * COUNT[part]
    levels = np.random.default_rng(len(part)).integers(0, 256, (count, 3, 1, 1), dtype=np.uint8)
    return np.broadcast_to(levels, (count, 3, 32, 32)).copy()


def labels(part: str) -> list[int]:
    return [label for label in range(10) for _ in range(COUNT[part])]


def write_folders(root: Path) -> Path:
    for part in COUNT:
        for index, (picture, label) in enumerate(zip(pixels(part), labels(part), strict=True)):
            path = root / part / CLASSES[label] / f"{index:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.transpose(1, 2, 0)).save(path)
    return root


def write_zip(path: Path, folder: Path, prefix: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.png"), reverse=True):
            archive.write(file, prefix + file.relative_to(folder).as_posix())
        archive.writestr(prefix + "README.md", "CIFAR-10")
    return path


def python2_batch(images: np.ndarray, numbers: list[int]) -> bytes:
    """A pickle as Python 2 wrote the authors' batches: byte strings without a type of their own, numpy's old module."""
    flat = images.reshape(len(images), -1)
    number = lambda value: b"J" + struct.pack("<i", value)  # noqa: E731
    dtype = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNN" + number(-1) * 2 + b"K\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    state = b"(K\x01(" + b"".join(map(number, flat.shape)) + b"t" + dtype + b"I00\nT"
    state += struct.pack("<i", flat.size) + flat.tobytes() + b"tb"
    listed = b"](" + b"".join(map(number, numbers)) + b"e"
    return b"\x80\x02}(U\x04data" + array + state + b"U\x06labels" + listed + b"u."


def write_batches(folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None = None) -> Path:
    """Two training batches and a test batch, whose checksums are from now on the known ones."""
    folder.mkdir(parents=True)
    known: dict[str, list[list[str]]] = {}
    for part, names in {"train": ["data_batch_1", "data_batch_2"], "test": ["test_batch"]}.items():
        cut = [0, 10, 10 * COUNT[part]] if part == "train" else [0, 10 * COUNT[part]]
        known[part] = []
        for name, (start, end) in zip(names, pairwise(cut), strict=True):
            batch = content or python2_batch(pixels(part)[start:end], labels(part)[start:end])
            (folder / name).write_bytes(batch)
            known[part].append([name, hashlib.md5(batch).hexdigest()])
    monkeypatch.setattr(cifar10_batches, "BATCHES", known)
    return folder


def config(**changes: Any) -> Data:
    return Data.model_validate({"name": "cifar10", "validation": 0.34, **changes})


def part(name: str, data_dir: Path, **changes: Any) -> ImageSet:
    found = load(name, config(**changes), data_dir)
    assert found is not None
    return found


Form = Callable[[Path, pytest.MonkeyPatch], dict[str, Any]]  # puts it into a data folder; what the configuration says


def batches(home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    write_batches(home / "cifar10" / FOLDER, monkeypatch)
    return {}


def folders(home: Path, _: pytest.MonkeyPatch) -> dict[str, Any]:
    write_folders(home / "cifar10")
    return {}


def archive(home: Path, _: pytest.MonkeyPatch) -> dict[str, Any]:
    write_zip(home / "cifar10" / "any name.zip", write_folders(home / "elsewhere"))
    return {}


def root_batches(home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return {"root": str(write_batches(home / "mine" / FOLDER, monkeypatch).parent)}


def root_folder(home: Path, _: pytest.MonkeyPatch) -> dict[str, Any]:
    return {"root": str(write_folders(home / "mine"))}


def root_zip(home: Path, _: pytest.MonkeyPatch) -> dict[str, Any]:
    inner = write_folders(home / "elsewhere")
    return {"root": str(write_zip(home / "mine.zip", inner, "CIFAR-10-images-master/"))}


FORMS: dict[str, Form] = {
    form.__name__: form for form in (batches, folders, archive, root_batches, root_folder, root_zip)
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_images_in_the_official_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    changes = FORMS[name](tmp_path, monkeypatch)
    for which in COUNT:
        found = part(which, tmp_path, **changes)
        assert found.classes == CLASSES and found.labels.tolist() == labels(which)
        assert found.labels.dtype == torch.int64
        assert np.array_equal(found.images.numpy(), pixels(which))
        found.images.add_(1)  # may be written to
    assert load("validation", config(**changes), tmp_path) is None
    paths = part("train", tmp_path, **changes).paths
    assert paths == () if "batches" in name else paths[0] == "train/airplane/0000.png" and len(paths) == 30
    splits = prepare(config(**changes), tmp_path)
    assert len(splits.train) + len(splits.validation) == 30
    assert len(open_test(config(**changes), tmp_path)) == 20


def test_pictures_can_be_grouped_by_their_paths(tmp_path: Path) -> None:
    write_folders(tmp_path / "cifar10")
    splits = prepare(config(group=r"(\d\d\d)\.png"), tmp_path)
    assert splits.describe()["groups"] == 30


def test_some_classes_alone_are_numbered_in_the_order_given(tmp_path: Path) -> None:
    write_folders(tmp_path / "cifar10")
    found = load("train", config(), tmp_path, classes="dog, cat")
    assert found is not None and found.classes == ("dog", "cat")
    assert found.labels.tolist() == [1, 1, 1, 0, 0, 0] and found.paths[0].startswith("train/cat")
    assert np.array_equal(found.images.numpy(), pixels("train")[[9, 10, 11, 15, 16, 17]])
    with pytest.raises(DataError, match=r"no class 'dgo'\. Did you mean 'dog'"):
        load("train", config(), tmp_path, classes="cat, dgo")


def test_pictures_are_decoded_once_and_anew_when_they_or_what_is_kept_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folders(tmp_path / "cifar10")
    genuine, calls = cifar10._decode, []
    monkeypatch.setattr(cifar10, "_decode", lambda *given: calls.append(1) or genuine(*given))
    first = part("train", tmp_path)
    assert part("train", tmp_path).hash == first.hash and part("train", tmp_path).paths == first.paths
    assert len(calls) == 1
    (kept,) = (tmp_path / "cifar10").glob("decoded_train_*")
    whole = kept.read_bytes()
    for damaged in (b"", whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        kept.write_bytes(damaged)
        assert part("train", tmp_path).hash == first.hash
    assert len(calls) == 4
    Image.new("RGB", (32, 32), (1, 2, 3)).save(tmp_path / "cifar10" / "train" / "cat" / "0009.png")
    assert part("train", tmp_path).hash != first.hash
    assert len(calls) == 5
    os.utime(tmp_path / "cifar10" / "train" / "cat" / "0009.png", ns=(1, 1))
    part("train", tmp_path)
    assert len(calls) == 6


# What is damaged, partial or not what it says is an error, never a reason to fall back


def zip_cut(home: Path) -> None:
    path = write_zip(home / "cifar10" / "a.zip", write_folders(home / "elsewhere"))
    path.write_bytes(path.read_bytes()[:-100])


def zip_flipped(home: Path) -> None:
    path = write_zip(home / "cifar10" / "a.zip", write_folders(home / "elsewhere"))
    content = bytearray(path.read_bytes())
    content[200:230] = bytes(30)
    path.write_bytes(bytes(content))


def zip_twice(home: Path) -> None:
    path = write_zip(home / "cifar10" / "a.zip", write_folders(home / "elsewhere"))
    path.with_name("b.zip").write_bytes(path.read_bytes())


def zip_of_something_else(home: Path) -> None:
    (home / "notes").mkdir()
    write_zip(home / "cifar10" / "a.zip", home / "notes")


def picture_missing(home: Path) -> None:
    (write_folders(home / "cifar10") / "train" / "cat" / "0010.png").unlink()


def class_missing(home: Path) -> None:
    (write_folders(home / "cifar10") / "train" / "ship").rename(home / "ship")


def train_missing(home: Path) -> None:
    (write_folders(home / "cifar10") / "train").rename(home / "train")


def picture_not_one(home: Path) -> None:
    (write_folders(home / "cifar10") / "train" / "cat" / "0010.png").write_bytes(b"not a picture")


def picture_too_large(home: Path) -> None:
    Image.new("RGB", (33, 32)).save(write_folders(home / "cifar10") / "train" / "cat" / "0010.png")


def archive_cut(home: Path) -> None:
    (home / "cifar10").mkdir()
    (home / "cifar10" / ARCHIVE).write_bytes(b"half of it")


DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (zip_cut, r"a\.zip is not a complete zip file"),
    (zip_flipped, r"1 picture in .*a\.zip cannot be read: .*\.png"),
    (zip_twice, r"several zip files \(a\.zip, b\.zip\)"),
    (zip_of_something_else, r"airplane \(0\), automobile \(0\)"),
    (picture_missing, r"train must have 3 pictures per class, but these differ: cat \(2\)\."),
    (class_missing, r"these differ: ship \(0\)\."),
    (train_missing, r"airplane \(0\)"),
    (picture_not_one, r"1 picture in .* cannot be read: train/cat/0010\.png"),
    (picture_too_large, r"train/cat/0010\.png \(33×32 pixels\)"),
    (archive_cut, r"cifar-10-python\.tar\.gz is not a complete CIFAR-10 file: its MD5 sum"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_not_whole_is_an_error(tmp_path: Path, damage: Callable[[Path], None], words: str) -> None:
    damage(tmp_path)
    with pytest.raises(DataError, match=words) as error:
        load("train", config(), tmp_path)
    assert not isinstance(error.value, DataUnavailable)
    assert not list(tmp_path.rglob("decoded_*"))


def test_a_batch_that_is_missing_or_changed_is_an_error_and_is_not_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_batches(tmp_path / "cifar10" / FOLDER, monkeypatch)
    monkeypatch.setattr(cifar10_batches._ArraysOnly, "load", lambda _: pytest.fail("unpickled"))
    (folder / "data_batch_1").write_bytes((folder / "data_batch_1").read_bytes()[:-1])
    with pytest.raises(DataError, match="data_batch_1 is not a complete CIFAR-10 file: its MD5") as error:
        load("train", config(), tmp_path)
    assert not isinstance(error.value, DataUnavailable)
    (folder / "data_batch_1").unlink()
    with pytest.raises(DataError, match="data_batch_1 is not a complete CIFAR-10 file: it cannot be read"):
        load("train", config(), tmp_path)


class Spell:
    """Would write a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("spell"),)


def test_even_with_the_right_checksum_nothing_but_arrays_is_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_batches(tmp_path / "cifar10" / FOLDER, monkeypatch, pickle.dumps({"data": Spell(), "labels": []}))
    with pytest.raises(DataError, match="which could be unsafe"):
        load("train", config(), tmp_path)
    assert not Path("spell").exists()


@pytest.mark.parametrize("root", ["nowhere", "empty", "notes.txt"])
def test_a_root_that_is_not_cifar10_is_an_error(tmp_path: Path, root: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match=f"data.root .*{root}' is not CIFAR-10") as error:
        load("train", config(root=str(tmp_path / root)), tmp_path)
    assert not isinstance(error.value, DataUnavailable)


def test_a_file_where_the_data_folder_should_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cifar10").write_text("")
    with pytest.raises(RegstudyError, match="is a file") as error:
        load("train", config(), tmp_path)
    assert not isinstance(error.value, DataUnavailable)


def test_a_full_disk_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    write_folders(tmp_path / "cifar10")
    monkeypatch.setattr(cifar10, "write_atomically", refuse)
    with pytest.raises(DataError, match=r"No space left.*another data folder"):
        load("train", config(), tmp_path)


# Download


FAILURES = {
    "no network": URLError("no route to host"),
    "wrong checksum": RuntimeError("File not found or corrupted."),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_cannot_be_downloaded_is_unavailable_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def download(url: str, folder: str, filename: str, checksum: str) -> None:
        assert url.endswith(".tar.gz") and len(checksum) == 32
        (Path(folder) / filename).write_bytes(b"half of it")
        raise FAILURES[name]

    monkeypatch.setattr(cifar10_batches, "download_url", download)
    with pytest.raises(DataUnavailable, match=r"cannot be downloaded .*cifar-10-python\.tar\.gz"):
        load("train", config(), tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.name != "cifar10"] == []


def test_a_downloaded_archive_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = write_batches(tmp_path / "elsewhere" / FOLDER, monkeypatch)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        packed.add(inner, FOLDER)
    calls: list[str] = []

    def download(url: str, folder: str, filename: str, _: str) -> None:
        calls.append(url)
        (Path(folder) / filename).write_bytes(buffer.getvalue())

    monkeypatch.setattr(cifar10_batches, "download_url", download)
    monkeypatch.setattr(cifar10_batches.CIFAR10, "tgz_md5", hashlib.md5(buffer.getvalue()).hexdigest())
    home = tmp_path / "data"
    assert len(part("train", home)) == 30 and len(part("test", home)) == 20
    assert len(calls) == 1
    assert sorted(path.name for path in (home / "cifar10").iterdir()) == [FOLDER, ARCHIVE]


@pytest.mark.table
def test_the_pictures_of_cifar10_are_read_as_they_are(
    real_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar10, "IMAGES_PER_CLASS", {"train": 5000, "test": 1000})
    path = real_images / "cifar10_images.zip"
    found = part("test", tmp_path, root=str(path))
    assert torch.bincount(found.labels).tolist() == [1000] * 10
    with zipfile.ZipFile(path) as packed:
        for index in (0, 4321, 9999):
            with Image.open(io.BytesIO(packed.read(found.paths[index]))) as picture:
                assert np.array_equal(np.asarray(picture), found.images[index].permute(1, 2, 0).numpy())
            assert found.paths[index].split("/")[1] == CLASSES[found.labels[index]]
