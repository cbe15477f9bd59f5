"""Pictures of every kind reach the network as those of the training did; what is no picture is said to be none."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from trained_folder import CLASSES, make_trained

import regstudy
from regstudy.config.run_config import parse_config
from regstudy.data import image_folder
from regstudy.errors import ArgumentError, DataError, FileError
from regstudy.production.classifier import Classifier

SIDE = 12
WIDE = (30, 20)


def smooth(size: tuple[int, int] = WIDE, channels: int = 3) -> Image.Image:
    width, height = size
    ramp = np.linspace(0, 255, width * height * channels).reshape(height, width, channels).astype(np.uint8)
    return Image.fromarray(ramp[..., 0] if channels == 1 else ramp)


def with_exif(number: int) -> bytes:
    turned = Image.Exif()
    turned[0x0112] = number
    return saved(smooth(), "JPEG", exif=turned, quality=95)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def with_alpha() -> Image.Image:
    image = smooth().convert("RGBA")
    image.putalpha(smooth(channels=1))
    return image


def deep(dtype: type[np.generic] = np.uint16) -> Image.Image:
    return Image.fromarray(np.linspace(0, 65535, WIDE[0] * WIDE[1]).reshape(WIDE[1], WIDE[0]).astype(dtype))


def transparent_palette() -> bytes:
    image = smooth().quantize(16)
    return saved(image, transparency=3)


def two_frames() -> bytes:
    return saved(smooth(), "GIF", save_all=True, append_images=[smooth().rotate(180)])


PICTURES: dict[str, bytes] = {
    "rgb.png": saved(smooth()),
    "rgb.jpg": saved(smooth(), "JPEG"),
    "rgba.png": saved(with_alpha()),
    "gray.png": saved(smooth(channels=1)),
    "gray_alpha.png": saved(with_alpha().convert("LA")),
    "palette.png": saved(smooth().quantize(16)),
    "transparent_palette.png": transparent_palette(),
    "one_bit.png": saved(smooth().convert("1")),
    "deep.png": saved(deep()),
    "deep.tif": saved(deep(), "TIFF"),
    "cmyk.jpg": saved(smooth().convert("CMYK"), "JPEG"),
    "turned_3.jpg": with_exif(3),
    "turned_6.jpg": with_exif(6),
    "turned_5.jpg": with_exif(5),
    "broken_exif.jpg": with_exif(99),
    "animated.gif": two_frames(),
    "tiny.png": saved(smooth((1, 1))),
    "narrow.png": saved(smooth((2, 40))),
    "large.png": saved(smooth((300, 200))),
    "webp.webp": saved(smooth(), "WEBP"),
    "a_png.jpg": saved(smooth()),
}
NO_PICTURES: dict[str, tuple[bytes, str]] = {
    "notes.png": (b"not a picture", "not an image"),
    "empty.png": (b"", "empty"),
    "short.png": (saved(smooth())[:120], "truncated|broken|Truncated"),
    "short.jpg": (saved(smooth(), "JPEG")[:300], "truncated"),
    "page.pdf": (b"%PDF-1.4 nothing", "not an image"),
    "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
}


@pytest.fixture
def classifier(tmp_path: Path) -> Classifier:
    make_trained(tmp_path / "out", size=SIDE)
    return regstudy.load(tmp_path / "out")


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_is_decoded_as_in_the_training(tmp_path: Path, fit: str, channels: int) -> None:
    """All pictures at once, as a class folder of a training."""
    for part in ("a", "b"):
        folder = tmp_path / "photos" / part
        folder.mkdir(parents=True)
        for name, content in PICTURES.items():
            (folder / name).write_bytes(content)
    section = {"name": "image_folder", "root": str(tmp_path / "photos"), "size": SIDE, "fit": fit, "channels": channels}
    config = parse_config({"data": section, "model": {"name": "small_cnn"}}, "test")
    trained = image_folder.load("train", config.data, tmp_path / "data")
    assert trained is not None and len(trained) == 2 * len(PICTURES)
    make_trained(tmp_path / "out", {"data.fit": fit}, channels=channels, size=SIDE)
    classifier = regstudy.load(tmp_path / "out")
    for name, wanted in zip(trained.paths, trained.images, strict=True):
        found = classifier.preprocess(tmp_path / "photos" / name)
        assert torch.equal(found, wanted), name


@pytest.mark.parametrize("name", PICTURES)
def test_an_open_picture_is_the_same_as_its_file(classifier: Classifier, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(PICTURES[name])
    with Image.open(path) as image:
        before = image.tobytes(), image.size
        assert torch.equal(classifier.preprocess(image), classifier.preprocess(path))
        assert (image.tobytes(), image.size) == before
    assert classifier.predict(str(path))["class"][0] in CLASSES


@pytest.mark.parametrize("name", NO_PICTURES)
def test_what_is_no_picture_is_named_with_the_reason(classifier: Classifier, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content, words = NO_PICTURES[name]
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{name} cannot be read as an image: .*({words})"):
        classifier.preprocess(path)
    good = tmp_path / "good.png"
    good.write_bytes(PICTURES["rgb.png"])
    with pytest.raises(DataError, match=rf"1 file cannot be read as an image: .*{name} \(.*({words})"):
        classifier.predict([good, path, good])


def test_all_files_that_cannot_be_read_are_counted(classifier: Classifier, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    paths = [tmp_path / name for name in ("gone.png", "pipe.png", "loop.png", *map(str, range(10)))]
    with pytest.raises(DataError, match=r"13 files.*gone.png \(there is no.*pipe.png \(.*loop.png \(.*and 3 more"):
        classifier.predict(paths)


RGB = np.asarray(smooth((SIDE, SIDE)))
LARGE = np.asarray(smooth())
SAME: dict[str, Callable[[], Any]] = {
    "array H×W×C": lambda: RGB,
    "array C×H×W": lambda: RGB.transpose(2, 0, 1),
    "array N×H×W×C": lambda: RGB[None],
    "array N×C×H×W": lambda: RGB.transpose(2, 0, 1)[None],
    "array RGBA": lambda: np.concatenate([RGB, np.full((SIDE, SIDE, 1), 255, np.uint8)], 2),
    "array in reverse order": lambda: RGB[::-1][::-1],
    "read-only array": lambda: np.frombuffer(RGB.tobytes(), np.uint8).reshape(RGB.shape),
    "tensor C×H×W": lambda: torch.tensor(RGB).permute(2, 0, 1),
    "tensor H×W×C": lambda: torch.tensor(RGB),
    "tensor N×C×H×W": lambda: torch.tensor(RGB).permute(2, 0, 1)[None],
    "Pillow": lambda: Image.fromarray(RGB),
    "a list": lambda: [RGB],
    "a tuple of Pillow": lambda: (Image.fromarray(RGB),),
    "a generator": lambda: (one for one in [RGB]),
}


@pytest.mark.parametrize("kind", SAME)
def test_one_picture_in_every_form_is_answered_alike(classifier: Classifier, kind: str) -> None:
    wanted = classifier.predict(Image.fromarray(RGB))
    assert classifier.predict(SAME[kind]()).equals(wanted)


@pytest.mark.parametrize("kind", ["H×W×C", "N×H×W×C", "H×W", "N×C×H×W of one channel"])
def test_arrays_of_another_size_are_resized_as_files(classifier: Classifier, tmp_path: Path, kind: str) -> None:
    gray = kind in ("H×W", "N×C×H×W of one channel")
    array = LARGE[..., 0] if gray else LARGE
    Image.fromarray(array).save(tmp_path / "large.png")
    given = {"N×H×W×C": array[None], "N×C×H×W of one channel": array[None, None]}.get(kind, array)
    assert classifier.predict(given).equals(classifier.predict(tmp_path / "large.png").drop(columns="file"))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (RGB / 255, "must be uint8.*float64"),
        (torch.tensor(RGB).float(), "must be uint8.*float32"),
        (RGB > 100, "must be uint8.*bool"),
        (RGB.astype(np.int64), "must be uint8.*int64"),
        (np.zeros((5, SIDE, SIDE), np.uint8), "5×12×12.*images\\[:, None\\]"),
        (np.zeros((1, 2, 3, 4, 5), np.uint8), "1×2×3×4×5"),
        (np.zeros(3, np.uint8), "the shape is 3"),
        (np.zeros((2, 5, SIDE, SIDE), np.uint8), "2×5×12×12"),
        (np.zeros((0, 9, 3), np.uint8), "0×9×3"),
        (7, "of the type int"),
        (None, "of the type NoneType"),
        ([7], "one is of the type int"),
        (b"bytes", "of the type bytes"),
        ({"a": 1}, "of the type dict"),
        ([RGB, "a.png"], "either paths or pictures"),
    ],
)
def test_what_is_no_image_is_an_argument_error(classifier: Classifier, wrong: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        classifier.predict(wrong)


@pytest.mark.parametrize("name", ["", "x\0y", "y" * 300])
def test_impossible_paths_are_file_errors(classifier: Classifier, name: str) -> None:
    with pytest.raises(FileError, match="path of an image"):
        classifier.predict(name)


def test_a_folder_is_all_images_in_and_below_it(
    classifier: Classifier, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "new"
    (folder / "deep" / "er").mkdir(parents=True)
    for name in ("b.png", "a.png", "deep/er/c.png", ".hidden.png"):
        (folder / name).write_bytes(PICTURES["rgb.png"])
    (folder / "notes.txt").write_text("x")
    table = classifier.predict(folder)
    assert table["file"].tolist() == [str(folder / name) for name in ("a.png", "b.png", "deep/er/c.png")]
    assert "Passed over 1 file" in caplog.text and "notes.txt" in caplog.text


@pytest.mark.parametrize("content", [{}, {"notes.txt": b"x"}])
def test_a_folder_without_images_is_an_error(classifier: Classifier, tmp_path: Path, content: dict[str, bytes]) -> None:
    (tmp_path / "new").mkdir()
    for name, written in content.items():
        (tmp_path / "new" / name).write_bytes(written)
    with pytest.raises(DataError, match="no image in") as error:
        classifier.predict(tmp_path / "new")
    assert all(name in str(error.value) for name in content)


def test_channels_that_no_file_has_need_arrays(tmp_path: Path) -> None:
    make_trained(tmp_path / "out", channels=4, size=SIDE)
    classifier = regstudy.load(tmp_path / "out")
    (tmp_path / "a.png").write_bytes(PICTURES["rgba.png"])
    with pytest.raises(DataError, match=r"4 channels.*N×4×12×12"):
        classifier.predict(tmp_path / "a.png")
    assert len(classifier.predict(np.zeros((2, 4, SIDE, SIDE), np.uint8))) == 2
