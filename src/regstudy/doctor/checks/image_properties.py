"""Properties of images that say nothing of shapes: brightness, contrast, color, sharpness, the border and its bars.

All are measured on a grid of at most about 64 lines, so their cost hardly depends on the size of the images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Table = npt.NDArray[np.float64]  # N×D
MEASURED_LINES = 64  # of an image, in each direction
BLOCK_BYTES = 64_000_000  # of pixels in memory at once
MAX_BAR_VARIATION = 12  # gray levels within a bar, such as those that JPEG adds
MIN_BAR_STEP = 20  # gray levels between a bar and the picture
MIN_EDGE_SHARE = 0.5  # of the first line of the picture must differ from the bar: a bar ends everywhere at once
MAX_BAR_SHARE = 0.45  # of the height or width
BLACK_BELOW, WHITE_FROM = 40, 215
COLORS = ("red", "green", "blue")
SHARPNESS, BAR_WIDTH = 2, 1  # their places in the content and in the border


@dataclass(frozen=True)
class Properties:
    """Of N images: tables N×D of what can be told of their content and of their border, by name, and of each image the
    name of its bars, such as "black bars left and right"; empty where there are none."""

    content: dict[str, Table]
    border: dict[str, Table]
    bars: npt.NDArray[np.str_]


def properties_of(pixels: Callable[[Tensor], Tensor], count: int) -> Properties:
    """The properties of the images 0 to ``count``; ``pixels`` gives those at some positions, uint8 N×C×H×W.

    Only some are in memory at once.
    """
    one = pixels(torch.tensor([0]))
    at = torch.split(torch.arange(count), max(1, BLOCK_BYTES // one.numel()))
    found = [_measured(pixels(positions)) for positions in at]
    content, edge, widths, bar = (torch.cat(parts).double().numpy() for parts in zip(*found, strict=True))
    names = ["brightness", "contrast", "sharpness", *(f"the amount of {color}" for color in COLORS)]
    border = {"the brightness of the border": edge[:, None], "the width of bars along the sides": widths}
    return Properties(
        {name: content[:, [column]] for column, name in enumerate(names[: content.shape[1]])},
        border,
        np.array([_name(sides, value) for sides, value in zip(widths > 0, bar, strict=True)]),
    )


def _measured(images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Content N×D, brightness of the border N, widths N×4 and gray values N of bars."""
    thin = _thinned(images).float()
    gray = thin.mean(1).flatten(1)
    columns = [gray.mean(1), gray.std(1, correction=0), _sharpness(images)]
    columns += list(thin.flatten(2).mean(2).T) if images.shape[1] == len(COLORS) else []
    return torch.stack(columns, 1), _border(images), *_bars(images)


def _sharpness(images: Tensor) -> Tensor:
    """How fine the details in the middle are: differences of neighbors against those of pixels two apart."""
    top, left = (max(0, (side - MEASURED_LINES) // 2) for side in images.shape[-2:])
    gray = images[..., top : top + MEASURED_LINES, left : left + MEASURED_LINES].float().mean(1)
    near, far = gray[..., 1:] - gray[..., :-1], gray[..., 2:] - gray[..., :-2]
    fine, coarse = (steps.abs().flatten(1).sum(1) / max(1, steps[0].numel()) for steps in (near, far))
    return (fine + 0.1) / (coarse + 0.1)


def _border(images: Tensor) -> Tensor:
    """The median gray value of the outermost pixels, which shapes that touch the border here and there do not move."""
    lines = (images[..., 0, :], images[..., -1, :], images[..., :, 0], images[..., :, -1])
    return torch.cat([line.float().mean(1) for line in lines], 1).median(1).values


def _bars(images: Tensor) -> tuple[Tensor, Tensor]:
    """Bars of one color along the sides, such as those of padding, of a film or of a scanner: their widths N×4, above,
    below, left and right, as shares of the side, and their mean gray values N.

    The margin around a drawn shape is no bar: a bar ends in a straight edge, a shape touches its margin in few places.
    """
    sides = [_margin(side, last) for side in (images, images.transpose(2, 3)) for last in (False, True)]
    widths = torch.stack([width for width, _ in sides], 1)
    weights = (widths > 0).float()
    values = (torch.stack([value for _, value in sides], 1) * weights).sum(1) / weights.sum(1).clamp(min=1)
    return widths, values


def _margin(images: Tensor, last: bool) -> tuple[Tensor, Tensor]:
    """The width N of a bar above (or below, if ``last``) N×C×H×W as a share of the height, and its gray value N.

    The width is 0 where there is no bar.
    """
    height = images.shape[2]
    reach = int(MAX_BAR_SHARE * height)
    if reach < 1:
        return torch.zeros(len(images)), torch.zeros(len(images))
    thin = images[..., :: -(-images.shape[3] // MEASURED_LINES)]
    first = thin[:, :, -1 if last else 0]
    begins = (first.amax(2).int() - first.amin(2) <= MAX_BAR_VARIATION).all(1)  # few images: only they are looked at
    widths, values = torch.zeros(len(images)), torch.zeros(len(images))
    thin = thin[begins]
    lines = thin[:, :, -reach - 1 :].int().flip(2) if last else thin[:, :, : reach + 1].int()
    low, high = lines.amin(3), lines.amax(3)
    value = (low[:, :, :1] + high[:, :, :1]) // 2
    plain = ((high - low <= MAX_BAR_VARIATION) & (((low + high) // 2 - value).abs() <= MAX_BAR_VARIATION)).all(1)
    count = plain.int().cumprod(1).sum(1)
    at = count.clamp(max=reach).view(-1, 1, 1, 1).expand(-1, lines.shape[1], 1, lines.shape[3])
    beyond = (lines.gather(2, at)[:, :, 0] - value).abs().amax(1) > MIN_BAR_STEP
    ends = (count > 0) & (count <= reach) & (beyond.float().mean(1) >= MIN_EDGE_SHARE)
    widths[begins], values[begins] = torch.where(ends, count / height, 0.0), value[:, :, 0].float().mean(1)
    return widths, values


def _name(there: npt.NDArray[np.bool_], value: float) -> str:
    above, below, left, right = there.tolist()
    if not there.any():
        return ""
    color = "black" if value < BLACK_BELOW else "white" if value >= WHITE_FROM else "plain"
    if all(there):
        return f"a {color} frame"
    if (above and below) or (left and right):
        return f"{color} bars {'above and below' if above and below else 'left and right'}"
    return f"a {color} bar on one side"


def _thinned(images: Tensor) -> Tensor:
    """Every second, third, … line of large images in both directions."""
    down, across = (-(-side // MEASURED_LINES) for side in images.shape[-2:])
    return images[..., ::down, ::across]
