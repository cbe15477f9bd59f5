"""Estimates what a run will cost on this machine, from its first batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from regstudy.config.run_config import RunConfig
from regstudy.data.image_set import Splits
from regstudy.training.clean_interval import epochs_between
from regstudy.training.conditions import training_on
from regstudy.training.devices import give_back_memory
from regstudy.training.evaluation import EVALUATION_BATCH_SIZE, evaluate
from regstudy.training.loop import shuffled_batches, train_step
from regstudy.training.schedules import learning_rate
from regstudy.training.train_state import start

MEASURE_SECONDS = 1.0
TIMED_EVALUATION_IMAGES = 128
TURNS, TURN_SECONDS = 3, 0.15  # in which numbers of threads are compared
MEMORY_STEPS = 3  # after which a training holds all that it will ever hold: gradients and the optimizer's averages


@dataclass(frozen=True)
class ImageCost:
    """Seconds that one image takes in training and in evaluation."""

    train: float
    evaluate: float

    def epoch(self, trained: int, evaluated: float) -> float:
        """Seconds of an epoch with so many images."""
        return self.train * trained + self.evaluate * evaluated


def seconds_per_epoch(config: RunConfig, splits: Splits, device: torch.device) -> float:
    """Estimated wall-clock seconds of one epoch including evaluation, from a few batches of the first phase.

    This also shows early whether configuration and images are compatible.
    """
    cost = seconds_per_image(config, splits, device)
    sizes = len(splits.train), len(splits.clean_train), len(splits.validation)
    every = config.training.clean_train_every
    between = epochs_between(*sizes) if every == "auto" else every
    return cost.epoch(sizes[0], sizes[1] / between + sizes[2])


def seconds_per_image(config: RunConfig, splits: Splits, device: torch.device) -> ImageCost:
    """Estimated wall-clock seconds per image, from a few batches of the first phase."""
    with training_on(config, device):
        return _image_cost(config.in_phases()[0], splits, device)


def _image_cost(config: RunConfig, splits: Splits, device: torch.device) -> ImageCost:
    state = start(config, splits, device)
    batches = shuffled_batches(state)
    lr = learning_rate(config, [])
    train_step(state, batches[0], lr)  # the first one also allocates
    sample = splits.validation.subset(torch.arange(min(TIMED_EVALUATION_IMAGES, len(splits.validation)))).to(device)
    per_image = _median_seconds(lambda: train_step(state, batches[0], lr)[0].tolist()) / len(batches[0])
    evaluate(state.model, sample, state.preprocessing)  # from here on in evaluation mode; the first one also allocates
    per_evaluated = _median_seconds(lambda: evaluate(state.model, sample, state.preprocessing)) / len(sample)
    return ImageCost(per_image, per_evaluated)


def seconds_per_step(
    config: RunConfig, splits: Splits, device: torch.device, threads: Sequence[int]
) -> dict[int, float]:
    """Estimated wall-clock seconds of a training step by number of threads, measured in turns.

    Afterwards torch has as many threads as before.
    """
    config, before = config.in_phases()[0], torch.get_num_threads()
    state = start(config, splits, device)
    batch, lr = shuffled_batches(state)[0], learning_rate(config, [])
    times: dict[int, list[float]] = {number: [] for number in threads}
    try:
        for turn in range(TURNS + 1):
            for number in threads:
                torch.set_num_threads(number)
                found = _median_seconds(lambda: train_step(state, batch, lr)[0].tolist(), TURN_SECONDS)
                times[number] += [found] if turn else []  # the first turn also allocates
    finally:
        torch.set_num_threads(before)
    return {number: median(found) for number, found in times.items()}


def peak_memory(config: RunConfig, splits: Splits, device: torch.device) -> int:
    """Bytes that a training needs on a GPU at most, with its images, by a few steps and an evaluation batch.

    Each fold of a trial has a second copy of the images.
    """
    torch.cuda.init()  # type: ignore[no-untyped-call]
    give_back_memory()
    before = torch.cuda.memory_reserved(device)
    torch.cuda.reset_peak_memory_stats(device)
    try:
        for phase in config.in_phases():
            _step_and_evaluate(phase, splits, device)
        peak = torch.cuda.max_memory_reserved(device) - before
    finally:
        give_back_memory()
    copies = splits.train, splits.clean_train, splits.validation
    return peak + (sum(part.images.nbytes for part in copies) if splits.folds else 0)


def _step_and_evaluate(config: RunConfig, splits: Splits, device: torch.device) -> None:
    with training_on(config, device):
        state = start(config, splits, device)
        batches, lr = shuffled_batches(state), learning_rate(config, [])
        # the last one is smaller, so no recording serves it: it needs memory besides theirs
        for batch in [*[batches[0]] * MEMORY_STEPS, batches[-1]]:
            train_step(state, batch, lr)
        places = torch.arange(min(EVALUATION_BATCH_SIZE, len(splits.validation)))
        evaluate(state.model, splits.validation.subset(places).to(device), state.preprocessing)


def _median_seconds(action: Callable[[], object], most: float = MEASURE_SECONDS / 2) -> float:
    """Median time of an action that waits for its result, repeated for a limited time."""
    times: list[float] = []
    while sum(times) < most and len(times) < 25:
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return median(times)
