"""The sections of a run configuration: pydantic models, frozen and strict, which reject unknown keys.

A field marked with `OffValue` is a regularizer: the mark holds the value that turns it off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from regstudy.config.fingerprint import Since
from regstudy.metrics import MetricName, stored_name

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]

AnyMetric = Annotated[MetricName, BeforeValidator(stored_name)]  # auroc or val_auroc
Options = dict[str, bool | int | float | str | None]


def _share_or_count(value: int | float) -> int | float:
    if 0 < value < 1 or (isinstance(value, int) and value >= 1):
        return value
    raise ValueError("must be a share between 0 and 1 or a whole number of images")


@dataclass(frozen=True)
class OffValue:
    """Marks a field as a regularizer; ``value`` is the off value, at which it does nothing."""

    value: float


class Section(BaseModel):
    """Base of all sections: immutable, strict about types, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Parts(Section):
    """The folder of each part of a folder of images, within `data.root`."""

    train: str
    validation: str | None = None
    test: str | None = None


def _parts(value: object) -> object:
    if value is None or value == "none" or isinstance(value, dict | Parts):
        return value
    raise ValueError("must be none, or a mapping of train, validation and test to folders")


class KFold(Section):
    """Every image is in the validation part of one of so many folds."""

    kfold: Annotated[int, Field(ge=2, le=20)]


def _resampling(value: object) -> object:
    if value == "shared" or isinstance(value, KFold) or (isinstance(value, dict) and value):
        return value
    raise ValueError("must be shared, or {kfold: 5} with 2 to 20 folds")


class Data(Section):
    """Which images, and how they are split. The test set is not configured here: searches do not use it."""

    name: str
    root: str | None = None  # folder of your own images
    # which of its folders are parts; none: they are classes; by default known by their names
    parts: Annotated[Parts | Literal["none"] | None, BeforeValidator(_parts), Since("0.2.0")] = None
    # a table of images: the file, and its columns of paths, labels and parts; `group` is then a column, too
    file: Annotated[str | None, Since("0.2.0")] = None
    image: Annotated[str | None, Since("0.2.0")] = None
    label: Annotated[str | None, Since("0.2.0")] = None
    split: Annotated[str | None, Since("0.2.0")] = None
    size: Annotated[int, Field(ge=4, le=2048)] | None = None  # pixels per side, for sources that resize
    channels: Annotated[Literal[1, 3] | None, Since("0.2.0")] = None  # 1: gray, 3: RGB; by default RGB for files
    fit: Literal["crop", "pad", "stretch"] = "crop"  # how a non-square image becomes a square of that size
    unreadable: Literal["error", "skip"] = "error"  # what to do about image files that cannot be decoded
    # images of one group stay in one split: a regex on the path, a column of a table, or near_duplicates
    group: str | None = None
    validation: Annotated[int | float, AfterValidator(_share_or_count)] = (
        0.1  # validation split: share of the images used, or their number
    )
    # one validation part for all trials, or k-fold cross-validation; `validation` then holds for `regstudy train` only
    resampling: Annotated[Literal["shared"] | KFold, BeforeValidator(_resampling), Since("0.2.0")] = "shared"
    train_limit: Count | None = None  # train on at most this many images
    split_seed: Annotated[int, Field(ge=0)] = 0
    positive: Annotated[str | None, Since("0.2.0")] = None  # class whose average precision is measured; the rarer one
    options: Options = {}


class ChannelStatistics(Section):
    """Mean and standard deviation per channel of images scaled to 0..1."""

    mean: Annotated[tuple[float, ...], Field(strict=False)]
    std: Annotated[tuple[Positive, ...], Field(strict=False)]


class Preprocessing(Section):
    """What happens to every image, in training and evaluation alike."""

    crop: Count | None = None  # side of the center crop in pixels
    normalize: Literal["imagenet", "half", "train", "none"] | ChannelStatistics = "train"


class Model(Section):
    """Which network, its initial weights, and which part of it is trained.

    The regularizers are passed to the builder's parameters of the same names, ``options`` to its other ones.
    ``weights`` is a file, or a name that the network knows, such as imagenet. Frozen stages stay in eval mode.
    """

    name: str
    dropout: Annotated[Rate, OffValue(0.0)] = 0.0
    block_dropout: Annotated[Rate, OffValue(0.0)] = 0.0  # within residual blocks, or after the pooling
    stochastic_depth: Annotated[Rate, OffValue(0.0)] = (
        0.0  # of the last residual block; earlier ones proportionally less
    )
    weights: str | None = None
    trainable: Literal["head", "last_stage", "all"] = "all"
    options: Options = {}


class SGD(Section):
    name: Literal["sgd"]
    lr: Positive = 0.05
    momentum: Rate = 0.9
    nesterov: bool = True


class RMSprop(Section):
    name: Literal["rmsprop"]
    lr: Positive = 1e-3
    alpha: Rate = 0.99
    momentum: Rate = 0.0


