"""The configured network, optimizer, schedule and augmentation, for your own training loop.

With these four a plain loop gives exactly the curve of `regstudy train`, as a test shows, unless the configuration uses
something that only the loop can do: see `left_to_the_loop`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from regstudy import models
from regstudy.config.run_config import RunConfig
from regstudy.config.schema import Plateau
from regstudy.data.image_set import ImageSet
from regstudy.data.preprocessing import PixelTransform, prepare
from regstudy.errors import ArgumentError, require
from regstudy.training.augmentation import augment
from regstudy.training.decay import decay_l2, is_decoupled, penalized_weights, shrink_l1
from regstudy.training.erasing import cut_out, erase_rectangles
from regstudy.training.optimizers import make_optimizer
from regstudy.training.schedules import learning_rate


def build_model(config: RunConfig, channels: int, size: int, classes: int) -> nn.Module:
    """Build the configured network for images channels×size×size; it returns logits N×classes.

    Initial weights are drawn from torch's global generator, so call ``torch.manual_seed`` first. Raises ConfigError if
    the images are too small for the network, or if the weights to start from do not fit.
    """
    _require_config(config)
    for name, value in (("channels", channels), ("size", size), ("classes", classes)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ArgumentError(f"{name} must be a whole number of at least 1, but it is {value!r}.")
    network = models.build(config.model, channels, size, classes)
    models.check_answers(config.model, network, channels, size, classes)
    return network


def build_optimizer(config: RunConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Build the configured optimizer for the trainable parameters, including weight decay.

    Each ``step()`` also applies decoupled L2 (before) and L1 (after) to the weights of convolutions and dense layers,
    scaled by the current learning rate.
    """
    _require_config(config)
    require("model", model, nn.Module, "a module, not its parameters")
    optimizer = make_optimizer(config, model)
    weights, penalties = penalized_weights(model), config.regularization

    def before(self: torch.optim.Optimizer, _args: object, _kwargs: object) -> None:
        decay_l2(weights, self.param_groups[0]["lr"] * penalties.l2)

    def after(self: torch.optim.Optimizer, _args: object, _kwargs: object) -> None:
        shrink_l1(weights, self.param_groups[0]["lr"] * penalties.l1)

    if penalties.l2 and is_decoupled(config):
        optimizer.register_step_pre_hook(before)
    if penalties.l1:
        optimizer.register_step_post_hook(after)
    return optimizer


class ConfiguredSchedule(LRScheduler):
    """The configured learning-rate schedule; call ``step()`` after each batch, or after each epoch."""

    def __init__(self, config: RunConfig, optimizer: torch.optim.Optimizer, steps_per_epoch: int) -> None:
        self._config, self._per_epoch = config, steps_per_epoch
        self._values: list[float] = []
        super().__init__(optimizer)

    def step(self, value: float | None = None) -> None:
        """Advance by one step. A plateau schedule needs the monitored value; all others ignore it."""
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ArgumentError(f"value must be a number, but it is {value!r}.")
        if isinstance(self._config.schedule, Plateau) and value is not None:
            self._values.append(float(value))
        elif isinstance(self._config.schedule, Plateau) and self.last_epoch >= 0:
            raise ArgumentError(
                "value: a plateau schedule needs the monitored value of each epoch, as in schedule.step(loss)."
            )
        super().step()

    def get_lr(self) -> list[float | Tensor]:
        """The rate of the next step, for every parameter group."""
        epoch, step = divmod(max(self.last_epoch, 0), self._per_epoch)
        history = self._values if isinstance(self._config.schedule, Plateau) else [0.0] * epoch
        rate = learning_rate(self._config, history, step, self._per_epoch)
        return [rate] * len(self.optimizer.param_groups)

    def state_dict(self) -> dict[str, object]:
        """What a checkpoint stores: the number of steps done, and the values of a plateau schedule."""
        return {"last_epoch": self.last_epoch, "values": list(self._values)}

    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        """Restore a saved schedule, and set the optimizer's learning rate."""
        self.last_epoch = int(str(state_dict["last_epoch"]))
        self._values = [float(value) for value in state_dict["values"]]  # type: ignore[attr-defined]
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = rate
        self._last_lr = self.get_lr()


