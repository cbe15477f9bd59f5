"""Changed copies of an image are linked to it, other images are not, and neither threads nor counts decide."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from scipy.ndimage import gaussian_filter
from torch import Tensor

from regstudy.data.near_duplicates import SAME_CORRELATION, clusters, duplicate_pairs

COUNT = 40


def field(seed: int, side: int) -> Image.Image:
    """A smooth random picture in color, with details of several sizes, as photographs have."""
    generator = np.random.default_rng(seed)
    scales = [(side / 16, 1.0), (side / 8, 2.0), (side / 4, 3.0)]
    total = np.zeros((side, side, 3))
    for width, weight in scales:
        noise = gaussian_filter(generator.normal(size=(side, side, 3)), (width, width, 0), mode="nearest")
        gray = gaussian_filter(generator.normal(size=(side, side, 1)), (width, width, 0), mode="nearest")
        total += weight * (noise / noise.std() / 3 + gray / gray.std())
    pixels = 115 + 35 * (total - total.mean()) / total.std()
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def fields(side: int, count: int = COUNT) -> list[Image.Image]:
    return [field(seed, side) for seed in range(count)]


def tensor(pictures: list[Image.Image]) -> Tensor:
    pixels: npt.NDArray[np.uint8] = np.stack([np.asarray(picture) for picture in pictures])
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def as_jpeg(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=60)
    return Image.open(buffer).convert("RGB")


def cropped(picture: Image.Image) -> Image.Image:
    near, far = 0.025 * picture.width, 0.975 * picture.width
    return picture.resize(picture.size, Image.Resampling.BICUBIC, box=(near, near, far, far))


def turned(degrees: float) -> Callable[[Image.Image], Image.Image]:
    return lambda picture: picture.rotate(degrees, Image.Resampling.BILINEAR)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "copied": lambda picture: picture.copy(),
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "a quarter to the left": lambda picture: picture.transpose(Image.Transpose.ROTATE_90),
    "a quarter to the right": lambda picture: picture.transpose(Image.Transpose.ROTATE_270),
    "half a turn": lambda picture: picture.transpose(Image.Transpose.ROTATE_180),
    "transposed": lambda picture: picture.transpose(Image.Transpose.TRANSPOSE),
    "turned left": turned(8),
    "turned right": turned(-8),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.15),
    "cropped": cropped,
    "recompressed": as_jpeg,
}


def found_and_false(side: int, change: Callable[[Image.Image], Image.Image]) -> tuple[int, int]:
    """How many copies are linked to their original, and how many images to any other."""
    pictures = fields(side)
    pairs, _ = duplicate_pairs(tensor([*pictures, *map(change, pictures)]))
    right = pairs[:, 1] - pairs[:, 0] == COUNT
    return int(right.sum()), int((~right).sum())


@pytest.mark.parametrize("name", CHANGES)
def test_changed_copies_are_linked_to_their_original_and_to_nothing_else(name: str) -> None:
    found, false = found_and_false(32, CHANGES[name])
    assert found >= 0.9 * COUNT
    assert false == 0


def test_larger_images_are_compared_as_well() -> None:
    found, false = found_and_false(80, lambda picture: turned(-8)(ImageOps.mirror(picture)))
    assert found >= 0.9 * COUNT
    assert false == 0


def test_other_images_are_not_linked() -> None:
    pairs, distances = duplicate_pairs(tensor(fields(32, 150)))
    assert pairs.shape == (0, 2) and distances.shape == (0,)


def test_gray_images_are_compared_like_colored_ones() -> None:
    gray = tensor(fields(32, 10)).float().mean(1, keepdim=True).to(torch.uint8)
    assert clusters(torch.cat([gray, gray.flip(3)])).tolist() == [*range(10), *range(10)]


def test_pairs_are_ascending_and_distances_grow_with_the_change() -> None:
    pictures = fields(32, 3)
    copies = [pictures[0], ImageEnhance.Brightness(pictures[1]).enhance(1.02), turned(8)(pictures[2])]
    pairs, distances = duplicate_pairs(tensor([*pictures, *copies]))
    assert pairs.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert 0 == distances[0] < distances[1] < distances[2] <= 1 - SAME_CORRELATION


def test_flat_images_are_linked_only_if_they_are_equal() -> None:
    flat = torch.full((4, 3, 32, 32), 128, dtype=torch.uint8)
    flat[1] = 129
    flat[2, :, 0, 0] = 127
    assert clusters(flat).tolist() == [0, 1, 2, 0]
    assert clusters(torch.cat([tensor(fields(32, 5)), flat])).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 5]


def test_clusters_are_numbered_from_0_and_reach_over_images_between() -> None:
    first, other, third = fields(32, 3)
    steps = [field(0, 80).rotate(angle, Image.Resampling.BICUBIC).crop((16, 16, 64, 64)) for angle in (0, 10, 20)]
    small = [step.resize((32, 32), Image.Resampling.BICUBIC) for step in steps]
    ends, _ = duplicate_pairs(tensor([small[0], small[2]]))
    assert len(ends) == 0, "the ends are linked without the middle"
    assert clusters(tensor([small[0], other, small[2], third, small[1], other])).tolist() == [0, 1, 0, 2, 0, 1]
    numbers = clusters(tensor([first, other, ImageOps.mirror(first), third]))
    assert numbers.dtype == np.int64 and numbers.tolist() == [0, 1, 0, 2]


@pytest.fixture
def keep_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("keep_threads")
def test_neither_threads_nor_repetition_change_the_result() -> None:
    pictures = fields(32)
    images = tensor([*pictures, *map(turned(8), pictures)])
    results = []
    for threads in (1, 2, 2):
        torch.set_num_threads(threads)
        results.append(duplicate_pairs(images))
        assert torch.get_num_threads() == threads
    for pairs, distances in results[1:]:
        assert np.array_equal(pairs, results[0][0])
        assert np.array_equal(distances, results[0][1])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_few_images_are_enough(count: int) -> None:
    different = tensor(fields(32, count))
    assert clusters(different).tolist() == list(range(count))
    assert clusters(different[:1].expand(count, -1, -1, -1)).tolist() == [0] * count
    assert clusters(torch.zeros(count, 3, 8, 8, dtype=torch.uint8)).tolist() == [0] * count


def test_images_are_left_as_they_are() -> None:
    images = tensor(fields(32, 4))
    before = images.clone()
    clusters(images)
    assert torch.equal(images, before)
