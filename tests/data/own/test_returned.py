"""What a data set of the user's own may return, and what is said about everything else."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset
from torchvision.datasets import FakeData
from torchvision.transforms import v2

from regstudy.config.schema import Data
from regstudy.data import open_test, prepare
from regstudy.data.image_set import ImageSet
from regstudy.data.loading_events import listening
from regstudy.data.own.refusals import MULTI_LABEL, REGRESSION, Unusable
from regstudy.data.own.returned import as_image_set
from regstudy.errors import DataError

COUNT = 12
GRAY = np.random.default_rng(0).integers(0, 256, (COUNT, 8, 8), dtype=np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (COUNT, 3, 8, 8), dtype=np.uint8)
LAST = np.moveaxis(RGB, 1, -1)
LABELS = np.arange(COUNT) % 3
NAMES = ["a", "b", "c"]


def picture(place: int, mode: str = "RGB", sides: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.fromarray(LAST[place]).convert(mode).resize(sides)


class ClassLabel:
    names = NAMES


class Value:
    def __init__(self, dtype: str) -> None:
        self.dtype = dtype


class Sequence:
    feature = ClassLabel()


class Hugging:
    """A data set as Hugging Face's: columns, features, and items that are dictionaries."""

    def __init__(self, feature: Any, **more: Any) -> None:
        picture_feature = type("Image", (), {})()
        self.features = {"img": picture_feature, "kind": feature, **more}
        self.column_names = list(self.features)
        self.label: Any = lambda place: int(LABELS[place])

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, place: int) -> dict[str, Any]:
        return {name: self.label(place) for name in self.features} | {"img": picture(place)}


class Stream(IterableDataset[Any]):
    def __len__(self) -> int:
        return COUNT

    def __iter__(self) -> Any:
        return iter([])


class Random:
    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, place: int) -> Any:
        return torch.rand(3, 8, 8), 0


def converted(given: Any, part: str = "train", **fields: Any) -> ImageSet | None:
    return as_image_set(given, part, Data(name="mine:data", **fields))


SAME: dict[str, Any] = {  # all are the images of RGB
    "N×C×H×W": (RGB, LABELS),
    "N×H×W×C": (LAST, LABELS),
    "tensor": (torch.from_numpy(RGB), torch.from_numpy(LABELS)),
    "floats to 1": (RGB / 255, LABELS),
    "half floats": (torch.from_numpy(RGB).to(torch.float64).div(255).float(), LABELS.tolist()),
    "floats to 255": (LAST.astype(np.float32), LABELS),
    "wide integers": (RGB.astype(np.int64), LABELS),
    "16 bits": (RGB.astype(np.uint16) * 257, LABELS),
    "list of pictures": ([picture(place) for place in range(COUNT)], LABELS),
    "list of arrays": (list(LAST), LABELS),
    "class names": (RGB, LABELS, NAMES),
    "a number of classes": (RGB, LABELS, 3),
    "names as labels": (RGB, [NAMES[label] for label in LABELS]),
    "one-hot labels": (RGB, np.eye(3)[LABELS]),
    "a column of labels": (RGB, LABELS[:, None]),
    "list of items": [(picture(place), int(LABELS[place])) for place in range(COUNT)],
    "list of mappings": [{"image": RGB[place], "label": LABELS[place]} for place in range(COUNT)],
    "torch data set of bytes": TensorDataset(torch.from_numpy(RGB), torch.from_numpy(LABELS)),
    "torch data set of floats": TensorDataset(torch.from_numpy(RGB) / 255, torch.from_numpy(LABELS)),
    "Hugging Face": Hugging(ClassLabel()),
    "parts": {"train": (RGB, LABELS), "test": (RGB[:3], LABELS[:3])},
}


@pytest.mark.parametrize("name", SAME)
def test_each_form_gives_the_same_images_and_labels(name: str) -> None:
    found = converted(SAME[name])
    assert found is not None
    assert np.array_equal(found.images.numpy(), RGB) and found.labels.tolist() == LABELS.tolist()
    named = ("names" in name and "number" not in name) or name == "Hugging Face"
    assert found.classes == (tuple(NAMES) if named else ("0", "1", "2"))