class Adam(Section):
    name: Literal["adam"]
    lr: Positive = 1e-3
    beta1: Rate = 0.9
    beta2: Rate = 0.999


class AdamW(Adam):
    name: Literal["adamw"]  # type: ignore[assignment]


class Schedule(Section):
    """Learning rate over the run, after a linear warm-up of ``warmup_epochs``.

    With ``interval: step`` it changes with every batch instead of every epoch.
    """

    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    interval: Literal["epoch", "step"] = "epoch"


class Constant(Schedule):
    name: Literal["constant"] = "constant"


class Step(Schedule):
    name: Literal["step"]
    step_size: Count
    gamma: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1


class MultiStep(Schedule):
    """Multiply by ``gamma`` at each of the ``milestones``, which count epochs after the warm-up."""

    name: Literal["multi_step"]
    milestones: Annotated[tuple[Count, ...], Field(strict=False, min_length=1)]
    gamma: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1


class Exponential(Schedule):
    """Multiply by ``gamma`` for every epoch."""

    name: Literal["exponential"]
    gamma: Annotated[float, Field(gt=0.0, le=1.0)]


class Linear(Schedule):
    name: Literal["linear"]
    final: Fraction = 0.0  # learning rate at the end, as a share of the base rate


class Cosine(Schedule):
    name: Literal["cosine"]
    final: Fraction = 0.0  # learning rate at the end, as a share of the base rate


class Lambda(Schedule):
    """Multiply the base rate by a user-defined function of the epochs so far, which returns at least 0."""

    name: Literal["lambda"]
    function: str  # package.module:function


class Plateau(Schedule):
    """Multiply by ``factor`` when the monitored value has not improved for more than ``patience`` epochs."""

    name: Literal["plateau"]
    factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    patience: Annotated[int, Field(ge=0)] = 2


AnyOptimizer = Annotated[SGD | RMSprop | Adam | AdamW, Field(discriminator="name")]
AnySchedule = Annotated[
    Constant | Step | MultiStep | Exponential | Linear | Cosine | Plateau | Lambda, Field(discriminator="name")
]


class Regularization(Section):
    """Penalties and changes of weights, labels or images that reduce over-fitting.

    ``l2_mode`` defaults to decoupled for adamw and coupled for every other optimizer. ``mixup`` and ``cutmix`` are the
    shares of batches that are mixed, with mixing weights from Beta(alpha, alpha). ``ema`` is the decay of a moving
    average of the weights, which is then evaluated and saved.
    """

    l1: Annotated[NotNegative, OffValue(0.0)] = 0.0
    l2: Annotated[NotNegative, OffValue(0.0)] = 0.0
    l2_mode: Literal["coupled", "decoupled"] | None = None
    label_smoothing: Annotated[Rate, OffValue(0.0)] = 0.0
    mixup: Annotated[Fraction, OffValue(0.0)] = 0.0
    mixup_alpha: Positive = 0.2
    cutmix: Annotated[Fraction, OffValue(0.0)] = 0.0
    cutmix_alpha: Positive = 1.0
    cutout: Annotated[int, Field(ge=0), OffValue(0)] = 0  # side in pixels of a square that is blanked in every image
    random_erasing: Annotated[Fraction, OffValue(0.0)] = 0.0  # share of images in which a random rectangle is blanked
    ema: Annotated[Rate, OffValue(0.0)] = 0.0


Operation = Literal["crop", "shift", "rotate", "scale", "shear", "flip", "color", "erase"]


def _american(name: object) -> object:
    """The operation ``color``, which version 0.1.0 called ``colour``."""
    return "color" if name == "colour" else name


class Augmentation(Section):
    """Random changes of training images; ``strength`` 0 disables them, 1 is each operation's maximum."""

    strength: Annotated[Fraction, OffValue(0.0)] = 0.0
    ops: Annotated[tuple[Annotated[Operation, BeforeValidator(_american)], ...], Field(strict=False)] = ()


class Training(Section):
    """The training loop: epochs, batch size, early stopping, and which epoch is the best one."""

    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 128
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # of training; evaluation is always fp32
    # the same curve for the same seed on the same GPU, to the bit; on a CPU it always is
    deterministic: Annotated[bool, Since("0.2.0")] = False
    compile: Annotated[bool, Since("0.2.0")] = False  # the network for training, by torch.compile
    balance: Literal["none", "weights", "oversample"] = "none"  # class balancing, in the training split only
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 30
    patience: Count | None = 5  # epochs without an improvement of `monitor`; null disables early stopping
    tolerance: NotNegative = 1e-4
    reference: Literal["accepted", "minimum"] = "accepted"
    monitor: AnyMetric = "val_loss"
    metric: AnyMetric = "val_accuracy"  # the weights of its best epoch are saved
    also: Annotated[tuple[AnyMetric, ...], Field(strict=False), Since("0.2.0")] = ()  # recorded, but decides nothing
    clean_train_every: Annotated[Count | Literal["auto"], Since("0.2.0")] = "auto"  # epochs; also in the best and last
    seed: Annotated[int, Field(ge=0)] = 0
