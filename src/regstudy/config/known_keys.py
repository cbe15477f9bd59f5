"""What people mean by a key that does not exist: another name of a setting, or a setting of another section."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from regstudy.errors import unknown

SYNONYMS = {  # as other libraries and people call it → its path here
    "aug": "augmentation.strength",
    "augment": "augmentation.strength",
    "augmentations": "augmentation.ops",
    "auto_augment": "augmentation.strength",
    "backbone": "model.name",
    "bs": "training.batch_size",
    "batch": "training.batch_size",
    "batchsize": "training.batch_size",
    "betas": "optimizer.beta1",
    "architecture": "model.name",
    "class_weights": "training.balance",
    "weighted_loss": "training.balance",
    "crop_size": "preprocessing.crop",
    "csv": "data.file",
    "csv_file": "data.file",
    "data_dir": "data.root",
    "data_path": "data.root",
    "dataset": "data.name",
    "dir": "data.root",
    "directory": "data.root",
    "drop_path": "model.stochastic_depth",
    "droppath": "model.stochastic_depth",
    "drop_rate": "model.dropout",
    "dropout_rate": "model.dropout",
    "p_dropout": "model.dropout",
    "early_stop": "training.patience",
    "early_stopping": "training.patience",
    "early_stopping_patience": "training.patience",
    "earlystopping": "training.patience",
    "ema_decay": "regularization.ema",
    "eta": "optimizer.lr",
    "folder": "data.root",
    "freeze": "model.trainable",
    "gray": "data.channels",
    "grayscale": "data.channels",
    "groups": "data.group",
    "image_size": "data.size",
    "image_column": "data.image",
    "img_size": "data.size",
    "in_channels": "data.channels",
    "init": "model.weights",
    "input_size": "data.size",
    "l1_penalty": "regularization.l1",
    "l2_penalty": "regularization.l2",
    "label_column": "data.label",
    "label_smooth": "regularization.label_smoothing",
    "smoothing": "regularization.label_smoothing",
    "learning_rate": "optimizer.lr",
    "learningrate": "optimizer.lr",
    "lr_rate": "optimizer.lr",
    "rate": "optimizer.lr",
    "lr_schedule": "schedule.name",
    "lr_scheduler": "schedule.name",
    "scheduler": "schedule.name",
    "max_epochs": "training.epochs",
    "epoch": "training.epochs",
    "min_delta": "training.tolerance",
    "mixup_prob": "regularization.mixup",
    "n_epochs": "training.epochs",
    "num_epochs": "training.epochs",
    "nb_epochs": "training.epochs",
    "net": "model.name",
    "network": "model.name",
    "normalise": "preprocessing.normalize",
    "normalization": "preprocessing.normalize",
    "ops": "augmentation.ops",
    "optim": "optimizer.name",
    "path": "data.root",
    "k_fold": "data.resampling.kfold",
    "kfold": "data.resampling.kfold",
    "folds": "data.resampling.kfold",
    "n_splits": "data.resampling.kfold",
    "cross_validation": "data.resampling.kfold",
    "pretrained": "model.weights",
    "checkpoint": "model.weights",
    "randaugment": "augmentation.strength",
    "rand_augment": "augmentation.strength",
    "random_erase": "regularization.random_erasing",
    "erasing": "regularization.random_erasing",
    "random_seed": "training.seed",
    "random_state": "training.seed",
    "resolution": "data.size",
    "sd": "model.stochastic_depth",
    "source": "data.name",
    "test_size": "data.validation",
    "transforms": "augmentation.ops",
    "transform": "augmentation.ops",
    "val": "data.validation",
    "val_size": "data.validation",
    "val_split": "data.validation",
    "validation_split": "data.validation",
    "wd": "regularization.l2",
    "weight_decay": "regularization.l2",
    "decay": "regularization.l2",
    "warmup": "schedule.warmup_epochs",
    "warm_up": "schedule.warmup_epochs",
    "amp": "training.precision",
    "fp16": "training.precision",
    "trials": "--trials of `regstudy study`",
    "n_trials": "--trials of `regstudy study`",
    "workers": "--workers of `regstudy study`",
    "num_workers": "--workers of `regstudy study`",
    "device": "--device of `regstudy study`",
    "pruner": "--pruner of `regstudy study`",
    "storage": "--storage of `regstudy study`",
}
MOST_MEANT = 3  # sections with a key of that name; more say nothing
RANGE_SYNONYMS = {
    "min": "low",
    "minimum": "low",
    "from": "low",
    "start": "low",
    "lower": "low",
    "max": "high",
    "maximum": "high",
    "to": "high",
    "stop": "high",
    "end": "high",
    "upper": "high",
    "values": "choices",
    "options": "choices",
    "list": "choices",
    "choice": "choices",
    "categorical": "choices",
    "scale": "log",
    "log_scale": "log",
    "q": "step",
    "init": "default",
    "initial": "default",
}


def unknown_key(section: str, key: str, allowed: Collection[str], paths: Iterable[str]) -> str:
    """Sentence about a key that a section does not have: what was probably meant, and what the section has.

    ``paths`` are all settings that exist anywhere, as dotted paths.
    """
    meant = _meant(section, key, allowed, set(paths))
    if meant is None:
        return unknown("key", key, allowed)
    return f"there is no key '{key}'. Did you mean {meant}? Allowed: {', '.join(sorted(allowed))}."


def unknown_range_key(kind: str, key: str, allowed: Collection[str]) -> str:
    """Sentence about a key that a range or a choice does not have."""
    meant = RANGE_SYNONYMS.get(_plain(key))
    if meant not in allowed:
        return unknown(kind, key, allowed)
    return f"there is no {kind} '{key}'. Did you mean '{meant}'? Allowed: {', '.join(sorted(allowed))}."


def _meant(section: str, key: str, allowed: Collection[str], paths: set[str]) -> str | None:
    """The setting that a key probably means, unless it is one of its own section with a similar name."""
    if key in paths:
        parent, _, last = key.rpartition(".")
        return f"{parent}: {{{last}: …}}"  # only --set takes dotted paths
    if get_close_matches(key, allowed, n=1, cutoff=0.8):
        return None
    elsewhere = sorted(path for path in paths if path.endswith(f".{key}") and path != f"{section}.{key}")
    if 0 < len(elsewhere) <= MOST_MEANT:
        return " or ".join(elsewhere)
    known = SYNONYMS.get(_plain(key))
    if known is None or known == f"{section}.{key}":
        return None
    return known


def _plain(key: str) -> str:
    """A key in lower case with underscores."""
    return key.lower().replace("-", "_").replace(" ", "_")
