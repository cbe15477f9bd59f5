"""The training loop: a state that can be saved and loaded, and one epoch of training.

Nothing in the loop over batches waits for the device: sums stay there and are read once per epoch. Order and
augmentation have their own generators, dropout uses torch's global one; all are seeded by `training.seed` and are part
of the state, so that a loaded state continues exactly as the saved one would have.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from regstudy import models
from regstudy.config.run_config import RunConfig
from regstudy.data.image_set import ImageSet, Splits
from regstudy.data.preprocessing import PixelTransform, prepare
from regstudy.errors import Problem, config_error
from regstudy.metrics import CLEAN_TRAIN, METRICS, VALIDATION
from regstudy.records import (
    EpochRecord,
    Reliability,
    dump_records,
    dump_reliability,
    parse_records,
    parse_reliability,
)
from regstudy.training.augmentation import augment
from regstudy.training.class_balance import balanced_order, class_weights
from regstudy.training.confidence import CONFIDENCE_BINS, brier_sum, confidence_table, reliability
from regstudy.training.decay import decay_l2, is_decoupled, penalized_weights, shrink_l1
from regstudy.training.ema import WeightAverage
from regstudy.training.erasing import cut_out, erase_rectangles
from regstudy.training.mixing import mix, mixed_loss
from regstudy.training.optimizers import make_optimizer
from regstudy.training.precision import Precision, computing_in, resolve
from regstudy.training.schedules import learning_rates
from regstudy.training.scores import confusion, extra_scores, needs_logits

EVALUATION_BATCH_SIZE = 512
OnStep = Callable[[int, int], None]  # images done in this epoch, images in total


@dataclass
class TrainState:
    """A phase of a run between two epochs.

    Splits, preprocessing and class weights follow from the configuration; the rest changes during training.
    ``earlier`` holds the records of the phases before, ``records`` those of this one; ``whole`` is the configuration of
    the run that this phase belongs to.
    """

    config: RunConfig
    phase: int
    splits: Splits
    preprocessing: PixelTransform
    precision: Precision
    model: nn.Module
    optimizer: torch.optim.Optimizer
    order: Generator
    augmentation: Generator
    class_weights: Tensor | None
    average: WeightAverage | None
    earlier: list[EpochRecord] = field(default_factory=list)
    records: list[EpochRecord] = field(default_factory=list)
    whole: RunConfig | None = None
    confusions: dict[str, Tensor] = field(default_factory=dict)  # of the last epoch, by part: int64 C×C
    best_confusions: dict[str, Tensor] = field(default_factory=dict)  # of the best epoch so far
    groups: dict[str, Tensor] = field(default_factory=dict)  # as above: group, class, images, right: M×4
    best_groups: dict[str, Tensor] = field(default_factory=dict)
    reliability: Reliability | None = None  # on the validation part after the last epoch
    best_reliability: Reliability | None = None  # after the best epoch so far

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes during training, as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "generators": [self.order.get_state(), self.augmentation.get_state(), *_global_generators(self.device)],
            "earlier": dump_records(self.earlier),
            "records": dump_records(self.records),
            "best_confusions": self.best_confusions,
            "best_groups": self.best_groups,
            "best_reliability": dump_reliability(self.best_reliability) if self.best_reliability else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state, including torch's global generators."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average:
            self.average.load_state_dict(state["average"])
        order, augmentation, cpu, *cuda = state["generators"]
        self.order.set_state(order)
        self.augmentation.set_state(augmentation)
        torch.set_rng_state(cpu)
        for generator in cuda:
            torch.cuda.set_rng_state(generator, self.device)
        self.earlier = parse_records(state["earlier"])
        self.records = parse_records(state["records"])
        self.best_confusions = dict(state.get("best_confusions", {}))  # absent from checkpoints of 0.1.0
        self.best_groups = dict(state.get("best_groups", {}))
        stored = state.get("best_reliability")
        self.best_reliability = parse_reliability(stored) if stored else None

    @property
    def extra_metrics(self) -> tuple[str, ...]:
        """What is measured besides loss and accuracy: whatever the run's phases or its early stopping may ask for."""
        return extra_metrics(self.whole or self.config)

    @property
    def positive(self) -> int:
        """The number of the positive class of a data set with two."""
        return self.splits.positive

    @property
    def all_records(self) -> list[EpochRecord]:
        """Records of this phase and of those before it."""
        return [*self.earlier, *self.records]

    def measured_weights(self) -> dict[str, Tensor]:
        """A copy on the CPU of the weights that were used for clean training and validation accuracy."""
        weights = self.average.values if self.average else self.model.state_dict()
        return {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}

    @property
    def device(self) -> torch.device:
        """Where the images are and the network runs."""
        return self.splits.train.images.device


