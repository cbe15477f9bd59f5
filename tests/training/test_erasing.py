"""Cut-out and random erasing: what is blanked, how much of it, where, and in how many images."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from regstudy.training.erasing import cut_out, erase_rectangles, erase_to_mean

SIDE = 16
Erase = Callable[[Tensor, Generator], Tensor]


def bright(count: int, side: int = SIDE, channels: int = 3) -> Tensor:
    """Noise without a zero, so that every zero has been put there."""
    return torch.rand(count, channels, side, side, generator=Generator().manual_seed(1)) + 1


def blanked(found: Tensor) -> Tensor:
    """Masks N×H×W of the zeros, which must be the same in all channels."""
    zeros = found == 0
    assert torch.equal(zeros.all(1), zeros.any(1))
    return zeros.all(1)


def box_lengths(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Height and width of each image's blanked part, which must be one filled rectangle."""
    heights, widths = mask.any(2).sum(1), mask.any(1).sum(1)
    assert torch.equal(mask.sum((1, 2)), heights * widths), "not a filled rectangle"
    for lines in (mask.any(2), mask.any(1)):
        assert (lines.int().diff(dim=1) == 1).sum(1).max() <= 1, "not in one piece"
    return heights, widths


@pytest.mark.parametrize("side", [1, 4, 5, 16, 40])
def test_cut_out_blanks_at_most_its_square_around_every_pixel_of_the_image(side: int) -> None:
    images = bright(4000)
    found = cut_out(images, side, Generator().manual_seed(0))
    mask = blanked(found)
    heights, widths = box_lengths(mask)
    assert heights.min() >= min((side + 1) // 2, SIDE) and heights.max() == min(side, SIDE)
    assert widths.min() >= min((side + 1) // 2, SIDE) and widths.max() == min(side, SIDE)
    assert torch.equal(found[~mask.unsqueeze(1).expand_as(found)], images[~mask.unsqueeze(1).expand_as(found)])
    hits = mask.sum(0).float()
    assert hits.min() > 0  # every pixel of the image is blanked in some image
    if side == 1:
        assert hits.min() > 2 and hits.max() < 40  # 4000 / 256 = 16 ± 6 standard deviations


def test_cut_out_is_rarer_near_the_border_because_it_may_reach_beyond() -> None:
    share = blanked(cut_out(bright(4000), 5, Generator().manual_seed(0))).double().mean(0)
    assert float(share[8, 8]) == pytest.approx(25 / 256, abs=0.02)
    assert float(share[0, 0]) == pytest.approx(9 / 256, abs=0.015)


@pytest.mark.parametrize("probability", [0.1, 0.5, 1.0])
def test_random_erasing_changes_its_share_of_the_images(probability: float) -> None:
    mask = blanked(erase_rectangles(bright(2000), probability, Generator().manual_seed(0)))
    share = mask.any(2).any(1).double().mean()
    assert float(share) == pytest.approx(probability, abs=0.04)


@pytest.mark.parametrize("area", [(0.02, 0.33), (0.1, 0.1), (0.9, 1.0)])
def test_random_erasing_keeps_its_area_and_its_aspect(area: tuple[float, float]) -> None:
    side = 64
    heights, widths = box_lengths(
        blanked(erase_rectangles(bright(600, side, 1), 1.0, Generator().manual_seed(0), area))
    )
    shares = (heights * widths).double() / side**2
    slack = 0.02  # whole pixels
    assert shares.min() > area[0] - slack and shares.max() < area[1] + slack
    assert shares.max() - shares.min() > 0.8 * (area[1] - area[0])
    aspects = heights.double() / widths
    assert aspects.min() > 0.3 * 0.85 and aspects.max() < 1 / 0.3 / 0.85
    assert float((aspects > 1).double().mean()) == pytest.approx(0.5, abs=0.09)
    if area == (0.02, 0.33):
        assert aspects.min() < 0.4 and aspects.max() > 2.5


def test_random_erasing_reaches_every_pixel() -> None:
    share = blanked(erase_rectangles(bright(2000), 1.0, Generator().manual_seed(0))).double().mean(0)
    assert share.min() > 0.005
    assert share[SIDE // 2, SIDE // 2] > share[0, 0]
    assert (share - share.flip(0)).abs().max() < 0.06 and (share - share.flip(1)).abs().max() < 0.06


def test_erasing_to_the_mean_keeps_each_images_channel_means_where_it_erases() -> None:
    images = bright(50) * 100
    numbers = torch.rand(50, 5, generator=Generator().manual_seed(0))
    found = erase_to_mean(images, 1.0, numbers, (0.1, 0.2))
    for before, after in zip(images, found, strict=True):
        changed = (before != after).all(0)
        assert 0.08 < float(changed.double().mean()) < 0.22
        expected = before.mean((1, 2)).unsqueeze(1).expand(3, int(changed.sum()))
        assert torch.allclose(after[:, changed], expected)
        assert torch.equal(after[:, ~changed], before[:, ~changed])


@pytest.mark.parametrize("erase", [lambda x, g: cut_out(x, 0, g), lambda x, g: erase_rectangles(x, 0.0, g)])
def test_switched_off_the_images_come_back_themselves_and_nothing_is_drawn(erase: Erase) -> None:
    images, generator = bright(4), Generator().manual_seed(3)
    state = generator.get_state()
    assert erase(images, generator) is images
    assert torch.equal(generator.get_state(), state)


ERASERS: list[Erase] = [lambda x, g: cut_out(x, 5, g), lambda x, g: erase_rectangles(x, 0.7, g)]


@settings(max_examples=25)
@given(
    erase=st.sampled_from(ERASERS),
    side=st.integers(1, 12),
    count=st.integers(1, 5),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 99),
)
def test_invariants_of_erasing(erase: Erase, side: int, count: int, channels: int, seed: int) -> None:
    """Shape, type and memory order stay, the input stays whole, and only the generator decides."""
    images = bright(count, side, channels).to(memory_format=torch.channels_last)
    before = images.clone()
    torch.manual_seed(seed + 1)
    found = erase(images, Generator().manual_seed(seed))
    assert found.shape == images.shape and found.dtype == images.dtype
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)
    assert torch.equal(found, erase(images, Generator().manual_seed(seed)))
    assert torch.equal(found[found != 0], images[found != 0])
    box_lengths(blanked(found))


@pytest.mark.parametrize("erase", ERASERS)
def test_no_gradient_flows_through_what_is_blanked(erase: Erase) -> None:
    images = bright(8).requires_grad_()
    found = erase(images, Generator().manual_seed(0))
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert images.grad is not None
    assert torch.equal(images.grad, (found != 0).float())
    assert (images.grad == 0).any()
