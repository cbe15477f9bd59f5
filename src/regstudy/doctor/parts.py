"""The images of an examination, from the parts of a run or from the user's `torch` data set.

A user's data set gives images as the model gets them. If their values lie on a grid of 256 levels, as those of
normalized 8-bit images do, the original pixels are recovered from it; otherwise values are scaled to 0..255.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from regstudy.config.user_code import user_code
from regstudy.data.image_set import ImageSet
from regstudy.errors import DataError, describe

MAX_ITEMS_READ = 10_000  # of a user's data set
MAX_GRID_IMAGES = 256  # images from which the grid of levels is derived
ITEMS_READ_TWICE = 4  # to detect random augmentation
MIN_LEVEL_SPACING = 1e-6  # smaller differences may be rounding
MAX_SPACING_DIFFERENCE, MAX_LEVEL_OFFSET = (
    1e-3,
    0.1,
)  # relative, and in spacings: the same grid


@dataclass(frozen=True)
class Part:
    """``images`` uint8 N×C×H×W and ``labels`` int64 N, with what else is known about them.

    ``inputs`` gives the images at some positions as the model gets them, float32; ``levels`` are the inputs of the
    pixel values 0 and 255 per channel (C×2) where they are known; ``random`` says that each read gives a different
    image, as augmentation does; ``of`` is the total number if only some were read. ``paths`` start in ``folder``, which
    is None where the files are not known; ``fit`` says how files became squares (`data.fit`).
    """

    images: Tensor
    labels: Tensor
    inputs: Callable[[Tensor], Tensor]
    paths: tuple[str, ...] = ()
    groups: tuple[Any, ...] = ()
    levels: Tensor | None = None
    random: bool = False
    of: int = 0
    folder: Path | None = None
    fit: str | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def sample(self, count: int, seed: int = 0) -> Tensor:
        """At most ``count`` random positions, ascending."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randperm(len(self), generator=generator)[:count].sort().values


def part_of_set(
    images: ImageSet,
    preprocess: Callable[[Tensor], Tensor],
    groups: Sequence[Any] = (),
    folder: Path | None = None,
    fit: str | None = None,
) -> Part:
    """A part of a run, with the preprocessing of the run."""
    ends = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, *images.images.shape[1:])
    levels = preprocess(ends)[:, :, 0, 0].T
    return Part(
        images.images,
        images.labels,
        lambda at: preprocess(images.images[at]),
        images.paths,
        tuple(groups),
        levels,
        folder=folder,
        fit=fit,
    )


def part_of(source: Any, groups: Sequence[Any] = (), paths: Sequence[str] = ()) -> Part:
    """The images of a `torch` data set or loader whose items are (image, label), or of a pair of tensors.

    Images are tensors C×H×W, arrays H×W×C or PIL images, all of one shape. Raises DataError for anything else.
    """
    if isinstance(source, Part):
        return source
    if isinstance(source, ImageSet):
        return part_of_set(source, lambda images: images.float() / 255, groups)
    given = _paired(source) if isinstance(source, tuple | list) and len(source) == 2 else _read(source)
    inputs, labels = given.inputs, given.labels
    if inputs.ndim != 4 or labels.shape != inputs.shape[:1] or labels.is_floating_point() or len(labels) < 2:
        raise DataError(
            f"Expected images of shape N×C×H×W with N integer labels and N of at least 2, but got images of shape"
            f" {tuple(inputs.shape)} with labels of shape {tuple(labels.shape)} and type {labels.dtype}."
        )
    paths, groups = (_of_items(values, given) for values in (tuple(paths) or given.paths, tuple(groups)))
    if inputs.dtype == torch.uint8:
        levels: Tensor | None = torch.tensor([[0.0, 255.0]]).expand(inputs.shape[1], 2)
        pixels, inputs = inputs, inputs.float()
    else:
        inputs = inputs.float()
        levels = levels_of(inputs)
        pixels = _pixels(inputs, levels)
    return Part(
        pixels, labels.long(), lambda at: inputs[at], paths, groups, levels, given.random, given.of, folder=Path()
    )


class _Given(NamedTuple):
    """Inputs N×… and labels N as they were read: those at the positions ``chosen`` of ``of`` items."""

    inputs: Tensor
    labels: Tensor
    of: int
    chosen: Sequence[int]
    paths: tuple[str, ...] = ()
    random: bool = False


def _of_items(values: tuple[Any, ...], given: _Given) -> tuple[Any, ...]:
    """Of values for all items those of the items that were read; DataError if there are not as many as items."""
    if len(values) not in (0, given.of):
        raise DataError(f"Expected one group and one path for each of the {given.of} images, but got {len(values)}.")
    return tuple(values[index] for index in given.chosen) if values else ()


def _paired(source: Sequence[Any]) -> _Given:
    try:
        inputs, labels = (torch.as_tensor(part) for part in source)
    except (TypeError, ValueError, RuntimeError) as error:
        kinds = " and ".join(type(part).__name__ for part in source)
        raise DataError(
            f"A pair (images, labels) must hold tensors or arrays, but got {kinds}: {describe(error)}."
        ) from None
    return _Given(inputs, labels, len(labels) if labels.ndim else 0, range(len(labels) if labels.ndim else 0))


