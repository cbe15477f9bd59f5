"""The state of a training, which can be saved and loaded, and how it begins.

Order and augmentation have their own generators, dropout uses torch's global one; all are seeded by `training.seed` and
are part of the state, so that a loaded state continues exactly as the saved one would have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from regstudy import models
from regstudy.config.run_config import RunConfig
from regstudy.data.image_set import Splits
from regstudy.data.preprocessing import PixelTransform, prepare
from regstudy.errors import Problem, config_error
from regstudy.metrics import METRICS, VALIDATION
from regstudy.models.libraries import is_own_network
from regstudy.records import EpochRecord, Reliability, dump_records, dump_reliability, parse_records, parse_reliability
from regstudy.training.class_balance import class_weights
from regstudy.training.clean_interval import epochs_between
from regstudy.training.compiling import compiled
from regstudy.training.ema import WeightAverage
from regstudy.training.optimizers import make_optimizer
from regstudy.training.precision import Precision, resolve, round_products_of_fp32_exactly
from regstudy.training.step_graph import DeviceSteps, record_on_gpu


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
    steps: DeviceSteps | None = None  # on a GPU
    compiled: Callable[[Tensor], Tensor] | None = None  # the model for training steps, with `training.compile`
    labels: Tensor | None = None  # of the training images, on the CPU, where oversampling draws its order
    clean_train_every: int = 1  # epochs from one evaluation of the clean part to the next, apart from the best ones
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
            "clean_train_every": self.clean_train_every,
            "best_confusions": self.best_confusions,
            "best_groups": self.best_groups,
            "best_reliability": dump_reliability(self.best_reliability) if self.best_reliability else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state, including torch's global generators."""
        self.end()  # recordings know the optimizer's tensors, which are replaced
        self.model.load_state_dict(state["model"])
        # only what changes is the checkpoint's; a learning rate on a GPU must stay there
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({**state["optimizer"], "param_groups": groups})
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
        self.clean_train_every = state.get("clean_train_every", 1)  # what began with every epoch goes on with it
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

    def end(self) -> None:
        """Forget recorded steps, whose memory only further steps would need."""
        if self.steps is not None:
            self.steps.recordings.clear()

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
    for phase in config.in_phases():
        asked |= {phase.training.monitor, *phase.training.also}
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
    for part in (splits.clean_train, splits.validation):
        if part.groups is not None:
            _ = part.members  # here, because finding them waits for the device
    classes = len(splits.train.classes)
    preprocessing = prepare(config.preprocessing, splits.train)
    model = models.build(config.model, splits.train.shape[0], preprocessing.side, classes)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    order, augmentation = (Generator().manual_seed(seed) for seed in seeds[1:])
    every = config.training.clean_train_every
    if every == "auto":
        every = epochs_between(len(splits.train), len(splits.clean_train), len(splits.validation))
    gpu = device if device.type == "cuda" else None
    recordable = not is_own_network(config.model.name)  # a user's own may wait for the device
    steps = DeviceSteps(config.training.batch_size, record_on_gpu if recordable else None) if gpu else None
    if gpu:
        round_products_of_fp32_exactly()
    weighted, ema = config.training.balance == "weights", config.regularization.ema
    return TrainState(
        config,
        phase,
        splits,
        preprocessing,
        resolve(config.training.precision, device),
        model,
        make_optimizer(config, model, gpu),
        order,
        augmentation,
        class_weights=class_weights(splits.train.labels, classes) if weighted else None,
        average=WeightAverage(model, ema) if ema else None,
        steps=steps,
        compiled=compiled(model, device) if config.training.compile else None,
        labels=splits.train.labels.cpu() if config.training.balance == "oversample" else None,
        clean_train_every=every,
    )


def _global_generators(device: torch.device) -> list[Tensor]:
    cpu = torch.get_rng_state()
    return [cpu, torch.cuda.get_rng_state(device)] if device.type == "cuda" else [cpu]
