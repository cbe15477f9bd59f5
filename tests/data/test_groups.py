"""Groups by name and by pixels: what belongs together stays together, and what does not is not linked."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from torch import Tensor
from torch.nn.functional import interpolate

from regstudy import data
from regstudy.config.schema import Data
from regstudy.data import groups, near_duplicates, open_test, prepare
from regstudy.data.groups import NEAR_DUPLICATES, group_keys
from regstudy.data.image_set import ImageSet
from regstudy.data.near_duplicates import SAME_CORRELATION, clusters, duplicate_pairs
from regstudy.data.sources import ALL_OPERATIONS, sound
from regstudy.errors import DataError


def scenes(count: int, seed: int = 0, side: int = 32) -> Tensor:
    """Smooth random pictures N×3×side×side, all different, with detail as natural ones have."""
    generator = torch.Generator().manual_seed(seed)
    layers = [torch.randn(count, 3, size, size, generator=generator) for size in (3, 6, 12)]
    grown = [interpolate(layer, (side, side), mode="bicubic", align_corners=False) for layer in layers]
    return (128 + 40 * grown[0] + 25 * grown[1] + 15 * grown[2]).clamp(0, 255).to(torch.uint8)


def named(*paths: str) -> ImageSet:
    return ImageSet(scenes(len(paths)), torch.arange(len(paths)) % 2, ("a", "b"), paths)


SLIDES = ("train/neg/s1_a.png", "train/neg/s2_a.png", "train/pos/s1_b.png", "train/pos/s3_a.png", "train/pos/s3_b.png")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (r"(s\d)_", [0, 1, 0, 2, 2]),  # what the parentheses match
        (r"s\d", [0, 1, 0, 2, 2]),  # else all that matches
        (r"/(neg|pos)/", [0, 0, 1, 1, 1]),  # of the path, not of the name only
        (r"(?:s)(\d)_(.)", [0, 1, 0, 2, 2]),  # the first parentheses that keep what they match
        (r"\w+\.png$", [0, 1, 2, 3, 4]),
    ],
)
def test_the_text_that_a_pattern_finds_is_the_group(tmp_path: Path, rule: str, expected: list[int]) -> None:
    keys = group_keys(named(*SLIDES), rule, "mine", tmp_path)
    assert keys.dtype == np.int64 and keys.tolist() == expected


REFUSED: dict[str, tuple[ImageSet, str, str]] = {
    "none matches": (named(*SLIDES), r"slide_(\d+)", r"'slide_\(\\d\+\)' matches none of the 5 .*train/neg/s1_a.png"),
    "some do not": (named(*SLIDES), r"neg/(s\d)", r"does not match 3 of the 5 .*s1_b\.png' and 'train/pos/s3_a\.png'"),
    "nothing kept": (named(*SLIDES), r"s\d|(x)", r"matches none of the 5"),
    "no paths": (named(*SLIDES).subset(torch.arange(3)), r"x", r"matches none of the 3"),
    "no files": (
        ImageSet(scenes(3), torch.tensor([0, 1, 0]), ("a", "b")),
        r"x",
        r"'mine' have no paths.*near_duplicates",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_pattern_that_does_not_fit_every_image_is_refused_with_examples(tmp_path: Path, name: str) -> None:
    images, rule, words = REFUSED[name]
    with pytest.raises(DataError, match=words):
        group_keys(images, rule, "mine", tmp_path)


def said(changes: dict[str, Any]) -> list[str]:
    return [str(problem) for problem in data.problems(tiny.make_config(changes))]


PROBLEMS: list[tuple[dict[str, Any], str]] = [
    ({"data.name": "cifar10", "data.group": "(s"}, "data.group: '(s' is not a valid regular expression: missing )"),
    ({"data.name": "digits", "data.group": "(s)"}, "data.group: '(s)' is matched against image paths"),
    ({"data.name": "svhn", "data.group": "(s"}, "data.group: '(s' is not a valid regular expression"),
    ({"augmentation.ops": ["crop", "flip"]}, "augmentation.ops: flip cannot be used with digits: a mirrored digit"),
    (
        {"data.name": "street_digits", "phases": [{"augmentation": {"ops": ["flip"]}}]},
        "augmentation.ops: flip cannot be used with street_digits",
    ),
]


@pytest.mark.parametrize(("changes", "words"), PROBLEMS)
def test_what_a_data_set_does_not_allow_is_said_before_an_image_is_touched(changes: dict[str, Any], words: str) -> None:
    (sentence,) = said(changes)
    assert sentence.startswith(words)


@pytest.mark.parametrize(
    "changes",
    [
        {"data.name": "cifar10", "augmentation.ops": ["flip", "crop"], "data.group": "(s)"},
        {"data.name": "svhn", "data.group": NEAR_DUPLICATES},
        {"data.name": "digits", "augmentation.ops": sorted(ALL_OPERATIONS - {"flip"})},
        {"data.name": "image_folder", "data.root": "x", "augmentation.ops": ["flip"]},
    ],
)
def test_what_a_data_set_allows_passes(changes: dict[str, Any]) -> None:
    assert said(changes) == []


def test_the_operations_that_are_allowed_are_named() -> None:
    (sentence,) = said({"augmentation.ops": ["flip"]})
    assert sentence.endswith("Allowed: color, crop, erase, rotate, scale, shear, shift.")


# Splits of a data set whose images have groups


def write(folder: Path, pictures: Tensor, names: list[str]) -> None:
    for picture, name in zip(pictures, names, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(folder / name)


def slides(count: int, variants: int, start: int = 0) -> list[str]:
    return [f"{'np'[s % 2]}/slide{s:02}_{v}.png" for s in range(start, start + count) for v in range(variants)]


def mirrored_variants(count: int, seed: int = 0) -> Tensor:
    """Each scene, mirrored, and turned, one after the other."""
    plain = scenes(count, seed, 24)
    return torch.stack([plain, plain.flip(3), plain.rot90(1, (2, 3))], dim=1).flatten(0, 1)


def folder_config(folder: Path, **changes: Any) -> Data:
    return Data.model_validate({"name": "image_folder", "root": str(folder), "size": 24, "validation": 0.25, **changes})


def slide_of(path: str) -> str:
    return path.split("/")[-1].split("_")[0]


@pytest.mark.parametrize("rule", [r"(slide\d+)", NEAR_DUPLICATES])
def test_variants_of_a_slide_stay_on_one_side(tmp_path: Path, rule: str) -> None:
    write(tmp_path / "images", mirrored_variants(16), slides(16, 3))
    splits = prepare(folder_config(tmp_path / "images", group=rule), tmp_path / "data")
    sides = [{slide_of(path) for path in part.paths} for part in (splits.train, splits.validation)]
    assert not sides[0] & sides[1] and len(sides[0] | sides[1]) == 16
    assert (len(splits.train), len(splits.validation)) == (36, 12)
    assert torch.bincount(splits.validation.labels).tolist() == [6, 6]
    facts = splits.describe()
    assert (facts["group"], facts["groups"], facts["groups_in_both_parts"]) == (rule, 16, 0)
    assert facts["validation_groups"] == 4
    for part in (splits.train, splits.clean_train, splits.validation, splits.to(torch.device("cpu")).validation):
        assert part.groups is not None
        pairs = set(zip(map(slide_of, part.paths), part.groups.tolist(), strict=True))
        assert len(pairs) == len({slide for slide, _ in pairs}) == len({group for _, group in pairs})
        assert replace(part, groups=None).hash == part.hash
    shared = splits.share().validation.groups
    assert shared is not None and shared.is_shared()


def test_without_a_rule_the_facts_say_so_and_variants_are_torn(tmp_path: Path) -> None:
    write(tmp_path / "images", mirrored_variants(16), slides(16, 3))
    splits = prepare(folder_config(tmp_path / "images"), tmp_path / "data")
    facts = splits.describe()
    assert (facts["group"], facts["groups"], facts["groups_in_both_parts"]) == (None, None, None)
    assert facts["validation_groups"] is None and splits.validation.groups is None
    sides = [{slide_of(path) for path in part.paths} for part in (splits.train, splits.validation)]
    assert sides[0] & sides[1]


@pytest.mark.parametrize("rule", [r"(slide\d+)", NEAR_DUPLICATES])
def test_a_division_of_the_users_own_is_kept_and_groups_in_both_parts_are_counted(tmp_path: Path, rule: str) -> None:
    pictures = mirrored_variants(12)
    write(tmp_path / "images" / "train", pictures[:30], slides(10, 3))
    write(tmp_path / "images" / "val", pictures[24:], slides(4, 3, start=8))  # slides 8 and 9 are in both
    splits = prepare(folder_config(tmp_path / "images", group=rule), tmp_path / "data")
    assert (len(splits.train), len(splits.validation)) == (30, 12)
    facts = splits.describe()
    assert (facts["groups"], facts["groups_in_both_parts"]) == (12, 2)
    assert facts["validation_groups"] == 4


def test_a_part_whose_paths_are_not_as_many_as_its_images_is_refused() -> None:
    images = ImageSet(scenes(4), torch.arange(4) % 2, ("a", "b"), ("one.png",))
    with pytest.raises(DataError, match="paths must be empty or name the file of each image, but there are 1 for 4"):
        sound(images, Data(name="mine:images"), "training")


def test_a_validation_part_of_another_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(part: str, *_: object) -> ImageSet:
        return ImageSet(scenes(6, side=16 if part == "train" else 12), torch.arange(6) % 2, ("a", "b"))

    monkeypatch.setattr("regstudy.data.pool.source", lambda _: load)
    with pytest.raises(DataError, match=r"images are 3×16×16 .* for training, but 3×12×12 .* Resize them"):
        prepare(Data(name="mine:images"), tmp_path)


def test_a_test_part_keeps_its_paths(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write(tmp_path / "images" / part, scenes(4, side=24), slides(4, 1))
    found = open_test(folder_config(tmp_path / "images"), tmp_path / "data")
    assert found.subset(torch.tensor([3, 0])).paths == (found.paths[3], found.paths[0])
    assert found.to(torch.device("cpu")).paths == found.paths and len(found.paths) == 4


# Near duplicates


def recompressed(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=60)
    return Image.open(buffer).convert("RGB")


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    **{f"flipped or turned {n}": lambda picture, n=n: picture.transpose(Image.Transpose(n)) for n in range(7)},  # type: ignore[misc]
    "rotated": lambda picture: picture.rotate(8, Image.Resampling.BILINEAR),
    "rotated back": lambda picture: picture.rotate(-10, Image.Resampling.BILINEAR),
    "darker": lambda picture: ImageEnhance.Brightness(picture).enhance(0.8),
    "less contrast": lambda picture: ImageEnhance.Contrast(picture).enhance(0.6),
    "recompressed": recompressed,
    "cropped": lambda picture: picture.resize((32, 32), Image.Resampling.BILINEAR, box=(1.6, 0, 32, 30.4)),
    "mirrored and rotated": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).rotate(5),
}


@pytest.fixture(scope="module")
def originals() -> Tensor:
    return scenes(60)


@pytest.mark.parametrize("name", COPIES)
def test_changed_copies_are_linked_to_their_originals_and_to_nothing_else(originals: Tensor, name: str) -> None:
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in originals]
    copies = np.stack([np.asarray(COPIES[name](picture)) for picture in pictures]).transpose(0, 3, 1, 2)
    pairs, distances = duplicate_pairs(torch.cat([originals, torch.from_numpy(copies.copy())]))
    found = {tuple(pair) for pair in pairs.tolist()}
    wanted = {(index, index + 60) for index in range(60)}
    assert len(found & wanted) >= 58
    assert not found - wanted
    assert pairs.dtype == np.int64 and (distances >= 0).all() and (distances <= 1 - SAME_CORRELATION).all()


def test_pictures_of_their_own_are_each_a_cluster(originals: Tensor) -> None:
    assert np.unique(clusters(originals)).size == 60


def test_equal_pixels_are_linked_at_distance_zero_even_where_there_is_nothing_to_see() -> None:
    flat = torch.full((3, 1, 16, 16), 7, dtype=torch.uint8)
    images = torch.cat([flat, torch.full((1, 1, 16, 16), 8, dtype=torch.uint8), scenes(5, side=16)[:, :1]])
    pairs, distances = duplicate_pairs(images)
    assert pairs.tolist() == [[0, 1], [0, 2]] and distances.tolist() == [0, 0]
    assert clusters(images).tolist() == [0, 0, 0, 1, 2, 3, 4, 5, 6]


def test_faint_noise_on_a_plain_picture_links_nothing() -> None:
    noise = torch.randint(120, 124, (40, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    assert len(duplicate_pairs(noise)[0]) == 0


def test_what_all_pictures_share_does_not_link_them() -> None:
    """A bright disc in the middle, as of cells, with a little of its own in each."""
    place = torch.linspace(-1, 1, 32)
    disc = 90 * torch.exp(-4 * (place[:, None] ** 2 + place**2))
    images = (60 + disc + (scenes(80).float() - 128) * 0.3).clamp(0, 255).to(torch.uint8)
    assert len(duplicate_pairs(images)[0]) == 0
    faint = (images[:20].float() * 0.4 + 70).to(torch.uint8)  # contrast is evened out before what is shared goes
    assert duplicate_pairs(torch.cat([images, faint]))[0].tolist() == [[index, index + 80] for index in range(20)]


def test_a_crowd_of_alike_images_raises_the_limit_and_not_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    described = torch.nn.functional.normalize(
        1 + 0.3 * torch.randn(300, 42, generator=torch.Generator().manual_seed(0))
    )
    monkeypatch.setattr(near_duplicates, "MAX_LIKELY_PAIRS", 5)
    monkeypatch.setattr(near_duplicates, "_orders", lambda _: near_duplicates_orders)
    limit = near_duplicates._limit(described[None], described)
    assert limit > near_duplicates.LIKELY_CORRELATION
    assert (torch.triu(described @ described.T, 1) >= limit).sum() < 10 * 300


near_duplicates_orders = near_duplicates._orders(8)


@settings(max_examples=8)
@given(order=st.permutations(range(24)), threads=st.integers(1, 3))
def test_neither_order_nor_threads_change_the_clusters(order: list[int], threads: int) -> None:
    images = mirrored_variants(8)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = clusters(images[torch.tensor(order)])
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len({(cluster, index // 3) for cluster, index in zip(found.tolist(), order, strict=True)}) == 8


def test_clusters_are_found_once_and_again_when_what_is_kept_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = ImageSet(mirrored_variants(4), torch.arange(12) % 2, ("a", "b"))
    first = group_keys(images, NEAR_DUPLICATES, "mine", tmp_path)
    genuine, calls = near_duplicates.clusters, []
    monkeypatch.setattr(groups.near_duplicates, "clusters", lambda given: calls.append(1) or genuine(given))
    assert np.array_equal(group_keys(images, NEAR_DUPLICATES, "mine", tmp_path), first) and not calls
    (kept,) = (tmp_path / "near_duplicates").iterdir()
    for content in (b"", b"x", kept.read_bytes()[:-8]):
        kept.write_bytes(content)
        assert np.array_equal(group_keys(images, NEAR_DUPLICATES, "mine", tmp_path), first)
    assert len(calls) == 3


def test_real_slides_are_hardly_ever_linked_and_their_mirror_images_are(real_images: Path) -> None:
    with zipfile.ZipFile(real_images / "smear_wbc.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))[:120]
        pictures = [Image.open(io.BytesIO(archive.read(name))).convert("RGB").resize((48, 48)) for name in names]
    images = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures]).transpose(0, 3, 1, 2).copy())
    alone = clusters(images)
    assert np.unique(alone).size >= 116
    both = clusters(torch.cat([images, images.flip(3)]))
    assert (both[:120] == both[120:]).mean() > 0.98