def extra_metrics(config: RunConfig) -> tuple[str, ...]:
    """The metrics that a run records besides loss and accuracy, in the order of `METRICS`."""
    asked = {config.training.metric, *config.training.also}
    asked |= {phase.training.monitor for phase in config.in_phases()}
    return tuple(name for name in METRICS if name not in ("accuracy", "loss") and f"{VALIDATION}{name}" in asked)


def check_metrics(config: RunConfig, splits: Splits) -> None:
    """ConfigError if a metric cannot be measured on these images: it needs two classes, or one has no images."""
    names, problems = splits.train.classes, []
    empty = [name for name, images in zip(names, splits.validation.per_class, strict=True) if not images]
    for name in extra_metrics(config):
        path = "study.metric" if config.training.metric == f"{VALIDATION}{name}" else "study.also, training.monitor"
        if METRICS[name].binary and len(names) != 2:
            sentence = f"{name} is for two classes, but the data set has {len(names)}. Use auroc or macro_f1."
            problems.append(Problem(path, sentence))
        elif METRICS[name].from_scores and empty:
            lacking = ", ".join(f"'{one}'" for one in empty)
            sentence = f"{name} needs validation images of every class, but there are none of {lacking}."
            problems.append(Problem(path, sentence))
    if problems:
        raise config_error("The configuration", problems)


def start(config: RunConfig, splits: Splits, device: torch.device, phase: int = 0) -> TrainState:
    """The state before the first epoch of a phase; seeds torch's global generators.

    Raises ConfigError if network, images, metrics and weights are incompatible.
    """
    check_metrics(config, splits)
    entropy = [config.training.seed, phase] if phase else config.training.seed
    seeds = [int(seed) for seed in np.random.SeedSequence(entropy).generate_state(3)]
    torch.manual_seed(seeds[0])
    splits = splits.to(device)
    classes = len(splits.train.classes)
    preprocessing = prepare(config.preprocessing, splits.train)
    model = models.build(config.model, splits.train.shape[0], preprocessing.side, classes)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    order, augmentation = (Generator().manual_seed(seed) for seed in seeds[1:])
    weighted, ema = config.training.balance == "weights", config.regularization.ema
    return TrainState(
        config,
        phase,
        splits,
        preprocessing,
        resolve(config.training.precision, device),
        model,
        make_optimizer(config, model),
        order,
        augmentation,
        class_weights=class_weights(splits.train.labels, classes) if weighted else None,
        average=WeightAverage(model, ema) if ema else None,
    )


@dataclass(frozen=True)
class TrainedEpoch:
    """One pass over the training images, in train mode: means over the images, and over the steps for the norm."""

    loss: float
    accuracy: float
    lr: float  # of the first step
    gradient_norm: float


