"""Images of one's own: read from whatever holds them, and their pixels recovered from what the network gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from planted import digits, noise, pictures, seeded
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from regstudy.data.image_set import ImageSet
from regstudy.doctor import parts
from regstudy.doctor.parts import Part, levels_of, on_one_grid, part_of, part_of_set
from regstudy.errors import DataError

LABELS = torch.arange(6) % 3
HALF = [0.5, 0.5, 0.5]


def grains(channels: int, low: int = 0, high: int = 255, seed: int = 0) -> Tensor:
    """uint8 6×C×20×20 in which each channel has all values from low to high."""
    values = torch.stack([torch.randperm(2400, generator=seeded(seed + c)) % (high - low + 1) for c in range(channels)])
    return (low + values).view(channels, 6, 20, 20).transpose(0, 1).to(torch.uint8)


def normalized(pixels: Tensor, mean: list[float], std: list[float]) -> Tensor:
    """As ToTensor and Normalize make it."""
    channels = pixels.shape[1]
    center, spread = (torch.tensor(values[:channels]).view(-1, 1, 1) for values in (mean, std))
    return (pixels.float() / 255 - center) / spread


class Listed(Dataset[Any]):
    """Items in a list, with the names of files if there are any."""

    def __init__(self, items: list[Any], names: list[str] | None = None) -> None:
        self.items = items
        if names:
            self.samples = [(name, item[1]) for name, item in zip(names, items, strict=True)]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


class Mirroring(Listed):
    def __getitem__(self, index: int) -> Any:
        image, label = self.items[index]
        return image + 0.1 * torch.randn(image.shape), label


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        yield torch.zeros(1, 4, 4), 0


class Broken(Listed):
    def __getitem__(self, index: int) -> Any:
        if index == 2:
            raise OSError("truncated file")
        return self.items[index]


# Pixels from inputs


@settings(max_examples=40)
@given(
    channels=st.integers(1, 4),
    mean=st.lists(st.floats(0.0, 1.0, width=32), min_size=4, max_size=4),
    std=st.lists(st.floats(0.0625, 1.0, width=32), min_size=4, max_size=4),
    seed=st.integers(0, 1000),
)
def test_normalized_inputs_give_back_every_pixel(channels: int, mean: list[float], std: list[float], seed: int) -> None:
    pixels = grains(channels, seed=seed)
    part = part_of((normalized(pixels, mean, std), LABELS))
    assert part.images.dtype == torch.uint8 and torch.equal(part.images, pixels)
    assert part.levels is not None
    expected = [[-m / s, (1 - m) / s] for m, s in zip(mean[:channels], std[:channels], strict=True)]
    assert torch.allclose(part.levels, torch.tensor(expected), atol=1e-3)


@pytest.mark.parametrize(
    ("make", "ends"),
    [
        (lambda pixels: pixels, [0.0, 255.0]),
        (lambda pixels: pixels.float(), [0.0, 255.0]),
        (lambda pixels: pixels.double() / 255, [0.0, 1.0]),
        (lambda pixels: pixels.float() / 127.5 - 1, [-1.0, 1.0]),
        (lambda pixels: 1 - (255 - pixels).float() / 255, [0.0, 1.0]),
    ],
    ids=["bytes", "0 to 255", "0 to 1", "-1 to 1", "inverted twice"],
)
def test_usual_scales_are_seen(make: Callable[[Tensor], Tensor], ends: list[float]) -> None:
    pixels = grains(3)
    part = part_of((make(pixels), LABELS))
    assert torch.equal(part.images, pixels)
    assert part.levels is not None and torch.allclose(part.levels, torch.tensor([ends] * 3), atol=1e-3)
    got = part.inputs(torch.tensor([1, 4]))
    assert got.dtype == torch.float32 and torch.allclose(got, make(pixels)[[1, 4]].float())


def test_real_images_are_given_back_too() -> None:
    pixels, labels = digits(100)
    part = part_of((normalized(pixels, [0.3], [0.35]), labels))
    assert torch.equal(part.images, pixels) and torch.equal(part.labels, labels)


@pytest.mark.parametrize(
    "inputs",
    [
        noise(6, 3, 20, 20),
        torch.nn.functional.interpolate(grains(3).float() / 255, (15, 15), mode="bilinear"),
        (noise(6, 3, 20, 20) > 0).float(),
        grains(3) * torch.tensor([1.0, 0.93, 0.81, 0.77, 0.59, 0.51]).view(6, 1, 1, 1) / 255,
        torch.zeros(6, 3, 20, 20),
    ],
    ids=["noise", "resized", "black and white", "stretched one by one", "constant"],
)  # fmt: skip
def test_what_lies_on_no_grid_is_scaled_to_the_range_of_pixels(inputs: Tensor) -> None:
    part = part_of((inputs, LABELS))
    assert part.levels is None and levels_of(inputs) is None
    assert int(part.images.min()) == 0 and int(part.images.max()) == (255 if inputs.any() else 0)
    order = inputs.flatten().argsort()
    assert bool((part.images.flatten()[order].int().diff() >= 0).all())  # brighter stays brighter
    assert torch.equal(part.inputs(torch.arange(6)), inputs)


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_inputs_that_are_no_numbers_do_not_stop_it(share: float) -> None:
    inputs = torch.where(torch.rand(6, 3, 20, 20, generator=seeded()) < share, torch.nan, noise(6, 3, 20, 20))
    part = part_of((inputs, LABELS))
    assert part.images.shape == inputs.shape and part.levels is None
    assert torch.equal(part.inputs(torch.arange(6)).isnan(), inputs.isnan())


# Two parts on one grid


def test_a_part_without_black_is_put_on_the_grid_of_the_other() -> None:
    pixels, light = grains(3), grains(3, 60, 200, seed=9)
    one, other = (part_of((normalized(part, HALF, HALF), LABELS)) for part in (pixels, light))
    assert not torch.equal(other.images, light)  # alone it cannot know where black is
    one, other = on_one_grid(one, other)
    assert torch.equal(one.images, pixels) and torch.equal(other.images, light)
    assert one.levels is not None and other.levels is not None and torch.allclose(one.levels, other.levels, atol=1e-3)


def test_parts_that_are_normalized_otherwise_stay_as_they_are() -> None:
    pixels = grains(3)
    one, other = (
        part_of((normalized(pixels, HALF, HALF), LABELS)),
        part_of((normalized(pixels, HALF, [0.25] * 3), LABELS)),
    )
    assert on_one_grid(one, other) == (one, other)


# Where images come from


def as_items(pixels: Tensor, make: Callable[[Tensor], Any]) -> list[Any]:
    return [(make(image), int(label)) for image, label in zip(pixels, LABELS, strict=True)]


def to_array(image: Tensor) -> np.ndarray[Any, Any]:
    return image.permute(1, 2, 0).numpy()


SOURCES: dict[str, Callable[[Tensor], Any]] = {
    "pair of tensors": lambda pixels: (pixels, LABELS),
    "pair of arrays": lambda pixels: (pixels.numpy(), LABELS.numpy()),
    "list of both": lambda pixels: [pixels, LABELS.tolist()],
    "data set of tensors": lambda pixels: TensorDataset(pixels, LABELS),
    "data set of arrays": lambda pixels: Listed(as_items(pixels, to_array)),
    "data set of pictures": lambda pixels: Listed(as_items(pixels, lambda image: Image.fromarray(to_array(image)))),
    "items with more": lambda pixels: Listed([(*item, "slide 3") for item in as_items(pixels, lambda image: image)]),
    "shuffling loader": lambda pixels: DataLoader(TensorDataset(pixels, LABELS), batch_size=4, shuffle=True),
    "image set": lambda pixels: ImageSet(pixels, LABELS, ("a", "b", "c")),
    "part": lambda pixels: part_of((pixels, LABELS)),
}


@pytest.mark.parametrize("source", SOURCES)
def test_images_are_read_from_whatever_holds_them(source: str) -> None:
    pixels = grains(3)
    part = part_of(SOURCES[source](pixels))
    assert torch.equal(part.images, pixels) and torch.equal(part.labels, LABELS) and part.labels.dtype == torch.int64
    assert len(part) == 6 and not part.random


def test_gray_pictures_have_one_channel() -> None:
    pixels = grains(1)
    part = part_of(Listed(as_items(pixels, lambda image: Image.fromarray(image[0].numpy()))))
    assert torch.equal(part.images, pixels)


def test_a_set_of_a_run_brings_its_preprocessing_and_paths() -> None:
    images = ImageSet(grains(3), LABELS, ("a", "b", "c"), tuple(f"{n}.png" for n in range(6)))
    part = part_of_set(images, lambda pixels: normalized(pixels, HALF, HALF), ["x"] * 6)
    assert part.levels is not None and torch.allclose(part.levels, torch.tensor([[-1.0, 1.0]] * 3))
    assert part.paths == images.paths and part.groups == ("x",) * 6
    assert torch.allclose(part.inputs(torch.tensor([2])), normalized(grains(3)[2:3], HALF, HALF))


def test_files_are_named_as_image_folders_name_them() -> None:
    names = [f"{label}/{n}.png" for n, label in enumerate(LABELS.tolist())]
    items = as_items(grains(3), lambda image: image)
    assert part_of(Listed(items, names)).paths == tuple(names)
    assert part_of(Listed(items, names), paths=list("abcdef")).paths == tuple("abcdef")
    assert part_of(Listed(items)).paths == ()


@pytest.mark.parametrize(("kind", "random"), [(Listed, False), (Mirroring, True)])
def test_images_that_change_with_every_reading_are_noticed(kind: type[Listed], random: bool) -> None:
    items = [(image, 0) for image in noise(6, 1, 8, 8)]
    assert part_of(kind(items)).random is random
    assert part_of(DataLoader(kind(items))).random is random


def test_of_a_large_set_some_are_read_with_their_names_and_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MAX_ITEMS_READ", 10)
    images = pictures(40)
    items = [(image, number) for number, image in enumerate(images)]
    part = part_of(Listed(items, [f"{n}.png" for n in range(40)]), groups=list(range(40)))
    chosen = part.labels.tolist()
    assert len(part) == 10 and part.of == 40 and len(set(chosen)) == 10 and chosen != list(range(10))
    assert torch.equal(part.images, images[part.labels])
    assert part.paths == tuple(f"{n}.png" for n in chosen)
    assert part.groups == tuple(chosen)


def test_some_positions_are_drawn_once_each_and_alike_for_a_seed() -> None:
    part = part_of((pictures(30), torch.arange(30)))
    drawn = part.sample(12)
    assert len(drawn) == 12 and drawn.tolist() == sorted(set(drawn.tolist())) and torch.equal(drawn, part.sample(12))
    assert not torch.equal(drawn, part.sample(12, seed=1))
    assert part.sample(100).tolist() == list(range(30))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ([1, 2, 3], "a pair .* but got list"),
        ("images/", "got str"),
        (Endless(), "with a length"),
        ((noise(6, 20, 20), LABELS), "N×C×H×W"),
        ((noise(6, 3, 20, 20), LABELS[:4]), "N integer labels"),
        ((noise(6, 3, 20, 20), LABELS.float()), "type torch.float32"),
        ((noise(1, 3, 20, 20), LABELS[:1]), "N×C×H×W"),
        (Listed([(noise(1, 8, 8), 0), (noise(1, 9, 9), 1)]), "different shapes"),
        (Broken([(noise(1, 8, 8), 0)] * 4), r"item 2 .*truncated file"),
        (Listed([(noise(1, 8, 8), torch.tensor([0, 1]))] * 4), r"item 0 .* \(image, label\)"),
        (Listed([noise(1, 8, 8)] * 4), r"item 0 .* \(image, label\)"),
        (Listed([("a.png", 0)] * 4), r"item 0 .* \(image, label\)"),
        (Listed([]), r"\w"),
        (("images", "labels"), r"\w"),
        ((None, None), r"\w"),
    ],
)
def test_what_cannot_be_read_is_said(source: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        part_of(source)


def test_a_part_is_taken_as_it_is() -> None:
    part = part_of((grains(1), LABELS))
    assert isinstance(part, Part) and part_of(part) is part
