"""Capacity, judged last: parameters per image, the value of more data, and random labels."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from regstudy.doctor.findings import Chart, Finding, Result
from regstudy.doctor.setup import Setup, descend
from regstudy.text import counted

MIN_PARAMETERS_NOTED = 10_000  # parameters per training image
DATA_SHARES = (0.25, 0.5, 1.0)
MAX_CURVE_IMAGES, MAX_EVAL_IMAGES = 4_000, 1_000
MAX_CURVE_STEPS, MIN_CURVE_STEPS = 240, 40  # of one training run
MIN_CURVE_EPOCHS = 3  # over the full set
MAX_RANDOM_LABELS, MAX_RANDOM_LABEL_STEPS = 256, 400
MEMORIZED_ACCURACY = 0.95

Clock = Callable[[], float]  # seconds from an arbitrary start


@dataclass(frozen=True)
class Reached:
    """Accuracies 0..1 after a short training run, in evaluation mode, and the number of steps."""

    train: float
    validation: float
    steps: int


def parameters(setup: Setup, training: int) -> Result:
    """How many trainable parameters there are per training image; ``training`` is the number of images."""
    count = sum(p.numel() for p in setup.model.parameters() if p.requires_grad)
    looked = (
        f"{count:,} trainable parameters for {training:,} training images: {count / max(training, 1):,.0f} per image."
    )
    if count < MIN_PARAMETERS_NOTED * training:
        return Result(looked)
    finding = Finding(
        "many-parameters",
        "capacity",
        "note",
        f"The model has {count / training:,.0f} parameters per training image, so it can memorize the training set.",
        (looked,),
        "This is not an error by itself. Try a smaller model or pretrained weights before blaming regularization.",
    )
    return Result(looked, (finding,))


def data_size(
    setup: Setup,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    seconds: float,
    clock: Clock = time.perf_counter,
) -> Result:
    """Short training runs on a quarter, a half and all of the images (inputs N×C×H×W, labels N), with equal numbers of
    steps; how much validation accuracy more data brings. ``clock`` measures how many steps fit into ``seconds``."""
    inputs, labels = train
    size = max(2, min(setup.batch_size, len(labels) // 4))
    per_step = _seconds_per_step(setup, inputs, labels, size, clock)
    steps = int(min(MAX_CURVE_STEPS, seconds / len(DATA_SHARES) / per_step))
    if steps < MIN_CURVE_STEPS:
        return Result(f"Skipped: one step takes {per_step:.2f} s, which is too slow for the {seconds:.0f} s limit.")
    if steps * size < MIN_CURVE_EPOCHS * len(labels):
        kept = steps * size // MIN_CURVE_EPOCHS
        if kept < max(100, len(labels) // 4):
            return Result(
                f"Skipped: one step takes {per_step:.2f} s, so {MIN_CURVE_EPOCHS} epochs exceed the {seconds:.0f} s"
                " limit."
            )
        inputs, labels = inputs[:kept], labels[:kept]
    reached = []
    for share in DATA_SHARES:
        subset = slice(0, max(size, round(share * len(labels))))
        reached.append(trained(setup, (inputs[subset], labels[subset]), validation, steps, size))
    half, whole = reached[-2].validation, reached[-1].validation
    error = 100 * math.sqrt(2 * max(whole * (1 - whole), 0.01) / len(validation[1]))
    gain, gap = 100 * (whole - half), 100 * (reached[-1].train - whole)
    change = f"{gain:+.1f} points".replace("-", "−")  # a minus sign as in the report
    counts = tuple(round(share * len(labels)) for share in DATA_SHARES)
    chart = Chart(
        "data-size",
        f"Doubling the training images changed validation accuracy by {change}",
        "training images",
        "accuracy (%)",
        {
            "train (eval mode)": (counts, tuple(100 * one.train for one in reached)),
            "validation": (counts, tuple(100 * one.validation for one in reached)),
        },
    )
    looked = (
        f"Validation accuracy after {counted(steps, 'step')}: {', '.join(f'{one.validation:.1%}' for one in reached)}"
        f" with {', '.join(map(str, counts))} training images. The last doubling changed it by {change}"
        f" (± {2 * error:.1f}); the train/validation gap was then {gap:.1f} points."
    )
    if gain < max(2 * error, 1.0):
        return Result(looked, (), (chart,))
    finding = Finding(
        "more-data-helps",
        "capacity",
        "note",
        f"More training images would help: the last doubling raised validation accuracy by {gain:.1f} points.",
        (looked,),
        "More images, or augmentation, may close more of the gap than weight decay or dropout.",
        "likely",
    )
    return Result(looked, (finding,), (chart,))


def _seconds_per_step(setup: Setup, inputs: Tensor, labels: Tensor, size: int, clock: Clock) -> float:
    began = clock()
    trained(setup, (inputs[: 2 * size], labels[: 2 * size]), (inputs[:2], labels[:2]), 2, size)
    return max((clock() - began) / 2, 1e-4)


def trained(
    setup: Setup, train: tuple[Tensor, Tensor], validation: tuple[Tensor, Tensor], steps: int, size: int
) -> Reached:
    """Train a copy for ``steps`` steps in batches of ``size``, and evaluate it on its images and on others."""
    model, optimizer = setup.copied()
    done = sum(1 for _ in descend(setup, model, optimizer, *train, steps, size))
    subset = slice(0, MAX_EVAL_IMAGES)
    return Reached(_accuracy(model, train[0][subset], train[1][subset]), _accuracy(model, *validation), done)


@torch.no_grad()
def _accuracy(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    model.eval()
    right = sum(
        int((model(inputs[at : at + 256]).argmax(1) == labels[at : at + 256]).sum())
        for at in range(0, len(labels), 256)
    )
    return right / max(len(labels), 1)


def random_labels(
    setup: Setup, inputs: Tensor, labels: Tensor, seconds: float, clock: Clock = time.perf_counter
) -> Result:
    """Whether the model memorizes random labels (Zhang et al., 2017), on inputs N×C×H×W."""
    images, wanted = inputs[:MAX_RANDOM_LABELS], labels[:MAX_RANDOM_LABELS]
    shuffled = wanted[torch.randperm(len(wanted), generator=Generator().manual_seed(0))]
    size = max(2, min(setup.batch_size, len(wanted) // 2, 64))
    steps = int(min(MAX_RANDOM_LABEL_STEPS, seconds / _seconds_per_step(setup, images, wanted, size, clock)))
    reached = trained(setup, (images, shuffled), (images, shuffled), steps, size).train
    looked = f"After {counted(steps, 'step')} the model has memorized {reached:.0%} of"
    looked += f" {counted(len(wanted), 'random label')}."
    if reached < MEMORIZED_ACCURACY:
        return Result(looked)
    finding = Finding(
        "learns-random-labels",
        "capacity",
        "note",
        "The model can memorize random labels, so a train/validation gap is expected.",
        (looked,),
        "The model has enough capacity. Search for regularizers next (`regstudy study`).",
    )
    return Result(looked, (finding,))
