"""Random augmentation of whole batches of training images, on their device, with one strength parameter.

At strength 0 the result is exactly the center crop. At strength 1

- `crop` moves the window over the whole margin (without a margin: an eighth of the side, the border reflected),
- `shift` moves the picture by up to an eighth of the side, in whole pixels, the border reflected,
- `rotate` turns by up to 30°, `scale` enlarges or shrinks by up to 20 %, `shear` slants by up to 15°,
- `flip` mirrors half of the images,
- `color` changes brightness, contrast and saturation by up to 40 % each,
- `erase` sets a rectangle of 2 to 20 % of the area to the mean color of its image, in half of the images.

In between, the maxima and the shares of mirrored and erased images are proportional to the strength.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, grid_sample

from regstudy.data.preprocessing import PixelTransform
from regstudy.training.color import COLOR_NUMBERS, change_colors
from regstudy.training.erasing import RECTANGLE_NUMBERS, erase_to_mean

MAX_ANGLE = math.radians(30)
MAX_SHIFT = 1 / 8  # of the side; also for crop, where it leaves no margin
MAX_SCALE = 0.2
MAX_SHEAR = math.radians(15)
MAX_COLOR = 0.4
ERASED_AREA = (0.02, 0.2)
WHOLE_PIXEL_OPS = frozenset({"crop", "shift", "flip"})  # these need no resampling
NUMBERS = [4, 4, COLOR_NUMBERS, RECTANGLE_NUMBERS]  # random numbers of an image: see `_Numbers`
MOVING_OPS = WHOLE_PIXEL_OPS | {"rotate", "scale", "shear"}


def augment(
    images: Tensor, ops: Collection[str], strength: float, preprocessing: PixelTransform, generator: Generator
) -> Tensor:
    """uint8 N×C×H×W to changed images N×C×side×side with values 0..255; draws only from the (CPU) generator.

    Every operation has its own random numbers: what it does to an image, in this batch and all later ones, does not
    depend on which other operations are enabled.
    """
    if strength == 0 or not ops:
        return preprocessing.crop(images)
    numbers = augmentation_numbers(len(images), generator).to(images.device)
    return augment_by(images, ops, strength, preprocessing, numbers)


def augment_by(
    images: Tensor, ops: Collection[str], strength: float, preprocessing: PixelTransform, numbers: Tensor
) -> Tensor:
    """As `augment` for a strength above 0, with the `augmentation_numbers` on the device of the images."""
    drawn = _Numbers(*torch.split(numbers, NUMBERS, dim=1))
    if MOVING_OPS.isdisjoint(ops):
        changed = preprocessing.crop(images)
    elif MOVING_OPS.intersection(ops) <= WHOLE_PIXEL_OPS:
        places = _places(drawn.first * 2 - 1, drawn.moves, images.shape[-1], ops, strength, preprocessing.side)
        changed = _moved(images, *places)
    else:
        transforms = _transforms(drawn.first * 2 - 1, drawn.moves, images.shape[-1], ops, strength, preprocessing.side)
        size = [*images.shape[:2], preprocessing.side, preprocessing.side]
        grid = affine_grid(transforms, size, align_corners=False)
        changed = grid_sample(images.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    if "color" in ops:
        changed = change_colors(changed.float(), (drawn.colors * 2 - 1) * (MAX_COLOR * strength))
    return erase_to_mean(changed.float(), strength / 2, drawn.rectangles, ERASED_AREA) if "erase" in ops else changed


class _Numbers(NamedTuple):
    """Random numbers 0..1 of each image, N×4 (angle, mirror, place of the window), N×4 (scale, shear, shift), …"""

    first: Tensor
    moves: Tensor
    colors: Tensor
    rectangles: Tensor


def augmentation_numbers(count: int, generator: Generator) -> Tensor:
    """All random numbers 0..1 that a batch needs, on the CPU, N×16.

    All but the first come from a second generator, seeded with the next draw of the first, which thus advances by its
    own four columns per batch only.
    """
    first = torch.rand(count, 4, generator=generator)
    seed = int(torch.randint(2**62, (), generator=generator.clone_state()))
    others = torch.rand(count, sum(NUMBERS[1:]), generator=Generator().manual_seed(seed))
    return torch.cat([first, others], dim=1)


def _transforms(first: Tensor, moves: Tensor, full: int, ops: Collection[str], strength: float, side: int) -> Tensor:
    """Affine maps N×2×3 from places in the result to places in the image, both in -1..1.

    One resampling does all that moves pixels: as seen in the result, the picture is shifted, scaled, turned, slanted
    and mirrored, in this order. ``first`` is N×4 in -1..1, ``moves`` N×4 in 0..1.
    """
    none = torch.zeros_like(first[:, 0])
    angle = first[:, 0] * (MAX_ANGLE * strength) if "rotate" in ops else none
    mirror = torch.where(_mirrored(first, strength), -1.0, 1.0) if "flip" in ops else none + 1
    slant = ((moves[:, 1] * 2 - 1) * (MAX_SHEAR * strength)).tan() if "shear" in ops else none
    zoom = 1 + (moves[:, 0] * 2 - 1) * (MAX_SCALE * strength) if "scale" in ops else none + 1
    shift = _shifts(first, moves, full, ops, strength, side) - ((full - side) % 2) / 2  # the center crop rounds down
    scale = side / full / zoom
    cosine, sine = angle.cos() * scale, angle.sin() * scale
    across, down = (shift * 2 / full).unbind(1)
    rows = [cosine * mirror, cosine * slant - sine, across, sine * mirror, sine * slant + cosine, down]
    return torch.stack(rows, dim=1).view(-1, 2, 3)


def _places(
    first: Tensor, moves: Tensor, full: int, ops: Collection[str], strength: float, side: int
) -> tuple[Tensor, Tensor]:
    """Which row and which column (each N×side) of an image every pixel of the result shows; same moves as above."""
    steps = torch.arange(side, device=first.device)
    across, down = (_shifts(first, moves, full, ops, strength, side).long() + (full - side) // 2).unbind(1)
    rows, columns = steps + down.unsqueeze(1), steps + across.unsqueeze(1)
    if "flip" in ops:
        columns = torch.where(_mirrored(first, strength).unsqueeze(1), steps.flip(0), steps) + across.unsqueeze(1)
    return _reflected(rows, full), _reflected(columns, full)


def _reflected(places: Tensor, full: int) -> Tensor:
    """Places beyond a border as their mirror image at the border's outer edge: -1 is 0, -2 is 1."""
    inside = torch.where(places < 0, -1 - places, places)
    return torch.where(inside >= full, 2 * full - 1 - inside, inside)


