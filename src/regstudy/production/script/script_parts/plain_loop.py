"""One epoch of a script: batches, steps, and the measurement after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from regstudy.data.preprocessing import PixelTransform
from regstudy.production.script.script_parts.plain_images import Images
from regstudy.production.script.script_parts.plain_network import make_network
from regstudy.production.script.script_parts.plain_optimizer import learning_rate, make_optimizer
from regstudy.production.script.script_parts.plain_settings import (
    EVALUATION_BATCH_SIZE,
    MEASURED,
    PHASES,
    POSITIVE,
    Settings,
)
from regstudy.training.augmentation import augment
from regstudy.training.class_balance import balanced_order, class_weights
from regstudy.training.decay import decay_l2, penalized_weights, shrink_l1
from regstudy.training.ema import WeightAverage
from regstudy.training.erasing import cut_out, erase_rectangles
from regstudy.training.mixing import mix
from regstudy.training.precision import computing_in, resolve
from regstudy.training.scores import auroc, average_precision, confusion, from_counts


@dataclass
class Run:
    """What changes during training."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    transform: PixelTransform
    order: Generator  # draws the order of the images
    random: Generator  # draws how each image is changed
    class_weights: Tensor | None = None
    average: WeightAverage | None = None
    compiled: Callable[[Tensor], Tensor] | None = None  # the network for training


def start(train: Images, transform: PixelTransform, settings: Settings, seed: int, phase: int = 0) -> Run:
    """A network with random weights and its optimizer; each kind of chance has a seed of its own."""
    entropy = [seed, phase] if len(PHASES) > 1 and phase else seed
    seeds = [int(number) for number in np.random.SeedSequence(entropy).generate_state(3)]
    torch.manual_seed(seeds[0])  # of the first weights and of dropout
    device, classes = train.pixels.device, len(train.classes)
    model = make_network(train.pixels.shape[1], transform.side, classes)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    order, random = (Generator().manual_seed(number) for number in seeds[1:])
    run = Run(model, make_optimizer(model, settings), transform, order, random)
    if settings.balance == "weights":
        run.class_weights = class_weights(train.labels, classes)
    if settings.ema:
        run.average = WeightAverage(model, settings.ema)
    if settings.compile:
        run.compiled = torch.compile(model, dynamic=False)
    return run


def train_epoch(run: Run, train: Images, settings: Settings, values: list[float]) -> tuple[float, float]:
    """Train on every image once; the mean loss and the accuracy in train mode."""
    run.model.train()
    if settings.balance == "oversample":
        order = balanced_order(train.labels.cpu(), len(train.classes), run.order)
    else:
        order = torch.randperm(len(train), generator=run.order)
    batches = list(torch.split(order.to(train.pixels.device), settings.batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches.pop()  # batch normalization cannot handle a single image
    losses, right = [], []
    for step, places in enumerate(batches):
        rate = learning_rate(settings, values, step, len(batches))
        loss, correct = train_step(run, train.pixels[places], train.labels[places], settings, rate)
        losses.append(loss * len(places))
        right.append(correct)
    seen = sum(map(len, batches))
    return float(torch.stack(losses).double().sum()) / seen, float(torch.stack(right).sum()) / seen


def train_step(run: Run, pixels: Tensor, labels: Tensor, settings: Settings, rate: float) -> tuple[Tensor, Tensor]:
    """One step on a batch of images; its mean loss and the number of correct predictions."""
    images = changed(run, pixels, settings)
    if settings.mixup or settings.cutmix:
        mixed = mix(images, settings, run.random)  # type: ignore[arg-type]
        logits = predict(run.compiled if settings.compile else run.model, mixed.images, settings)
        loss = loss_of(run, logits, labels, settings)
        likelier = labels
        if mixed.partner is not None:
            others = labels[mixed.partner]
            if mixed.share != 1:
                loss = mixed.share * loss + (1 - mixed.share) * loss_of(run, logits, others, settings)
            likelier = labels if mixed.share >= 0.5 else others
        correct = (logits.detach().argmax(1) == likelier).sum()
    else:
        logits = predict(run.compiled if settings.compile else run.model, images, settings)
        loss = loss_of(run, logits, labels, settings)
        correct = (logits.detach().argmax(1) == labels).sum()
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    descend(run, settings, rate)
    return loss.detach(), correct


def changed(run: Run, pixels: Tensor, settings: Settings) -> Tensor:
    """Training images N×C×side×side, changed at random and normalized, of uint8 images N×C×H×W."""
    if settings.strength and settings.operations:
        pixels = augment(pixels, settings.operations, settings.strength, run.transform, run.random)
    else:
        pixels = run.transform.crop(pixels)
    images = run.transform.normalize(pixels)
    if settings.cutout:
        images = cut_out(images, settings.cutout, run.random)
    if settings.random_erasing:
        images = erase_rectangles(images, settings.random_erasing, run.random)
    return images


def predict(network: Any, images: Tensor, settings: Settings) -> Tensor:
    """The logits N×K in training."""
    if settings.precision == "fp32":
        return network(images)  # type: ignore[no-any-return]
    precision = resolve("auto", images.device) if settings.precision == "auto" else "bf16"
    with computing_in(precision, images.device):
        return network(images).float()  # type: ignore[no-any-return]


def loss_of(run: Run, logits: Tensor, labels: Tensor, settings: Settings) -> Tensor:
    """The mean loss of a batch."""
    if settings.balance == "weights" and settings.label_smoothing:
        return cross_entropy(logits, labels, weight=run.class_weights, label_smoothing=settings.label_smoothing)
    if settings.balance == "weights":
        return cross_entropy(logits, labels, weight=run.class_weights)
    if settings.label_smoothing:
        return cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
    return cross_entropy(logits, labels)


def descend(run: Run, settings: Settings, rate: float) -> None:
    """One step of the optimizer at a learning rate."""
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    if settings.l2 and settings.decoupled:
        decay_l2(penalized_weights(run.model), rate * settings.l2)
    run.optimizer.step()
    if settings.l1:
        shrink_l1(penalized_weights(run.model), rate * settings.l1)
    if settings.ema:
        run.average.update(run.model)  # type: ignore[union-attr]


@torch.inference_mode()
def measure(model: nn.Module, images: Images, transform: PixelTransform) -> dict[str, float]:
    """Loss, accuracy and what else is measured, in eval mode."""
    model.eval()
    loss, kept = torch.zeros((), dtype=torch.float64, device=images.pixels.device), []
    for first in range(0, len(images), EVALUATION_BATCH_SIZE):
        logits = model(transform(images.pixels[first : first + EVALUATION_BATCH_SIZE]))
        loss += cross_entropy(logits, images.labels[first : first + EVALUATION_BATCH_SIZE], reduction="sum")
        kept.append(logits)
    logits = torch.cat(kept)
    found = {"loss": float(loss) / len(images), "accuracy": float((logits.argmax(1) == images.labels).double().mean())}
    if any(name in ("balanced_accuracy", "macro_f1", "worst_class_recall") for name in MEASURED):
        counts = from_counts(confusion(logits.argmax(1), images.labels, len(images.classes)).double())
        found |= {name: float(value) for name, value in counts.items() if name in MEASURED}
    if "auroc" in MEASURED or "average_precision" in MEASURED:
        probabilities = logits.double().softmax(1)
        if "auroc" in MEASURED:
            found["auroc"] = float(auroc(probabilities, images.labels))
        if "average_precision" in MEASURED:
            positive = images.classes.index(POSITIVE)
            found["average_precision"] = float(average_precision(probabilities[:, positive], images.labels == positive))
    return found