def train_epoch(state: TrainState, told: Sequence[EpochRecord], on_step: OnStep | None = None) -> TrainedEpoch:
    """Train for one epoch; the learning rates are those of the epoch that follows the records ``told``."""
    state.model.train()
    sums = torch.zeros(2, dtype=_exact(state.device), device=state.device)  # loss, correct predictions
    norms = torch.zeros((), dtype=_exact(state.device), device=state.device)
    seen = 0
    batches = shuffled_batches(state)
    rates = learning_rates(state.config, told, len(batches))
    for indices, lr in zip(batches, rates, strict=True):
        batch_sums, norm = train_step(state, indices, lr)
        sums += batch_sums
        norms += norm
        seen += len(indices)
        if on_step:
            on_step(seen, len(state.splits.train))
    loss, accuracy = (sums / seen).tolist()
    return TrainedEpoch(loss, accuracy, rates[0], float(norms) / len(batches))


def run_epoch(state: TrainState, on_step: OnStep | None = None) -> EpochRecord:
    """Train for one epoch, measure clean training and validation, and append the record to the state."""
    began = time.perf_counter()
    trained = train_epoch(state, state.records, on_step)
    with state.average.used_by(state.model) if state.average else nullcontext():
        clean, val = (
            measure(state.model, images, state.preprocessing, state.extra_metrics, state.positive)
            for images in (state.splits.clean_train, state.splits.validation)
        )
    record = EpochRecord(
        epoch=len(state.all_records) + 1,
        train_loss=trained.loss,
        train_accuracy=trained.accuracy,
        clean_train_loss=clean.loss,
        clean_train_accuracy=clean.accuracy,
        val_loss=val.loss,
        val_accuracy=val.accuracy,
        lr=trained.lr,
        gradient_norm=trained.gradient_norm,
        seconds=time.perf_counter() - began,
        more={
            f"{prefix}{name}": value
            for prefix, found in ((CLEAN_TRAIN, clean), (VALIDATION, val))
            for name, value in found.extra.items()
        },
    )
    state.records.append(record)
    measured = {"train": clean, "validation": val}
    state.confusions = {part: found.confusion for part, found in measured.items()}
    state.groups = {part: found.groups for part, found in measured.items() if found.groups is not None}
    state.reliability = val.reliability
    return record


def shuffled_batches(state: TrainState) -> Sequence[Tensor]:
    """Positions of all training images in random order, in batches; a last batch of one image is dropped.

    Batch normalization cannot handle a single image; the next epoch drops a different one. With
    `training.balance: oversample`, images of small classes are repeated and some of large classes are left out.
    """
    train, training = state.splits.train, state.config.training
    if training.balance == "oversample":
        order = balanced_order(train.labels.cpu(), len(train.classes), state.order)
    else:
        order = torch.randperm(len(train), generator=state.order)
    batches = torch.split(order.to(state.device), training.batch_size)
    return batches[:-1] if len(batches) > 1 and len(batches[-1]) == 1 else batches


def train_step(state: TrainState, indices: Tensor, lr: float) -> tuple[Tensor, Tensor]:
    """One step on the images at the given positions, at the given learning rate.

    Returns ([summed loss, correct predictions], gradient norm before the step), both on the device. A prediction for a
    mixed image is correct if it is the class with the larger share.
    """
    extras = state.config.regularization
    images, labels = _batch(state, indices)
    mixed = mix(images, extras, state.augmentation)
    others = labels if mixed.partner is None else labels[mixed.partner]
    with computing_in(state.precision, state.device):
        logits = state.model(mixed.images)
    logits = logits.float()
    loss = mixed_loss(logits, labels, others, mixed.share, extras.label_smoothing, state.class_weights)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.get_total_norm([p.grad for p in state.model.parameters() if p.grad is not None])
    _descend(state, lr)
    correct = (logits.detach().argmax(1) == (labels if mixed.share >= 0.5 else others)).sum()
    exact = _exact(state.device)
    return torch.stack([loss.detach().to(exact) * len(indices), correct.to(exact)]), norm.detach()


