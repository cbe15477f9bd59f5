"""What a training step needs besides the images: amounts, and random numbers that are drawn on the CPU.

All are drawn before the step, in a fixed order, so that every device sees the same numbers. On the CPU they are used as
they are. A GPU gets them in one transfer from pinned memory, for which the host does not wait, and reads the amounts
from its own memory, too, so that a recorded step (`regstudy.training.step_graph`) finds new ones there every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from regstudy.config.run_config import RunConfig
from regstudy.training.augmentation import augmentation_numbers
from regstudy.training.erasing import cutout_centers, rectangle_numbers
from regstudy.training.mixing import Mixing, draw_mixing

Amount = float | Tensor


class StepInputs(NamedTuple):
    """Amounts as numbers or 0-dim tensors; random numbers by image, None for what is off.

    ``l2`` and ``l1`` are rate · λ, ``ema`` is the share of the new weights in their average, and ``share``,
    ``partner`` and ``rectangle`` are those of a `Mixing`.
    """

    lr: Amount
    l2: Amount
    l1: Amount
    ema: Amount
    share: Amount
    augmentation: Tensor | None
    centers: Tensor | None
    erasing: Tensor | None
    partner: Tensor | None
    rectangle: Tensor | None

    @property
    def used(self) -> tuple[bool, ...]:
        """Which of them there are: steps with the same ones do the same operations."""
        return tuple(one is not None for one in self)


def draw_inputs(
    config: RunConfig, count: int, shape: Sequence[int], lr: float, ema: float, random: Generator
) -> StepInputs:
    """The inputs of a step on ``count`` images, which are cropped to ``shape``, C×H×W."""
    section, extras = config.augmentation, config.regularization
    batch = (count, *shape)
    augmentation = augmentation_numbers(count, random) if section.strength and section.ops else None
    centers = cutout_centers(batch, random) if extras.cutout else None
    erasing = rectangle_numbers(count, random) if extras.random_erasing else None
    mixing = draw_mixing(batch, extras, random) if extras.mixup or extras.cutmix else Mixing(None)
    partner, share, rectangle = mixing
    return StepInputs(
        lr, lr * extras.l2, lr * extras.l1, ema, share, augmentation, centers, erasing, partner, rectangle
    )


def moved(inputs: StepInputs, device: torch.device) -> StepInputs:
    """The same with the random numbers on a device; itself on the CPU."""
    there = {name: one.to(device) for name, one in inputs._asdict().items() if isinstance(one, Tensor)}
    return inputs._replace(**there)


def packed(inputs: StepInputs) -> Tensor:
    """All numbers as one float32 vector on the CPU; whole numbers among them are below 2^24, so they stay exact."""
    amounts = [one for one in inputs if isinstance(one, float | int)]
    tensors = [one.reshape(-1).to(torch.float32) for one in inputs if isinstance(one, Tensor)]
    return torch.cat([torch.tensor(amounts, dtype=torch.float32), *tensors])


def unpacked(vector: Tensor, like: StepInputs) -> StepInputs:
    """Views of a `packed` vector: amounts are 0-dim, random numbers have the shapes that they have in ``like``."""
    amounts = [name for name, one in like._asdict().items() if isinstance(one, float | int)]
    tensors = {name: one.shape for name, one in like._asdict().items() if isinstance(one, Tensor)}
    sizes = [1] * len(amounts) + [shape.numel() for shape in tensors.values()]
    parts = dict(zip(chain(amounts, tensors), torch.split(vector, sizes), strict=True))
    shaped = {name: part.view(tensors.get(name, ())) for name, part in parts.items()}
    return like._replace(**shaped)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device; the host does not wait for a GPU."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
