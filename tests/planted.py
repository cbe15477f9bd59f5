"""Small real and made-up images, networks and set-ups into which tests plant faults, and what was found in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor, nn
from torch.nn.functional import interpolate

from regstudy.config.schema import Data
from regstudy.data import digits as bundled
from regstudy.doctor.checks.simple_model import features, kernel, out_of_fold
from regstudy.doctor.findings import Diagnosis, Result
from regstudy.doctor.setup import Setup

NAMES = tuple("0123456789")


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@cache
def _digits(size: int) -> tuple[Tensor, Tensor]:
    found = bundled.load("train", Data(name="digits", size=size), Path())
    assert found is not None
    order = torch.randperm(len(found), generator=seeded())
    return found.images[order], found.labels[order]


def digits(count: int, first: int = 0, size: int = 16) -> tuple[Tensor, Tensor]:
    """Handwritten digits, uint8 N×1×size×size, in random order: some of 1,437."""
    images, labels = _digits(size)
    return images[first : first + count].clone(), labels[first : first + count].clone()


@cache
def similarities(count: int) -> Tensor:
    """How much the first digits resemble each other, N×N."""
    return kernel(features(digits(count)[0]))


def scores(labels: Tensor, classes: int = 10) -> Tensor:
    """What a simple classifier makes of the first digits if they have these labels, out of fold."""
    return out_of_fold(similarities(len(labels)), labels, classes)


def shuffled(labels: Tensor, share: float, seed: int = 1) -> Tensor:
    """A share of the labels exchanged among themselves."""
    changed = labels.clone()
    chosen = torch.randperm(len(labels), generator=seeded(seed))[: round(share * len(labels))]
    changed[chosen] = labels[chosen[torch.randperm(len(chosen), generator=seeded(seed + 1))]]
    return changed


def pictures(count: int, seed: int = 0, side: int = 32, channels: int = 3) -> Tensor:
    """Smooth random pictures with a mean brightness of about 115, uint8, none like another."""
    generator, total = seeded(seed), torch.zeros(count, channels, side, side)
    for coarse, weight in ((4, 30.0), (8, 22.0), (16, 14.0)):
        noise = torch.randn(count, channels, coarse, coarse, generator=generator)
        total += weight * interpolate(noise, (side, side), mode="bicubic", align_corners=False)
    return (total + 115).clamp(0, 255).to(torch.uint8)


UNBALANCED = """\
# Nine healthy images to a sick one, which is hard to tell: does it help to balance the classes in training?
data: {name: image_folder, root: %s, size: 8, validation: 0.33}
preprocessing: {normalize: train}
model: {name: small_cnn}
optimizer: {name: adamw, lr: 1e-3}
training: {batch_size: 32, epochs: 4, patience: null, balance: {choices: [none, weights]}}
"""


def write_unbalanced(folder: Path, healthy: int = 900, sick: int = 100) -> Path:
    """A folder with two classes, 9:1, of small gray images whose brightness differs by 1.4 standard deviations.

    So the most accurate answer is nearly always "healthy", and a threshold in the middle finds three of four sick ones.
    """
    random = np.random.default_rng(0)
    for name, images, level in (("healthy", healthy, 110), ("sick", sick, 152)):
        (folder / name).mkdir(parents=True)
        for at in range(images):
            pixels = random.normal(random.normal(level, 30), 12, (8, 8)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{at:03d}.png")
    return folder


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Inputs of mean 0 and standard deviation 1."""
    return torch.randn(*shape, generator=seeded(seed))


def mlp(pixels: int, classes: int = 3, width: int = 32, dropout: float = 0.0, seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(pixels, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, classes)
        )


def convolutional(channels: int = 1, classes: int = 10, width: int = 8, seed: int = 0) -> nn.Sequential:
    """Two convolutions with batch normalization, for any size of images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(16 * width, classes),
        )


def setup(model: nn.Module, lr: float = 1e-3, batch_size: int = 32, **more: Any) -> Setup:
    """With Adam over what is to learn."""
    learning = [p for p in model.parameters() if p.requires_grad] or [nn.Parameter(torch.zeros(1))]
    return Setup(model, torch.optim.Adam(learning, lr=lr), batch_size, **more)


def ticking(seconds: float) -> Callable[[], float]:
    """A clock on which so many seconds go by between two looks."""
    times = count(step=seconds)
    return lambda: float(next(times))


def severities(found: Result | Diagnosis) -> dict[str, str]:
    """The severity of each finding by its id."""
    return {finding.id: finding.severity for finding in found.findings}


def alarms(found: Result | Diagnosis) -> dict[str, str]:
    """As `severities`, without notes."""
    return {name: severity for name, severity in severities(found).items() if severity != "note"}


def state(*of: nn.Module | torch.optim.Optimizer) -> list[Any]:
    """Everything that an examination must leave as it was: values, modes, gradients, and torch's generator."""
    kept: list[Any] = [torch.get_rng_state().tolist()]
    for one in of:
        kept.append(_plain(one.state_dict()))
        if isinstance(one, nn.Module):
            kept.append([module.training for module in one.modules()])
            kept.append([p.grad is None for p in one.parameters()])
            kept.append([len(module._forward_hooks) for module in one.modules()])
    return kept


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def ids(found: Iterable[Any]) -> list[str]:
    return [finding.id for finding in found]