def _batch(state: TrainState, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Augmented, normalized and erased training images with their labels."""
    chosen, extras = state.config.augmentation, state.config.regularization
    pixels = state.splits.train.images.index_select(0, indices)
    pixels = augment(pixels, chosen.ops, chosen.strength, state.preprocessing, state.augmentation)
    images = state.preprocessing.normalize(pixels)
    images = cut_out(images, extras.cutout, state.augmentation)
    images = erase_rectangles(images, extras.random_erasing, state.augmentation)
    return images, state.splits.train.labels[indices]


def _descend(state: TrainState, lr: float) -> None:
    """One optimizer step on the current gradients, with weight decay and averaging."""
    penalties = state.config.regularization
    weights = penalized_weights(state.model)
    for group in state.optimizer.param_groups:
        group["lr"] = lr
    if penalties.l2 and is_decoupled(state.config):
        decay_l2(weights, lr * penalties.l2)
    state.optimizer.step()
    if penalties.l1:
        shrink_l1(weights, lr * penalties.l1)
    if state.average:
        state.average.update(state.model)


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
    for batch in torch.split(images.images, EVALUATION_BATCH_SIZE):
        yield model(preprocessing(batch))


@torch.inference_mode()
def measure_logits(
    batches: Iterable[Tensor], images: ImageSet, extra: Sequence[str] = (), positive: int = 1
) -> Measured:
    """As `measure`, from logits in batches as `logits_in_batches` gives them."""
    classes, device = len(images.classes), images.images.device
    sums = torch.zeros(3, dtype=_exact(device), device=device)  # loss, correct predictions, Brier score
    table = torch.zeros(CONFIDENCE_BINS, 3, dtype=_exact(device), device=device)
    counts = torch.zeros(classes, classes, dtype=torch.int64, device=device)
    kept: list[Tensor] = []
    place, pairs = images.members if images.groups is not None else (None, None)
    right = None if pairs is None else torch.zeros_like(pairs[:, 0])
    for first, logits in zip(range(0, len(images), EVALUATION_BATCH_SIZE), batches, strict=True):
        labels = images.labels[first : first + EVALUATION_BATCH_SIZE]
        predicted = logits.argmax(1)
        sums[0] += cross_entropy(logits, labels, reduction="sum")
        correct = predicted == labels
        sums[1] += correct.sum()
        counts += confusion(predicted, labels, classes)
        probabilities = logits.to(_exact(device)).softmax(1)
        sums[2] += brier_sum(probabilities, labels)
        table += confidence_table(probabilities, labels)
        kept += [logits] if needs_logits(extra) else []
        if place is not None and right is not None:
            right.index_add_(0, place[first : first + EVALUATION_BATCH_SIZE], correct.to(right.dtype))
    means = sums / len(images)
    if extra:
        scores = extra_scores(extra, counts, torch.cat(kept) if kept else None, images.labels, positive)
        means = torch.cat([means, scores])
    loss, accuracy, brier, *others = means.tolist()  # the first wait for the device
    groups = None if pairs is None or right is None else torch.cat([pairs, right[:, None]], 1).cpu()
    found = dict(zip(extra, others, strict=True))
    return Measured(loss, accuracy, found, counts.cpu(), reliability(table, brier), groups)


def evaluate(model: nn.Module, images: ImageSet, preprocessing: PixelTransform) -> tuple[float, float]:
    """Mean loss (nats, no smoothing) and accuracy (0..1) over all images in eval mode, in their order."""
    found = measure(model, images, preprocessing)
    return found.loss, found.accuracy


def _exact(device: torch.device) -> torch.dtype:
    """The type for sums over an epoch: double precision, which Apple's GPUs lack."""
    return torch.float32 if device.type == "mps" else torch.float64


def _global_generators(device: torch.device) -> list[Tensor]:
    cpu = torch.get_rng_state()
    return [cpu, torch.cuda.get_rng_state(device)] if device.type == "cuda" else [cpu]
