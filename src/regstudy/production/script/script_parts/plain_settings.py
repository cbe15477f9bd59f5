"""The values of a script: those of one configuration are written in their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

DATASET = "image_folder"
OWN_LOADER = False
DATA = "data"  # default of --data
TRAIN_FOLDER = "train"
VALIDATION_FOLDER = ""
TEST_FOLDER = ""
CLASSES = ""  # of CIFAR-10, if not all
SIZE = 32  # pixels per side
FIT = "crop"  # how an image that is not square becomes a square
CHANNELS = 3  # 1: the files are read as gray
SKIP_UNREADABLE = False
GROUP = ""  # images whose paths agree in this pattern stay in one part
VALIDATION: float = 0.1  # share of the images, or their number
TRAIN_LIMIT: int | None = None  # at most this many training images
SPLIT_SEED = 0
POSITIVE = ""  # class whose average precision is measured
OPTIONS: dict[str, Any] = {}
SECTION: dict[str, Any] = {}  # the section data of the configuration, which your function gets as an object
CROP: int | None = None  # pixels per side of the center crop
NORMALIZE = "train"
MEAN: tuple[float, ...] = ()  # per channel, of images in 0..1
STD: tuple[float, ...] = ()
WEIGHTS = ""  # to start from
TRAINABLE = "all"
SEED = 0
METRIC = "accuracy"  # the weights of its best epoch are kept
MAXIMIZE = True
MEASURED: tuple[str, ...] = ()  # besides loss and accuracy
EVALUATION_BATCH_SIZE = 512
DETERMINISTIC = False  # the same curve for the same seed on the same GPU, to the bit


@dataclass(frozen=True)
class Settings:
    """How to train."""

    epochs: int = 30  # at most
    batch_size: int = 128
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    nesterov: bool = True
    alpha: float = 0.99  # decay of the mean square
    beta1: float = 0.9
    beta2: float = 0.999
    schedule: str = "constant"
    warmup_epochs: int = 0  # the learning rate rises linearly
    interval: str = "epoch"  # how often the learning rate changes
    step_size: int = 10  # epochs
    milestones: tuple[int, ...] = ()  # epochs after the warm-up
    gamma: float = 0.1  # factor of the learning rate
    final: float = 0.0  # learning rate at the end, as a share of that at the start
    factor: float = 0.1  # of the learning rate, at a plateau
    plateau_patience: int = 2  # epochs
    monitor: str = "loss"  # of the validation images; decides early stopping and plateaus
    monitor_maximize: bool = False
    patience: int | None = 5  # epochs without an improvement, then training stops
    tolerance: float = 1e-4  # improvements up to this one do not count
    reference: str = "accepted"  # what an improvement is measured against
    grace: int = 0  # first epochs that do not count against the patience
    l1: float = 0.0  # penalty of the absolute weights
    l2: float = 0.0  # weight decay
    decoupled: bool = True  # weight decay shrinks the weights directly instead of entering the gradient
    label_smoothing: float = 0.0
    mixup: float = 0.0  # share of the batches
    mixup_alpha: float = 0.2
    cutmix: float = 0.0  # share of the batches
    cutmix_alpha: float = 1.0
    cutout: int = 0  # side of the blanked square in pixels
    random_erasing: float = 0.0  # share of the images with a blanked rectangle
    ema: float = 0.0  # decay of the moving average of the weights, which is evaluated and saved
    strength: float = 0.0  # of the augmentation, 0 to 1
    operations: tuple[str, ...] = ()
    precision: str = "fp32"
    balance: str = "none"
    compile: bool = False  # the network for training, by torch.compile


PHASES: tuple[Settings, ...] = (Settings(),)