def _moved(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The images' pixels at N×side rows and columns, to the bit; a third of the time of resampling them."""
    count, channels, _, full = images.shape
    side = rows.shape[1]
    rows = rows[:, None, :, None].expand(count, channels, side, full)
    columns = columns[:, None, None, :].expand(count, channels, side, side)
    return images.gather(2, rows).gather(3, columns)


def _mirrored(first: Tensor, strength: float) -> Tensor:
    """Which images to mirror."""
    return first[:, 1].abs() < strength / 2


def _shifts(first: Tensor, moves: Tensor, full: int, ops: Collection[str], strength: float, side: int) -> Tensor:
    """Whole pixels to the right and down (N×2) by which the window leaves the center."""
    shift = torch.zeros_like(first[:, 2:])
    if "crop" in ops:
        margin = full - side
        rooms = (margin // 2, margin - margin // 2) if margin else (side * MAX_SHIFT, side * MAX_SHIFT)
        before, after = (math.floor(strength * room + 0.5) for room in rooms)
        shift += _steps((first[:, 2:] + 1) / 2, before, after)
    if "shift" in ops:
        reach = math.floor(strength * side * MAX_SHIFT + 0.5)
        shift += _steps(moves[:, 2:], reach, reach)
    return shift


def _steps(numbers: Tensor, before: int, after: int) -> Tensor:
    """Numbers 0..1 as whole pixels from -before to after, all equally likely."""
    return (numbers * (before + after + 1)).floor().clamp(max=before + after) - before
