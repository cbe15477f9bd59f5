"""Capacity, judged last: parameters against images, what more data would bring, and random labels."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from regstudy.doctor.findings import Chart, Finding, Result
from regstudy.doctor.setup import Setup, descend

MIN_PARAMETERS_NOTED = 10_000  # parameters per training image
DATA_SHARES = (0.25, 0.5, 1.0)
MAX_CURVE_IMAGES, MAX_EVAL_IMAGES = 4_000, 1_000  # images
MAX_CURVE_STEPS, MIN_CURVE_STEPS, MIN_CURVE_EPOCHS = (
    240,
    40,
    3,
)  # of one training at most, and of the whole set at least
MAX_RANDOM_LABELS, MAX_RANDOM_LABEL_STEPS = 256, 400
MEMORIZED_ACCURACY = 0.95


@dataclass(frozen=True)
class Reached:
    """Accuracies 0..1 after a short training, in evaluation mode, and how long it took."""

    train: float
    validation: float
    steps: int


def parameters(setup: Setup, training: int) -> Result:
    """How many parameters learn for each of ``training`` images."""
    count = sum(p.numel() for p in setup.model.parameters() if p.requires_grad)
    looked = f"{count:,} parameters learn from {training:,} images: {count / max(training, 1):,.0f} for each."
    if count < MIN_PARAMETERS_NOTED * training:
        return Result(looked)
    finding = Finding(
        "many-parameters",
        "capacity",
        "note",
        f"There are {count / training:,.0f} parameters for each training image: it can be learned by heart.",
        (looked,),
        "That alone is no fault, but compare with a smaller network or pretrained weights before blaming regularizers.",
    )
    return Result(looked, (finding,))


def data_size(setup: Setup, train: tuple[Tensor, Tensor], validation: tuple[Tensor, Tensor], seconds: float) -> Result:
    """Short trainings on a quarter, a half and all of the images (inputs N×C×H×W, labels N), with equal numbers of
    steps; what validation gains from more data."""
    inputs, labels = train
    size = max(2, min(setup.batch_size, len(labels) // 4))
    per_step = _seconds_per_step(setup, inputs, labels, size)
    steps = int(min(MAX_CURVE_STEPS, seconds / len(DATA_SHARES) / per_step))
    if steps < MIN_CURVE_STEPS:
        return Result(f"Not tried: a step takes {per_step:.2f} s, too long for {seconds:.0f} s.")
    if steps * size < MIN_CURVE_EPOCHS * len(labels):
        kept = steps * size // MIN_CURVE_EPOCHS
        if kept < max(100, len(labels) // 4):
            return Result(
                f"Not tried: a step takes {per_step:.2f} s; {MIN_CURVE_EPOCHS} epochs take over {seconds:.0f} s."
            )
        inputs, labels = inputs[:kept], labels[:kept]
    reached = []
    for share in DATA_SHARES:
        some = slice(0, max(size, round(share * len(labels))))
        reached.append(trained(setup, (inputs[some], labels[some]), validation, steps, size))
    half, whole = reached[-2].validation, reached[-1].validation
    error = 100 * math.sqrt(2 * max(whole * (1 - whole), 0.01) / len(validation[1]))
    gain, gap = 100 * (whole - half), 100 * (reached[-1].train - whole)
    counts = tuple(round(share * len(labels)) for share in DATA_SHARES)
    chart = Chart(
        "data-size",
        f"The last doubling of the images gained {gain:+.1f} points of validation accuracy",
        "training images",
        "accuracy, %",
        {
            "training, clean": (counts, tuple(100 * one.train for one in reached)),
            "validation": (counts, tuple(100 * one.validation for one in reached)),
        },
    )
    looked = (
        f"After {steps} steps: validation {', '.join(f'{one.validation:.1%}' for one in reached)} with"
        f" {', '.join(map(str, counts))} images; the last doubling gained {gain:+.1f} points (± {2 * error:.1f}), the"
        f" gap is then {gap:.1f} points."
    )
    if gain < max(2 * error, 1.0):
        return Result(looked, (), (chart,))
    finding = Finding(
        "more-data-helps",
        "capacity",
        "note",
        f"More images would help: the last doubling gained {gain:.1f} points of validation accuracy.",
        (looked,),
        "More images, or augmentation that makes variants of them, may close more of the gap than decay or dropout.",
        "likely",
    )
    return Result(looked, (finding,), (chart,))


def _seconds_per_step(setup: Setup, inputs: Tensor, labels: Tensor, size: int) -> float:
    began = time.perf_counter()
    trained(setup, (inputs[: 2 * size], labels[: 2 * size]), (inputs[:2], labels[:2]), 2, size)
    return max((time.perf_counter() - began) / 2, 1e-4)


def trained(
    setup: Setup, train: tuple[Tensor, Tensor], validation: tuple[Tensor, Tensor], steps: int, size: int
) -> Reached:
    """Train a copy for so many steps in batches of ``size``, and measure it on its images and on others."""
    model, optimizer = setup.copied()
    done = sum(1 for _ in descend(setup, model, optimizer, *train, steps, size))
    some = slice(0, MAX_EVAL_IMAGES)
    return Reached(_accuracy(model, train[0][some], train[1][some]), _accuracy(model, *validation), done)


@torch.no_grad()
def _accuracy(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    model.eval()
    right = sum(
        int((model(inputs[at : at + 256]).argmax(1) == labels[at : at + 256]).sum())
        for at in range(0, len(labels), 256)
    )
    return right / max(len(labels), 1)


def random_labels(setup: Setup, inputs: Tensor, labels: Tensor, seconds: float) -> Result:
    """Whether the network learns labels by heart that say nothing (Zhang et al., 2017), on inputs N×C×H×W."""
    images, wanted = inputs[:MAX_RANDOM_LABELS], labels[:MAX_RANDOM_LABELS]
    shuffled = wanted[torch.randperm(len(wanted), generator=Generator().manual_seed(0))]
    size = max(2, min(setup.batch_size, len(wanted) // 2, 64))
    steps = int(min(MAX_RANDOM_LABEL_STEPS, seconds / _seconds_per_step(setup, images, wanted, size)))
    reached = trained(setup, (images, shuffled), (images, shuffled), steps, size).train
    looked = f"After {steps} steps the network knows {reached:.0%} of {len(wanted)} random labels by heart."
    if reached < MEMORIZED_ACCURACY:
        return Result(looked)
    finding = Finding(
        "learns-random-labels",
        "capacity",
        "note",
        "The network can learn by heart: random labels are no obstacle, so a gap comes as no surprise.",
        (looked,),
        "Capacity is ample: now it makes sense to search regularizers (`regstudy study`).",
    )
    return Result(looked, (finding,))