def on_one_grid(train: Part, validation: Part) -> tuple[Part, Part]:
    """Two parts with a common zero level, if both lie on the same grid.

    A part without black pixels shows its grid but not its zero. Grids of equal spacing whose levels coincide are taken
    for one, which starts at the darkest pixel of both.
    """
    one, other = train.levels, validation.levels
    if one is None or other is None or torch.equal(one, other):
        return train, validation
    spacing = (one[:, 1] - one[:, 0]) / 255
    places = (other[:, 0] - one[:, 0]) / spacing
    low, high = torch.minimum(one[:, 0], other[:, 0]), _highest(train, validation)
    same = ((other[:, 1] - other[:, 0]) / 255 / spacing - 1).abs() < MAX_SPACING_DIFFERENCE
    same &= ((places - places.round()).abs() < MAX_LEVEL_OFFSET) & ((high - low) / spacing < 255.5)
    if not bool(same.all()):
        return train, validation
    levels = torch.stack([low, low + 255 * spacing], 1)
    both = (
        replace(part, images=_pixels(part.inputs(torch.arange(len(part))), levels), levels=levels)
        for part in (train, validation)
    )
    return next(both), next(both)


def _highest(train: Part, validation: Part) -> Tensor:
    """The highest input of each channel in both parts."""
    ends = [part.inputs(torch.arange(len(part))).amax((0, 2, 3)) for part in (train, validation)]
    return torch.maximum(ends[0], ends[1])


def _read(source: Any) -> _Given:
    data = source.dataset if isinstance(source, DataLoader) else source
    if not isinstance(data, Dataset) or not hasattr(data, "__len__"):
        raise DataError(
            "Expected a torch data set with a length, its loader, or a pair (images, labels), but got"
            f" {type(source).__name__}."
        )
    total = len(data)
    if not total:
        raise DataError("The data set is empty.")
    chosen: Sequence[int] = range(total)
    if total > MAX_ITEMS_READ:
        chosen = np.sort(np.random.default_rng(0).permutation(total)[:MAX_ITEMS_READ]).tolist()
    items = [_item(data, index) for index in chosen]
    if len({tuple(image.shape) for image, _ in items}) > 1:
        raise DataError("The images of the data set have different shapes. Resize or crop them in its transform.")
    again = [_item(data, index)[0] for index in chosen[:ITEMS_READ_TWICE]]
    random = any(not torch.equal(image, items[at][0]) for at, image in enumerate(again))
    paths = tuple(str(item[0]) for item in getattr(data, "samples", ()))
    images, labels = torch.stack([image for image, _ in items]), torch.tensor([label for _, label in items])
    return _Given(images, labels, total, chosen, paths if len(paths) == total else (), random)


def _item(data: Any, index: int) -> tuple[Tensor, int]:
    with user_code(f"Reading item {index} of the data set as (image, label)", DataError):
        image, label = data[index][:2]
        tensor = image if isinstance(image, Tensor) else _from_array(np.asarray(image))
        return tensor, int(label)


def _from_array(array: np.ndarray[Any, Any]) -> Tensor:
    """H×W or H×W×C as C×H×W."""
    return torch.from_numpy(np.array(array if array.ndim == 3 else array[:, :, None])).permute(2, 0, 1)


def levels_of(inputs: Tensor) -> Tensor | None:
    """The inputs of the pixel values 0 and 255 per channel, C×2, if all values N×C×H×W lie on a grid of 256 levels."""
    found = []
    for channel in inputs[:MAX_GRID_IMAGES].transpose(0, 1):
        values = channel.flatten().double().unique()
        grid = _grid(values)
        if grid is None:
            return None
        found.append(grid)
    return torch.tensor(found)


def _grid(values: Tensor) -> tuple[float, float] | None:
    """The ends of the grid of at most 256 evenly spaced levels on which ascending values lie; None if there is none."""
    if len(values) < 8 or not bool(values.isfinite().all()):
        return None
    low, high = float(values[0]), float(values[-1])
    steps = values.diff()
    steps = steps[steps > (high - low) * 1e-4]  # single precision splits one level into several
    if not len(steps):
        return None
    spacing = float(steps.min())
    count = (high - low) / spacing
    if spacing < MIN_LEVEL_SPACING or not 7 <= count <= 255.5:
        return None
    spacing = (high - low) / round(count)
    places = (values - low) / spacing
    if float((places - places.round()).abs().max()) > 0.02:
        return None
    return low, low + 255 * spacing


def _pixels(inputs: Tensor, levels: Tensor | None) -> Tensor:
    """Inputs as uint8 N×C×H×W, by their levels or scaled so that the overall minimum and maximum are 0 and 255."""
    if levels is not None:
        low, high = (levels[:, end].view(-1, 1, 1) for end in (0, 1))
    else:
        finite = inputs[inputs.isfinite()]
        low, high = (finite.min(), finite.max()) if len(finite) else (torch.zeros(()), torch.ones(()))
    scaled = (inputs - low) / (high - low).clamp(min=MIN_LEVEL_SPACING) * 255
    return scaled.nan_to_num(0.0).round().clamp(0, 255).to(torch.uint8)