def build_schedule(
    config: RunConfig, optimizer: torch.optim.Optimizer, steps_per_epoch: int | None = None
) -> ConfiguredSchedule:
    """Build the configured learning-rate schedule as a torch scheduler, which sets the rate now and at ``step()``.

    Without ``steps_per_epoch``, call ``step()`` after each epoch; with it (the number of batches), after each batch, as
    `interval: step` requires. A plateau schedule steps once per epoch: ``schedule.step(value)``. Raises ArgumentError.
    """
    _require_config(config)
    require("optimizer", optimizer, torch.optim.Optimizer, "an optimizer")
    if steps_per_epoch is None:
        if config.schedule.interval == "step" and not isinstance(config.schedule, Plateau):
            raise ArgumentError("steps_per_epoch (batches per epoch) is required because schedule.interval is step.")
        return ConfiguredSchedule(config, optimizer, 1)
    if isinstance(steps_per_epoch, bool) or not isinstance(steps_per_epoch, int) or steps_per_epoch < 1:
        raise ArgumentError(f"steps_per_epoch must be a whole number of at least 1, but it is {steps_per_epoch!r}.")
    if isinstance(config.schedule, Plateau):
        raise ArgumentError("steps_per_epoch cannot be used with a plateau schedule, which steps once per epoch.")
    return ConfiguredSchedule(config, optimizer, steps_per_epoch)


class ConfiguredAugmentation(nn.Module):
    """Images uint8 N×C×H×W to network inputs float32 N×C×side×side: augmented in train mode, only cropped and
    normalized in eval mode.
    """

    def __init__(self, config: RunConfig, preprocessing: PixelTransform, channels: int, generator: Generator) -> None:
        super().__init__()
        self._channels = channels
        self.preprocessing = preprocessing
        self._config, self._generator = config, generator

    @property
    def side(self) -> int:
        """Pixels per side of the output."""
        return self.preprocessing.side

    def forward(self, images: Tensor) -> Tensor:
        """The inputs of a batch, on the device of the images."""
        if not isinstance(images, Tensor) or images.dtype != torch.uint8 or images.ndim != 4:
            found = f"{images.dtype} of {tuple(images.shape)}" if isinstance(images, Tensor) else repr(type(images))
            raise ArgumentError(f"images must be uint8 N×C×H×W with values 0..255, but they are {found}.")
        if images.shape[1] != self._channels:
            raise ArgumentError(f"images must have {self._channels} channels, but they have {images.shape[1]}.")
        preprocessing = self.preprocessing.to(images.device)
        if not self.training:
            return preprocessing(images)
        section, extras = self._config.augmentation, self._config.regularization
        pixels = augment(images, section.ops, section.strength, preprocessing, self._generator)
        inputs = cut_out(preprocessing.normalize(pixels), extras.cutout, self._generator)
        return erase_rectangles(inputs, extras.random_erasing, self._generator)


def build_augmentation(config: RunConfig, train: ImageSet) -> ConfiguredAugmentation:
    """Build the configured preprocessing and augmentation; ``train`` gives image size and statistics.

    The result is a module: in train mode it augments at random, seeded by `training.seed`; in eval mode it only crops
    and normalizes. Warns about configured features that your loop must implement.
    """
    _require_config(config)
    require("train", train, ImageSet, "an ImageSet, such as load_splits(config).train")
    for sentence in left_to_the_loop(config):
        warnings.warn(sentence, UserWarning, stacklevel=2)
    seed = int(np.random.SeedSequence(config.training.seed).generate_state(3)[2])
    preprocessing = prepare(config.preprocessing, train)
    return ConfiguredAugmentation(config, preprocessing, train.shape[0], Generator().manual_seed(seed))


def _require_config(config: object) -> None:
    require("config", config, RunConfig, "a RunConfig; for a Space, pass space.defaults()")


def left_to_the_loop(config: RunConfig) -> Iterator[str]:
    """One sentence for each configured feature that these parts do not implement."""
    extras, training = config.regularization, config.training
    for name in ("mixup", "cutmix"):
        if getattr(extras, name):
            yield f"regularization.{name} also changes labels: your loop must apply it, see regstudy.training.mixing."
    if extras.ema:
        yield "regularization.ema averages weights: your loop must apply it, see regstudy.training.ema."
    if extras.label_smoothing:
        value = f"{extras.label_smoothing:g}"
        yield f"regularization.label_smoothing belongs to your loss: cross_entropy(…, label_smoothing={value})."
    if training.precision == "bf16":
        yield "training.precision: bf16 must be applied by your loop: use torch.autocast, in training only."
    if training.deterministic:
        yield "training.deterministic must be applied by your loop on a GPU: use torch.use_deterministic_algorithms."
    if training.compile:
        yield "training.compile must be applied by your loop: model = torch.compile(model)."
    if training.balance != "none":
        yield f"training.balance: {training.balance} must be applied by your loss or sampler."
    if config.phases:
        yield "phases must be run one after another by your loop: config.in_phases() gives their configurations."
