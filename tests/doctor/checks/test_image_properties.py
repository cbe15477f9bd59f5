"""Bars along the sides of images, and the other simple properties, as tables of images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from planted import pictures
from torch import Tensor

from regstudy.doctor.checks import image_properties
from regstudy.doctor.checks.image_properties import Properties, properties_of


def measured(images: Tensor) -> Properties:
    return properties_of(images.__getitem__, len(images))


def sides(top: int, bottom: int, left: int, right: int, value: int = 0) -> Callable[[Tensor], Tensor]:
    """Bars of these widths."""

    def change(images: Tensor) -> Tensor:
        changed = images.clamp(70, 180)
        height, width = images.shape[-2:]
        changed[:, :, :top], changed[:, :, height - bottom :] = value, value
        changed[..., :left], changed[..., width - right :] = value, value
        return changed

    return change


def shape_on_black(images: Tensor) -> Tensor:
    """A disk that touches its margin in few places."""
    line = torch.linspace(-1, 1, images.shape[-1])
    return torch.where(line[:, None] ** 2 + line**2 < 0.6, images.clamp(min=90), 0)


CASES: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "none": (lambda x: x, ""),
    "black above and below": (sides(3, 3, 0, 0), "black bars above and below"),
    "white left and right": (sides(0, 0, 5, 4, 255), "white bars left and right"),
    "one line": (sides(1, 0, 0, 0), "a black bar on one side"),
    "a frame": (sides(2, 2, 2, 2, 230), "a white frame"),
    "a shape on black": (shape_on_black, ""),
    "nothing but black": (torch.zeros_like, ""),
    "half of the image": (sides(16, 0, 0, 0), ""),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [32, 150])
@pytest.mark.parametrize("case", CASES)
def test_a_bar_is_plain_and_ends_in_a_straight_edge(case: str, side: int, channels: int) -> None:
    change, name = CASES[case]
    if case == "half of the image" and side > 32:
        change = sides(side // 2, 0, 0, 0)
    images = change(pictures(12, side=side, channels=channels))
    assert measured(images).bars.tolist() == [name] * 12


def test_widths_are_shares_of_the_side() -> None:
    widths = measured(sides(4, 0, 0, 8)(pictures(5, side=32))).border["the width of bars along the sides"]
    assert widths.tolist() == [[0.125, 0, 0, 0.25]] * 5


@pytest.mark.parametrize(("shape", "columns"), [((6, 1, 1, 1), 3), ((6, 3, 4, 4), 6), ((6, 2, 9, 5), 3)])
def test_any_shape_has_finite_properties(shape: tuple[int, ...], columns: int) -> None:
    found = measured(torch.randint(0, 256, shape, dtype=torch.uint8))
    assert len(found.content) == columns
    for table in (*found.content.values(), *found.border.values()):
        assert len(table) == 6 and np.isfinite(table).all()


def test_measuring_in_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(30, side=20)
    whole = measured(images)
    monkeypatch.setattr(image_properties, "BLOCK_BYTES", 7 * images[0].numel())
    parts = measured(images)
    for name, table in {**whole.content, **whole.border}.items():
        np.testing.assert_allclose({**parts.content, **parts.border}[name], table, rtol=1e-5)


def test_blurring_lowers_the_sharpness() -> None:
    images = torch.randint(0, 256, (4, 1, 32, 32), dtype=torch.uint8)
    blurred = torch.nn.functional.avg_pool2d(images.float(), 3, 1, 1).to(torch.uint8)
    sharp, soft = (measured(one).content["sharpness"][:, 0] for one in (images, blurred))
    assert (soft < sharp - 0.1).all()
