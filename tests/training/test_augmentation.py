"""Augmentation along its axis of strength: nothing at 0, each operation's maximum at 1, in proportion between."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as reference

from regstudy.config.schema import Operation
from regstudy.config.schema import Preprocessing as Section
from regstudy.data.image_set import ImageSet
from regstudy.data.preprocessing import PixelTransform, prepare
from regstudy.training.augmentation import augment
from regstudy.training.color import change_colors

ALL: tuple[str, ...] = get_args(Operation)
NEAR = 0.01  # of 255: whole pixels are met up to rounding


def noise(count: int, side: int, seed: int = 0, channels: int = 3) -> Tensor:
    shape = (count, channels, side, side)
    return torch.randint(0, 256, shape, generator=Generator().manual_seed(seed)).to(torch.uint8)


def preprocessing_for(images: Tensor, crop: int | None) -> PixelTransform:
    return prepare(
        Section(crop=crop, normalize="half"), ImageSet(images, torch.zeros(len(images), dtype=torch.int64), ("a", "b"))
    )


def test_the_operations_are_all_known_here() -> None:
    assert set(ALL) == {"crop", "shift", "rotate", "scale", "shear", "flip", "color", "erase"}


def augmented(images: Tensor, ops: tuple[str, ...], strength: float, crop: int | None = None, seed: int = 0) -> Tensor:
    return augment(images, ops, strength, preprocessing_for(images, crop), Generator().manual_seed(seed))


def copies(image: Tensor, count: int) -> Tensor:
    return image.expand(count, -1, -1, -1)


@pytest.mark.parametrize("crop", [None, 28, 29])
@pytest.mark.parametrize(("ops", "strength"), [(ALL, 0.0), ((), 1.0), ((), 0.0)])
def test_without_strength_or_operations_the_result_is_the_center_crop_to_the_bit(
    ops: tuple[str, ...], strength: float, crop: int | None
) -> None:
    images = noise(4, 32)
    preprocessing = preprocessing_for(images, crop)
    found = augment(images, ops, strength, preprocessing, Generator().manual_seed(0))
    assert torch.equal(found, preprocessing.crop(images))
    assert torch.equal(preprocessing.normalize(found), preprocessing(images))


def windows_found(image: Tensor, results: Tensor, side: int) -> dict[tuple[int, int], int]:
    """How often each window (top, left) of one image occurs among the results, every one of which must be a window."""
    every = image[0].unfold(1, side, 1).unfold(2, side, 1)  # C×tops×lefts×side×side
    tops, lefts = every.shape[1:3]
    windows = every.permute(1, 2, 0, 3, 4).reshape(tops * lefts, -1).float()
    distances = torch.cdist(results.float().reshape(len(results), -1), windows, p=math.inf)
    nearest, which = distances.min(1)
    assert nearest.max() < NEAR, "a result is not a window of whole pixels"
    counts = torch.bincount(which, minlength=tops * lefts)
    return {(int(i) // lefts, int(i) % lefts): int(n) for i, n in enumerate(counts) if n}


@pytest.mark.parametrize("margin", [1, 2, 3, 4, 5])
def test_at_full_strength_the_window_takes_every_place_in_the_margin_equally_often(margin: int) -> None:
    side, places = 8, margin + 1
    image = noise(1, side + margin)
    count = 200 * places**2
    found = windows_found(image, augmented(copies(image, count), ("crop",), 1.0, side), side)
    assert set(found) == {(top, left) for top in range(places) for left in range(places)}
    assert min(found.values()) > 130 and max(found.values()) < 270  # 200 ± 5 standard deviations


@pytest.mark.parametrize(
    ("strength", "reach"), [(0.05, 0), (0.2, 1), (0.25, 1), (0.4, 2), (0.5, 2), (0.75, 3), (1.0, 4)]
)
def test_between_the_maximum_shift_is_proportional(strength: float, reach: int) -> None:
    image = noise(1, 16)
    found = windows_found(image, augmented(copies(image, 2000), ("crop",), strength, 8), 8)
    for axis in (0, 1):
        assert {place[axis] - 4 for place in found} == set(range(-reach, reach + 1))


def test_without_a_margin_the_shift_is_an_eighth_of_the_side_and_the_border_is_reflected() -> None:
    image = noise(1, 16)
    padded = torch.nn.functional.pad(image.float(), (2, 2, 2, 2), mode="replicate")
    padded[:, :, :, 0], padded[:, :, :, -1] = padded[:, :, :, 3], padded[:, :, :, -4]  # mirrored at the outer edge
    padded[:, :, 0], padded[:, :, -1] = padded[:, :, 3], padded[:, :, -4]
    found = windows_found(padded, augmented(copies(image, 2000), ("crop",), 1.0), 16)
    assert set(found) == {(top, left) for top in range(5) for left in range(5)}


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.0])
def test_flip_alone_mirrors_exactly_and_its_share_is_half_the_strength(strength: float) -> None:
    image = noise(1, 8)
    results = augmented(copies(image, 2000), ("flip",), strength)
    mirrored = (results - image.flip(3)).abs().amax((1, 2, 3)) < NEAR
    same = (results - image).abs().amax((1, 2, 3)) < NEAR
    assert torch.all(mirrored ^ same)
    assert float(mirrored.double().mean()) == pytest.approx(strength / 2, abs=0.05)


def angles_of(strength: float, count: int = 2000) -> Tensor:
    """Degrees by which a picture that is bright on its right half was turned, found from where the light went."""
    side = 32
    centers = (torch.arange(side) + 0.5) * 2 / side - 1
    down, across = torch.meshgrid(centers, centers, indexing="ij")
    disc = ((down**2 + across**2) < 0.8).float()
    ramp = (127.5 + 127.5 * across).round().to(torch.uint8).expand(1, 1, side, side)
    results = augmented(copies(ramp, count), ("rotate",), strength) * disc
    return torch.rad2deg(torch.atan2((results * down).sum((1, 2, 3)), (results * across).sum((1, 2, 3))))


@pytest.mark.parametrize(("strength", "most"), [(1.0, 30.0), (0.5, 15.0), (0.1, 3.0)])
def test_rotation_spreads_evenly_over_both_directions_up_to_its_maximum(strength: float, most: float) -> None:
    angles = angles_of(strength)
    assert angles.max() == pytest.approx(most, rel=0.02) and angles.min() == pytest.approx(-most, rel=0.02)
    assert angles.mean().abs() < most * 0.07
    assert angles.std() == pytest.approx(most / math.sqrt(3), rel=0.05)  # of a uniform distribution


def test_rotation_neither_stretches_nor_moves_the_center() -> None:
    side = 33
    image = torch.zeros(1, 1, side, side, dtype=torch.uint8)
    image[:, :, 14:19, 14:19] = 255
    results = augmented(copies(image, 50), ("rotate",), 1.0)
    centers = torch.arange(side) - side // 2
    total = results.sum((1, 2, 3))
    assert torch.allclose(total, torch.full((50,), 25 * 255.0), rtol=0.02)
    assert ((results.sum((1, 2)) * centers).sum(1) / total).abs().max() < 0.02
    assert ((results.sum((1, 3)) * centers).sum(1) / total).abs().max() < 0.02


def test_rotation_and_shift_in_one_step_are_those_of_each_alone() -> None:
    """The same random numbers turn by the same angle whether or not the window moves as well."""
    image = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    image[:, :, 15:17, 12:20] = 255  # a bar
    turned = augmented(copies(image, 20), ("rotate",), 1.0, 24)
    both = augmented(copies(image, 20), ("rotate", "crop"), 1.0, 24)
    assert torch.allclose(turned.sum((1, 2, 3)), both.sum((1, 2, 3)), rtol=0.02)
    assert not torch.allclose(turned, both, atol=1)


@pytest.mark.parametrize("op", ALL)
def test_batch_items_differ_and_the_generator_alone_decides(op: str) -> None:
    image = noise(1, 16)
    batch = copies(image, 64)
    torch.manual_seed(1)
    one = augmented(batch, (op,), 1.0, 12, seed=5)
    torch.manual_seed(2)
    assert torch.equal(one, augmented(batch, (op,), 1.0, 12, seed=5))
    assert not torch.equal(one, augmented(batch, (op,), 1.0, 12, seed=6))
    assert len(torch.unique(one.reshape(64, -1), dim=0)) > 1


def test_the_generator_goes_on_from_batch_to_batch() -> None:
    batch = copies(noise(1, 16), 64)
    preprocessing, generator = preprocessing_for(batch, 12), Generator().manual_seed(0)
    one, two = (augment(batch, ("crop",), 1.0, preprocessing, generator) for _ in range(2))
    assert not torch.equal(one, two)


def test_operations_do_not_change_each_others_draws() -> None:
    image = noise(1, 16)
    shifted = augmented(copies(image, 200), ("crop",), 1.0, 12)
    both = augmented(copies(image, 200), ("crop", "flip"), 1.0, 12)
    unmirrored = torch.minimum((both - shifted).abs().amax((1, 2, 3)), (both.flip(3) - shifted).abs().amax((1, 2, 3)))
    assert unmirrored.max() < NEAR
    assert not torch.allclose(both, shifted, atol=1)


COLUMNS = 2000
RAMP = 48  # pixels per side: five gray levels for each fill the range


def maps_of(ops: tuple[str, ...], strength: float = 1.0, count: int = COLUMNS, side: int = RAMP) -> Tensor:
    """The affine maps N×2×3 (across, down) from pixels of the result to pixels of the image, both from their centers.

    They are read off the result: the images' channels are ramps, which bilinear interpolation does not change.
    """
    ramp = (5 * torch.arange(RAMP)).to(torch.uint8).expand(RAMP, RAMP)
    images = torch.stack([ramp, ramp.T, torch.zeros_like(ramp)]).unsqueeze(0)
    found = augmented(copies(images, count), ops, strength, side)[:, :2] / 5 - (RAMP - 1) / 2
    middle = slice(side // 2 - 4, side // 2 + 4)  # far from the border in the image too
    places = torch.arange(side, dtype=torch.float32)[middle] - (side - 1) / 2
    down, across = torch.meshgrid(places, places, indexing="ij")
    design = torch.stack([across, down, torch.ones_like(down)], dim=-1).view(-1, 3)
    values = found[..., middle, middle].reshape(count * 2, -1).T
    solution = torch.linalg.lstsq(design.double(), values.double())
    assert (design.double() @ solution.solution - values).abs().max() < 1e-3, "not an affine map"
    return solution.solution.T.reshape(count, 2, 3)


def test_nothing_but_the_center_crop_is_an_identity_map() -> None:
    assert torch.allclose(maps_of(("color",), 1e-9, 1), torch.eye(2, 3, dtype=torch.float64), atol=1e-4)


def evenly_spread(values: Tensor, most: float) -> None:
    """Assert a uniform distribution over -most..most."""
    assert values.max() == pytest.approx(most, rel=0.02) and values.min() == pytest.approx(-most, rel=0.02)
    assert abs(values.mean()) < most * 0.07
    assert values.std() == pytest.approx(most / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize(("strength", "reach"), [(0.05, 0), (0.25, 2), (0.5, 3), (1.0, 6)])
def test_shift_moves_by_whole_pixels_up_to_an_eighth_of_the_side(strength: float, reach: int) -> None:
    maps = maps_of(("shift",), strength)
    assert (maps[..., :2] - torch.eye(2)).abs().max() < 1e-4
    steps = maps[..., 2].round()
    assert (maps[..., 2] - steps).abs().max() < 1e-3
    for axis in (0, 1):
        places, counts = steps[:, axis].unique(return_counts=True)
        assert places.tolist() == list(range(-reach, reach + 1))
        assert counts.min() > 0.6 * COLUMNS / (2 * reach + 1)


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_scale_magnifies_around_the_center_evenly_in_both_directions(strength: float) -> None:
    maps = maps_of(("scale",), strength)
    zoom = 1 / maps[:, 0, 0]
    assert torch.allclose(maps[:, :, :2], torch.eye(2, dtype=torch.float64) / zoom.view(-1, 1, 1), atol=1e-4)
    assert maps[:, :, 2].abs().max() < 1e-3
    evenly_spread(zoom - 1, 0.2 * strength)


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_shear_slants_upright_lines_and_leaves_level_ones(strength: float) -> None:
    maps = maps_of(("shear",), strength)
    slant = maps[:, 0, 1].clone()
    maps[:, 0, 1] = 0
    assert (maps - torch.eye(2, 3)).abs().max() < 1e-3
    evenly_spread(torch.rad2deg(slant.atan()), 15 * strength)


@pytest.mark.parametrize("side", [48, 40])
def test_together_the_operations_are_the_product_of_each_alone(side: int) -> None:
    """Each draws numbers of its own, so that the same happens in company as alone."""
    moving = ("crop", "shift", "rotate", "scale", "shear", "flip")
    alone = {op: maps_of((op,), count=50, side=side) for op in moving}
    together = maps_of(moving, count=50, side=side)
    turned = alone["scale"][..., :2] @ alone["rotate"][..., :2] @ alone["shear"][..., :2] @ alone["flip"][..., :2]
    assert torch.allclose(together[..., :2], turned, atol=1e-3)
    assert torch.allclose(together[..., 2], alone["crop"][..., 2] + alone["shift"][..., 2], atol=2e-3)


def test_the_numbers_drawn_draw_the_same_angle_mirror_and_place_as_ever() -> None:
    """Recorded curves depend on the first four columns and on how far the generator goes on from batch to batch."""
    generator = Generator().manual_seed(0)
    angle, mirror, left, top = (torch.rand(200, 4, generator=generator) * 2 - 1).unbind(1)
    turned = maps_of(("rotate",), count=200)
    found = torch.rad2deg(torch.atan2(turned[:, 1, 0], turned[:, 0, 0]))
    assert torch.allclose(found, 30 * angle.double(), atol=0.01)
    assert torch.equal(maps_of(("flip",), count=200)[:, 0, 0] < 0, mirror.abs() < 0.5)
    moved = maps_of(("crop",), count=200, side=40)[..., 2].round()
    assert torch.equal(moved, ((torch.stack([left, top], 1) + 1) / 2 * 9).floor().double() - 4)
    for ops in [("crop",), ALL]:
        used = Generator().manual_seed(0)
        augment(noise(200, 8), ops, 1.0, preprocessing_for(noise(2, 8), None), used)
        assert torch.equal(used.get_state(), generator.get_state())


def test_rotation_is_that_of_torchvision() -> None:
    images = noise(5, 32)
    angles = (torch.rand(5, 4, generator=Generator().manual_seed(0)) * 2 - 1)[:, 0] * 30
    found = augmented(images, ("rotate",), 1.0)
    for image, angle, result in zip(images.float(), angles, found, strict=True):
        expected = reference.rotate(image, float(angle), InterpolationMode.BILINEAR)
        assert (result - expected)[:, 8:24, 8:24].abs().max() < 0.05  # at the border torchvision fills with black


CHANGES = torch.tensor([[0.3, -0.2, 0.4], [-0.4, 0.4, -0.4], [0.1, 0.0, -0.4]])


def soft(count: int, channels: int = 3) -> Tensor:
    """Colors so far from black and white that no change cuts them."""
    return 80 + 50 * torch.rand(count, channels, 9, 9, generator=Generator().manual_seed(3))


def test_colors_change_as_by_torchvisions_three_functions() -> None:
    images = soft(3)
    found = change_colors(images, CHANGES)
    for image, (brightness, contrast, saturation), result in zip(images / 255, CHANGES.tolist(), found, strict=True):
        expected = reference.adjust_saturation(image, 1 + saturation)
        expected = reference.adjust_brightness(reference.adjust_contrast(expected, 1 + contrast), 1 + brightness)
        assert (result / 255 - expected).abs().max() < 5e-4


def test_brightness_keeps_the_hue_contrast_the_mean_and_saturation_the_gray() -> None:
    images = soft(1)
    gray = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    lighter, flatter, paler = (change_colors(images, -0.4 * torch.eye(3)[[i]]) for i in range(3))
    assert torch.allclose(lighter / images, torch.full_like(images, 0.6))
    assert torch.allclose((flatter * gray).sum(1).mean(), (images * gray).sum(1).mean())
    assert torch.allclose(flatter.std(), 0.6 * images.std(), rtol=0.02)
    assert torch.allclose((paler * gray).sum(1), (images * gray).sum(1), atol=1e-3)
    assert torch.allclose(paler[:, 0] - paler[:, 1], 0.6 * (images[:, 0] - images[:, 1]), atol=1e-3)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_other_than_three_channels_have_brightness_and_contrast_but_no_saturation(channels: int) -> None:
    images = soft(2, channels)
    assert torch.equal(change_colors(images, torch.tensor([[0.0, 0.0, 0.4]]).expand(2, 3)), images)
    found = change_colors(images, torch.tensor([[0.2, -0.3, 0.4]]).expand(2, 3))
    mean = images.mean((1, 2, 3), keepdim=True)
    assert torch.allclose(found, 1.2 * (0.7 * images + 0.3 * mean), atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_colors_end_at_black_and_white(channels: int) -> None:
    halves = torch.cat([torch.full((1, channels, 4, 8), 10.0), torch.full((1, channels, 4, 8), 250.0)], dim=2)
    found = change_colors(halves, torch.tensor([[0.1, 0.4, 0.0]]))
    assert found.unique().tolist() == [0, 255]


@pytest.mark.parametrize("strength", [0.25, 1.0])
def test_colors_spread_evenly_up_to_40_percent(strength: float) -> None:
    gray = torch.full((COLUMNS, 3, 2, 2), 100, dtype=torch.uint8)  # only brightness can be seen
    found = augmented(gray, ("color",), strength)[:, 0, 0, 0]
    evenly_spread(found / 100 - 1, 0.4 * strength)
    striped = gray.clone()
    striped[:, :, 0] = 120
    found = augmented(striped, ("color",), strength)[:, 0, :, 0]
    evenly_spread((found[:, 0] - found[:, 1]) / found.mean(1) * 110 / 20 - 1, 0.4 * strength)  # contrast


@pytest.mark.parametrize("strength", [0.2, 1.0])
def test_erase_sets_a_rectangle_to_the_mean_in_half_the_strength_of_the_images(strength: float) -> None:
    image = noise(1, 32)
    found = augmented(copies(image, COLUMNS), ("erase",), strength)
    changed = (found != image).any(1)
    erased = changed.any(2).any(1)
    assert float(erased.double().mean()) == pytest.approx(strength / 2, abs=0.04)
    areas = changed[erased].double().mean((1, 2))
    assert areas.min() > 0.01 and areas.max() < 0.22 and areas.max() - areas.min() > 0.15
    means = image.float().mean((2, 3)).view(3)
    assert torch.allclose(found.transpose(0, 1)[:, changed], means.unsqueeze(1).expand(3, int(changed.sum())))


@settings(max_examples=30)
@given(
    side=st.integers(4, 20),
    margin=st.integers(0, 6),
    strength=st.floats(0, 1),
    ops=st.sets(st.sampled_from(ALL)),
    channels=st.sampled_from([1, 2, 3]),
)
def test_shape_range_and_determinism_hold_for_all_settings(
    side: int, margin: int, strength: float, ops: set[str], channels: int
) -> None:
    images = noise(3, side + margin, channels=channels)
    before = images.clone()
    found = augmented(images, tuple(sorted(ops)), strength, side)
    assert found.shape == (3, channels, side, side)
    assert found.min() >= 0 and found.max() <= 255.01
    assert torch.equal(images, before)
    assert torch.equal(found, augmented(images, tuple(sorted(ops, reverse=True)), strength, side))
    nothing = augmented(images, tuple(ops), 0.0, side)
    assert torch.equal(nothing, preprocessing_for(images, side).crop(images))


@pytest.mark.parametrize("crop", [None, 28, 29])
@pytest.mark.parametrize(
    "ops", [("crop",), ("shift",), ("flip",), ("crop", "shift", "flip"), ("crop", "flip", "color")]
)
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_whole_pixel_moves_are_what_resampling_gives(
    crop: int | None, ops: tuple[str, ...], strength: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = noise(40, 32)
    moved = augmented(images, ops, strength, crop)
    monkeypatch.setattr("regstudy.training.augmentation.WHOLE_PIXEL_OPS", frozenset())
    resampled = augmented(images, ops, strength, crop)
    assert (moved.float() - resampled).abs().max() < NEAR


def test_a_crop_copies_pixels_to_the_bit() -> None:
    images = noise(40, 32)
    assert augmented(images, ("crop", "flip"), 1.0).dtype == torch.uint8