SIZES: dict[str, tuple[Any, dict[str, Any], tuple[int, int, int]]] = {
    "gray N×H×W": ((GRAY, LABELS), {}, (1, 8, 8)),
    "gray pictures": ([(picture(n, "L"), n % 2) for n in range(6)], {}, (1, 8, 8)),
    "gray and color": ([(picture(n, ["L", "RGB"][n % 2]), n % 2) for n in range(6)], {}, (3, 8, 8)),
    "two channels": ((RGB[:, :2], LABELS), {}, (2, 8, 8)),
    "four channels, last": ((np.concatenate([LAST, LAST[..., :1]], -1), LABELS), {}, (4, 8, 8)),
    "gray as RGB": ((GRAY, LABELS), {"channels": 3}, (3, 8, 8)),
    "RGB as gray": ((RGB, LABELS), {"channels": 1}, (1, 8, 8)),
    "resized": ((RGB, LABELS), {"size": 12}, (3, 12, 12)),
    "oblong": ((RGB[..., :6], LABELS), {}, (3, 64, 64)),
    "oblong, padded": ((RGB[:, :2, :, :6], LABELS), {"size": 16, "fit": "pad"}, (2, 16, 16)),
    "several sizes": ([(picture(n, sides=(8 + n, 9)), n % 2) for n in range(6)], {}, (3, 64, 64)),
    "sizes that change late": ([(picture(n, sides=(8, 8 + n // 5)), n % 2) for n in range(6)], {}, (3, 64, 64)),
    "arrays of several sizes": (([GRAY[n, : 5 + n % 3] for n in range(6)], LABELS[:6]), {"size": 8}, (1, 8, 8)),
    "channels decided by data.channels": ((np.zeros((COUNT, 3, 5, 4), np.uint8), LABELS), {"channels": 3}, (3, 64, 64)),
    "torchvision": (FakeData(10, (3, 20, 30), 4), {}, (3, 64, 64)),
    "a part of a torchvision data set": (Subset(FakeData(10, (3, 20, 20), 4), range(8)), {}, (3, 20, 20)),
}


@pytest.mark.parametrize("name", SIZES)
def test_channels_and_sizes_are_those_of_the_images_or_of_the_configuration(name: str) -> None:
    given, fields, shape = SIZES[name]
    found = converted(given, **fields)
    assert found is not None and found.shape == shape and found.images.dtype == torch.uint8
    if "torchvision" in name:
        assert found.classes == ("0", "1", "2", "3")


def test_floats_of_items_are_one_range_even_if_the_first_is_dark() -> None:
    bright = torch.from_numpy(RGB[:2]).float()
    dark = torch.zeros(1, 3, 8, 8)
    found = converted([(image, place % 2) for place, image in enumerate(torch.cat([dark, bright, dark + 1]))])
    assert found is not None and np.array_equal(found.images[1:3].numpy(), RGB[:2])
    assert int(found.images[3].max()) == 1


def test_what_was_assumed_is_said_once() -> None:
    said: list[str] = []
    with listening(lambda event: said.append(str(event))):
        converted((LAST[:, :, :6] / 255, LABELS), size=12)
        converted((LAST / 255, LABELS), "validation")
    assert said == [
        "'mine:data': float64 N×H×W×C, taken as 0 to 1, RGB, 6×8 pixels resized to 12×12 (fit: crop);"
        " classes are 0 to 2."
    ]


@pytest.mark.parametrize(("word", "part"), [("train", "train"), ("val", "validation"), ("dev", "validation")])
def test_parts_are_found_under_any_word(word: str, part: str) -> None:
    found = converted({"train": (RGB[:6], LABELS[:6]), word: (RGB, LABELS)}, part)
    assert found is not None and len(found) == COUNT
    assert converted({"train": (RGB, LABELS)}, "test") is None
    assert converted(None, part) is None


def labeled(label: Any) -> Hugging:
    data = Hugging(ClassLabel())
    data.label = label
    return data


def damaged() -> Image.Image:
    """A picture whose file ends early, which Pillow notices only when its pixels are needed."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(file, "JPEG")
    return Image.open(io.BytesIO(file.getvalue()[:1500]))


WRONG: dict[str, tuple[Any, str]] = {
    "a number": (7, "must be images with labels, but it is an object of the type int. Return an ImageSet, (images"),
    "a text": ("photos", "an object of the type str"),
    "a class": (Random, "the class Random itself"),
    "an array without labels": (RGB, "one array of the shape 12×3×8×8, without labels. Return (images, labels)"),
    "four values": ((RGB, LABELS, RGB, LABELS), "a tuple of 4 values"),
    "Keras's tuple of tuples": (((RGB, LABELS), (RGB, LABELS)), "Return {'train': (images, labels), 'test'"),
    "a mapping of columns": ({"image": RGB, "label": LABELS}, "a mapping of image, label, but must be one of parts"),
    "a mapping without training": ({"test": (RGB, LABELS)}, "with train among them"),
    "a loader": (DataLoader(TensorDataset(torch.from_numpy(RGB))), "Return its data set: loader.dataset"),
    "a stream": (Stream(), "can only be read in order. Return a list of its items: list(data)"),
    "no items": ([], "it has no images"),
    "three values per item": ([(RGB[0], 0, 1)], "it has 3 values. Use [(item[0], item[1]) for item in data]"),
    "items without labels": ([RGB[0]], "an item must be (image, label)"),
    "an item of another type": ([("a.png", 0)], "item 0: an image must be a picture (PIL.Image), an array or a tensor"),
    "random transforms": (Random(), "item 0 is another image each time it is read. Leave out random transforms"),
    "labels first": ((LABELS, RGB), "the labels: return images first"),
    "flat images": ((RGB.reshape(COUNT, -1), LABELS), "the shape is 12×192. Use images.reshape"),
    "no images": ((RGB[:0], LABELS[:0]), "at least one image with at least one pixel, but the shape is 0×3×8×8"),
    "video": ((RGB[:, None], LABELS), "but its shape is 1×3×8×8"),
    "both ends could be channels": ((RGB[..., :4], LABELS), "the shape 3×8×4, the first or the last axis can be"),
    "no end could be channels": ((np.zeros((COUNT, 9, 9, 9)), LABELS), "1 to 4 channels in its first or last axis"),
    "normalized": (((RGB / 255 - 0.5) / 0.25, LABELS), "Leave out a normalization such as transforms.Normalize"),
    "NaN": ((np.full((COUNT, 8, 8), np.nan), LABELS), "that are NaN or infinite"),
    "0 to 16": ((GRAY / 16, LABELS), "so neither is likely. Use images / 15.9375"),
    "0 to 4095": ((GRAY.astype(np.int32) * 16, LABELS), "int32 up to 4080. Use images / 4080"),
    "complex": ((GRAY * 1j, LABELS), "they are complex128. Use images.astype('float32')"),
    "mixed types": ([(GRAY[0], 0), (GRAY[1] / 255, 1)], "some are uint8 and others float64"),
    "mixed channels": ([(RGB[0], 0), (RGB[1, :2], 1)], "some have 3 and others 2"),
    "too few labels": ((RGB, LABELS[:4]), "there are 4 labels for 12 images"),
    "too few labels of a list": ((list(RGB), LABELS[:4]), "there are 4 for 12"),
    "one label for a list": ((list(RGB), 3), "must be a list, an array or a tensor, but are an object of the type int"),
    "labels in order only": ((list(RGB), iter(LABELS)), "must be a list, an array or a tensor"),
    "huge labels": ((RGB, [0, 1, 2**70] * 4), "all of one kind"),
    "a key is missing": ([{"image": GRAY[0], "label": 0}, {"image": GRAY[1]}], "item 1: it has no 'label'"),
    "a damaged picture": ([(damaged(), 0)], "item 0: its picture cannot be read: "),
    "one label": ((RGB, 3), "the shape is that of a single number"),
    "several labels": ((RGB, np.eye(3)[LABELS] + np.eye(3)[0] * (LABELS[:, None] > 0)), MULTI_LABEL),
    "lists of labels": ((RGB, [[0], [0, 1]] * 6), MULTI_LABEL),
    "two labels each": ((RGB, [["a", "b"]] * COUNT), MULTI_LABEL),
    "numbers to predict": ((RGB, LABELS + 0.5), f"float64 numbers such as 0.5. {REGRESSION}"),
    "floats": (
        (RGB, LABELS.astype(float)),
        "must be whole numbers, but they are float64, such as 0. If they are class",
    ),
    "NaN as a label": ((RGB, [0.0, 1.0, float("nan")] * 4), "that of image 2 is NaN"),
    "None as a label": ((RGB, [0, 1, None] * 4), "that of image 2 is None"),
    "pictures as labels": ((RGB, [picture(0)] * COUNT), "Only classification of whole images is supported"),
    "labels from 1": ((RGB, LABELS + 1), "no image has 0. Labels count from 0: use labels - 1"),
    "labels from 1 with names": (
        (RGB, LABELS + 1, NAMES),
        "because there are 3 classes, but they lie between 1 and 3.",
    ),
    "a gap": ((RGB, LABELS * 2), "no image has 1. Return the class names, or their number, as the third value"),
    "a label out of range": ((RGB, LABELS, 2), "must lie between 0 and 1"),
    "an unknown name": ((RGB, ["a", "b", "x"] * 4, NAMES), "there is no class 'x'"),
    "two equal names": ((RGB, LABELS, ["a", "b", "a"]), "'a' is there twice"),
    "names in a text": ((RGB, LABELS, "abc"), "must be a list of names, or their number"),
    "Hugging Face: several labels": (Hugging(Sequence()), f"a list of labels for each image. {MULTI_LABEL}"),
    "Hugging Face: numbers": (
        Hugging(Value("float32")),
        "which column has the label: none is called label. Columns: kind",
    ),
    "Hugging Face: two labels": (Hugging(ClassLabel(), fine=ClassLabel()), "data.label: kind"),
    "Hugging Face: label lists": (labeled(lambda _: [1, 2]), MULTI_LABEL),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_used_is_named_with_the_way_to_convert_it(name: str) -> None:
    given, words = WRONG[name]
    with pytest.raises(Unusable) as error:
        converted(given)
    message = str(error.value)
    assert words in message and "\n" not in message
    assert message.endswith((".", ")")) and len(message) < 500


def test_columns_can_be_named_in_the_space_file() -> None:
    data = Hugging(ClassLabel(), fine=ClassLabel())
    found = converted(data, label="fine", image="img")
    assert found is not None and found.classes == tuple(NAMES)
    with pytest.raises(Unusable, match=r"data.label is 'fin', but there is no column 'fin'\. Did you mean 'fine'"):
        converted(data, label="fin")
    with pytest.raises(Unusable, match="regression"):
        converted(Hugging(Value("float32")), label="kind")


UNUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "an ImageSet": (
        ImageSet(torch.from_numpy(RGB), torch.from_numpy(LABELS), ("a", "b", "c")),
        {"channels": 1, "label": "kind"},
        "it is an ImageSet, so data.channels and data.label would have no effect",
    ),
    "arrays": ((RGB, LABELS), {"image": "img"}, "it is (images, labels), so data.image would have no effect"),
    "pairs": ([(RGB[0], 0)], {"label": "kind"}, "its items have no named columns"),
    "channels that cannot be made": ((RGB[:, :2], LABELS), {"channels": 1}, "images have 2 channels, of which"),
}


@pytest.mark.parametrize("name", UNUSED)
def test_fields_that_would_do_nothing_are_refused(name: str) -> None:
    given, fields, words = UNUSED[name]
    with pytest.raises(Unusable) as error:
        converted(given, **fields)
    assert words in str(error.value)


def test_an_error_within_an_item_is_told_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_self: Any, place: int) -> Any:
        if place == 9:
            raise KeyError("gone")
        return picture(place), place % 2

    monkeypatch.setattr(Random, "__getitem__", broken)
    with pytest.raises(DataError, match="Item 9 of 'mine:data' failed: KeyError: 'gone'"):
        converted(Random())


CODE = """
import numpy as np
pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
def same(part, *_):
    return pixels, np.arange(60) % 2
def same_test(part, *_):
    return None if part == "validation" else (pixels, np.arange(60) % 2)
def good(part, *_):
    at = {"train": slice(0, 40), "validation": slice(40, 50), "test": slice(50, 60)}[part]
    return pixels[at], np.arange(60)[at] % 2, ["a", "b"]
def renamed(part, *_):
    if part != "validation":
        count = 3 if part == "train" else 2
        return pixels[: 10 * count], np.array(["a", "b", "c"])[np.arange(10 * count) % count]
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_returned_data.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    return "own_returned_data"


def test_parts_with_the_images_of_the_training_part_are_refused(module: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"validation set of .* has the same images as its training set"):
        prepare(Data(name=f"{module}:same"), tmp_path)
    with pytest.raises(DataError, match=r"test set of .* has the same images as its training set"):
        open_test(Data(name=f"{module}:same_test"), tmp_path)
    with pytest.raises(DataError, match="other classes than its training set"):
        open_test(Data(name=f"{module}:renamed"), tmp_path)


def test_an_array_data_set_is_split_as_it_says(module: str, tmp_path: Path) -> None:
    splits = prepare(Data(name=f"{module}:good"), tmp_path)
    assert (len(splits.train), len(splits.validation)) == (40, 10)
    assert len(open_test(Data(name=f"{module}:good"), tmp_path)) == 10


def test_transforms_that_make_tensors_are_fine() -> None:
    data = FakeData(10, (3, 16, 16), 4, transform=v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]))
    plain = converted(FakeData(10, (3, 16, 16), 4))
    found = converted(data)
    assert found is not None and plain is not None and torch.equal(found.images, plain.images)
