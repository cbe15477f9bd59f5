"""Measuring a network on images in eval mode: loss, accuracy, further metrics, confusions and confidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from regstudy.data.image_set import ImageSet
from regstudy.data.preprocessing import PixelTransform
from regstudy.records import Reliability
from regstudy.training.confidence import CONFIDENCE_BINS, brier_sum, confidence_table, reliability
from regstudy.training.precision import exact_type
from regstudy.training.scores import confusion, extra_scores, needs_logits

EVALUATION_BATCH_SIZE = 512
MOST_ON_GPU = 8192  # images at once there, where small batches leave most of it idle
MEMORY_OF_PIXEL = 10_000  # bytes: 40 maps of 64 channels in fp32


@dataclass(frozen=True)
class Measured:
    """Mean loss (nats, no smoothing), accuracy (0..1), further metrics by name, and the `confusion` matrix, C×C.

    ``groups`` has for each pair of group and class that occurs their numbers, the images, and how many of these were
    right, M×4; None without groups.
    ``reliability`` says how sure the model was of its answers.
    """

    loss: float
    accuracy: float
    extra: dict[str, float]
    confusion: Tensor
    reliability: Reliability
    groups: Tensor | None = None


@torch.inference_mode()
def measure(
    model: nn.Module, images: ImageSet, preprocessing: PixelTransform, extra: Sequence[str] = (), positive: int = 1
) -> Measured:
    """Loss, accuracy and the ``extra`` metrics over all images in eval mode, in their order."""
    return measure_logits(logits_in_batches(model, images, preprocessing), images, extra, positive)


def logits_in_batches(model: nn.Module, images: ImageSet, preprocessing: PixelTransform) -> Iterator[Tensor]:
    """The network's outputs for all images in eval mode, in their order, batch by batch."""
    model.eval()
    for batch in torch.split(images.images, images_at_once(images.images)):
        yield model(preprocessing(batch))


def images_at_once(images: Tensor) -> int:
    """How many images are evaluated in one batch: on a GPU as many as this process's share of it holds."""
    if not images.is_cuda or torch.are_deterministic_algorithms_enabled():  # the share depends on what else runs
        return EVALUATION_BATCH_SIZE
    share = torch.cuda.get_per_process_memory_fraction(images.device)
    memory = int(share * torch.cuda.get_device_properties(images.device).total_memory)
    fitting = memory // (MEMORY_OF_PIXEL * images.shape[-2] * images.shape[-1])
    return min(max(fitting, EVALUATION_BATCH_SIZE), MOST_ON_GPU)


@torch.inference_mode()
def measure_logits(
    batches: Iterable[Tensor], images: ImageSet, extra: Sequence[str] = (), positive: int = 1
) -> Measured:
    """As `measure`, from logits in batches as `logits_in_batches` gives them."""
    classes, device = len(images.classes), images.images.device
    sums = torch.zeros(3, dtype=exact_type(device), device=device)  # loss, correct predictions, Brier score
    table = torch.zeros(CONFIDENCE_BINS, 3, dtype=exact_type(device), device=device)
    counts = torch.zeros(classes, classes, dtype=torch.int64, device=device)
    kept: list[Tensor] = []
    place, pairs = images.members if images.groups is not None else (None, None)
    right = None if pairs is None else torch.zeros_like(pairs[:, 0])
    first = 0
    for logits in batches:
        beyond = first + len(logits)
        labels = images.labels[first:beyond]
        predicted = logits.argmax(1)
        sums[0] += cross_entropy(logits, labels, reduction="sum")
        correct = predicted == labels
        sums[1] += correct.sum()
        answers = predicted if logits.shape[1] == classes else logits[:, :classes].argmax(1)
        counts += confusion(answers, labels, classes)
        probabilities = logits.to(exact_type(device)).softmax(1)
        sums[2] += brier_sum(probabilities, labels)
        table += confidence_table(probabilities, labels)
        kept += [logits] if needs_logits(extra) else []
        if place is not None and right is not None:
            right.index_add_(0, place[first:beyond], correct.to(right.dtype))
        first = beyond
    means = sums / len(images)
    if extra:
        scores = extra_scores(extra, counts, torch.cat(kept) if kept else None, images.labels, positive)
        means = torch.cat([means, scores])
    parts = [means, table, counts] + ([] if right is None or pairs is None else [torch.cat([pairs, right[:, None]], 1)])
    means, table, counts, *rest = _read(parts)
    loss, accuracy, brier, *others = means.tolist()
    found = dict(zip(extra, others, strict=True))
    return Measured(loss, accuracy, found, counts.long(), reliability(table, brier), rest[0].long() if rest else None)


def _read(parts: Sequence[Tensor]) -> list[Tensor]:
    """Tensors as one type on the CPU, by one wait for the device; whole numbers stay exact."""
    together = torch.cat([part.reshape(-1).to(parts[0].dtype) for part in parts]).cpu()
    pieces = torch.split(together, [part.numel() for part in parts])
    return [piece.view(part.shape) for piece, part in zip(pieces, parts, strict=True)]


def evaluate(model: nn.Module, images: ImageSet, preprocessing: PixelTransform) -> tuple[float, float]:
    """Mean loss (nats, no smoothing) and accuracy (0..1) over all images in eval mode, in their order."""
    found = measure(model, images, preprocessing)
    return found.loss, found.accuracy
