"""One epoch of training, step by step.

Nothing in the loop over batches waits for the device: sums stay there and are read once per epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from regstudy.data.image_set import ImageSet
from regstudy.metrics import CLEAN_TRAIN, VALIDATION
from regstudy.records import EpochRecord
from regstudy.training.augmentation import augment_by
from regstudy.training.class_balance import balanced_order
from regstudy.training.compiling import compile_errors
from regstudy.training.decay import decay_l2, is_decoupled, penalized_weights, shrink_l1
from regstudy.training.erasing import cut_out_around, erase_by
from regstudy.training.evaluation import Measured, measure
from regstudy.training.mixing import blended, mixed_loss, pasted
from regstudy.training.precision import computing_in, exact_type
from regstudy.training.schedules import learning_rates
from regstudy.training.step_graph import Changing
from regstudy.training.step_inputs import StepInputs, draw_inputs, moved, send
from regstudy.training.train_state import TrainState

OnStep = Callable[[int, int], None]  # images done in this epoch, images in total
CleanIsDue = Callable[[EpochRecord], bool]  # for an epoch's record without clean training: whether to measure it


@dataclass(frozen=True)
class TrainedEpoch:
    """One pass over the training images, in train mode: means over the images, and over the steps for the norm."""

    loss: float
    accuracy: float
    lr: float  # of the first step
    gradient_norm: float

    def record(self, epoch: int) -> EpochRecord:
        """The record of this epoch, whose number counts from 1, with NaN for all that is measured afterward."""
        unknown = math.nan
        return EpochRecord(
            epoch, self.loss, self.accuracy, unknown, unknown, unknown, unknown, self.lr, self.gradient_norm, unknown
        )


def train_epoch(state: TrainState, told: Sequence[EpochRecord], on_step: OnStep | None = None) -> TrainedEpoch:
    """Train for one epoch; the learning rates are those of the epoch that follows the records ``told``."""
    state.model.train()
    sums = torch.zeros(2, dtype=exact_type(state.device), device=state.device)  # loss, correct predictions
    norms = torch.zeros((), dtype=exact_type(state.device), device=state.device)
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
    means = torch.cat([sums / seen, (norms / len(batches)).view(1)])
    loss, accuracy, norm = means.tolist()  # the first wait for the device
    return TrainedEpoch(loss, accuracy, rates[0], norm)


def run_epoch(
    state: TrainState, on_step: OnStep | None = None, clean_is_due: CleanIsDue = lambda _: True
) -> EpochRecord:
    """Train for one epoch, measure validation and, if it is due, clean training, and append the record to the state."""
    began = time.perf_counter()
    trained = train_epoch(state, state.records, on_step)
    with state.average.used_by(state.model) if state.average else nullcontext():
        val = _measured(state, state.splits.validation)
        record = replace(
            trained.record(len(state.all_records) + 1),
            val_loss=val.loss,
            val_accuracy=val.accuracy,
            more={f"{CLEAN_TRAIN}{name}": math.nan for name in val.extra}
            | {f"{VALIDATION}{name}": value for name, value in val.extra.items()},
        )
        measured = {"validation": val}
        if clean_is_due(record):
            clean = _measured(state, state.splits.clean_train)
            measured = {"train": clean, "validation": val}
            record = replace(
                record,
                clean_train_loss=math.inf if math.isnan(clean.loss) else clean.loss,  # NaN means not measured
                clean_train_accuracy=clean.accuracy,
                more={**record.more, **{f"{CLEAN_TRAIN}{name}": value for name, value in clean.extra.items()}},
            )
    record = replace(record, seconds=time.perf_counter() - began)
    state.records.append(record)
    state.confusions = {part: found.confusion for part, found in measured.items()}
    state.groups = {part: found.groups for part, found in measured.items() if found.groups is not None}
    state.reliability = val.reliability
    return record


def _measured(state: TrainState, images: ImageSet) -> Measured:
    return measure(state.model, images, state.preprocessing, state.extra_metrics, state.positive)


def shuffled_batches(state: TrainState) -> Sequence[Tensor]:
    """Positions of all training images in random order, in batches; a last batch of one image is dropped.

    Batch normalization cannot handle a single image; the next epoch drops a different one. With
    `training.balance: oversample`, images of small classes are repeated and some of large classes are left out.
    """
    train, training = state.splits.train, state.config.training
    if state.labels is not None:
        order = balanced_order(state.labels, len(train.classes), state.order)
    else:
        order = torch.randperm(len(train), generator=state.order)
    batches = torch.split(send(order, state.device), training.batch_size)
    return batches[:-1] if len(batches) > 1 and len(batches[-1]) == 1 else batches


def train_step(state: TrainState, indices: Tensor, lr: float) -> tuple[Tensor, Tensor]:
    """One step on the images at the given positions, at the given learning rate.

    Returns ([summed loss, correct predictions], gradient norm before the step), both on the device. A prediction for a
    mixed image is correct if it is the class with the larger share.
    """
    shape = (state.splits.train.shape[0], state.preprocessing.side, state.preprocessing.side)
    ema = state.average.next_share() if state.average else 0.0
    inputs = draw_inputs(state.config, len(indices), shape, lr, ema, state.augmentation)
    with compile_errors() if state.compiled is not None else nullcontext():
        if state.steps is None:
            return _take_step(state, indices, moved(inputs, state.device))
        changing = Changing(state.model, state.optimizer, state.average)
        return state.steps.take(partial(_take_step, state), indices, inputs, changing, state.device)


def _take_step(state: TrainState, indices: Tensor, inputs: StepInputs) -> tuple[Tensor, Tensor]:
    """As `train_step`, with everything on the device, so that a step on a GPU can be recorded: nothing here may wait
    for the device, draw numbers on the host, or count on it.
    """
    extras = state.config.regularization
    images, labels = _batch(state, indices, inputs)
    others = labels
    if inputs.partner is not None:
        partner = inputs.partner.long()
        others = labels[partner]
        if inputs.rectangle is None:
            images = blended(images, partner, inputs.share)
        else:
            images = pasted(images, partner, inputs.rectangle)
    with computing_in(state.precision, state.device):
        logits = (state.model if state.compiled is None else state.compiled)(images)
    logits = logits.float()
    share = inputs.share if inputs.partner is not None else 1.0
    loss = mixed_loss(logits, labels, others, share, extras.label_smoothing, state.class_weights)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.get_total_norm([p.grad for p in state.model.parameters() if p.grad is not None])
    _descend(state, inputs)
    if isinstance(share, Tensor):
        likelier = torch.where(share >= 0.5, labels, others)
    else:
        likelier = labels if share >= 0.5 else others
    correct = (logits.detach().argmax(1) == likelier).sum()
    exact = exact_type(state.device)
    return torch.stack([loss.detach().to(exact) * len(indices), correct.to(exact)]), norm.detach()


def _batch(state: TrainState, indices: Tensor, inputs: StepInputs) -> tuple[Tensor, Tensor]:
    """Augmented, normalized and erased training images with their labels."""
    chosen, extras = state.config.augmentation, state.config.regularization
    pixels = state.splits.train.images.index_select(0, indices)
    if inputs.augmentation is None:
        pixels = state.preprocessing.crop(pixels)
    else:
        pixels = augment_by(pixels, chosen.ops, chosen.strength, state.preprocessing, inputs.augmentation)
    images = state.preprocessing.normalize(pixels)
    if inputs.centers is not None:
        images = cut_out_around(images, extras.cutout, inputs.centers)
    if inputs.erasing is not None:
        images = erase_by(images, extras.random_erasing, inputs.erasing)
    return images, state.splits.train.labels[indices]


def _descend(state: TrainState, inputs: StepInputs) -> None:
    """One optimizer step on the current gradients, with weight decay and averaging."""
    penalties = state.config.regularization
    weights = penalized_weights(state.model)
    for group in state.optimizer.param_groups:
        if isinstance(group["lr"], Tensor) and isinstance(inputs.lr, Tensor):
            group["lr"].copy_(inputs.lr)
        else:
            group["lr"] = inputs.lr
    if penalties.l2 and is_decoupled(state.config):
        decay_l2(weights, inputs.l2)
    state.optimizer.step()
    if penalties.l1:
        shrink_l1(weights, inputs.l1)
    if state.average:
        state.average.move(state.model, inputs.ema)
