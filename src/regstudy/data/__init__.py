"""Data sets: how a configuration becomes the splits that a run uses, and what is wrong with a data section.

A source is a function ``load(part, config, data_dir)`` that returns the part `train` or `test` as an `ImageSet`. It is
also called with `validation` and returns None if it has no such part. A user-defined source is named
``package.module:function``.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from regstudy.config.plugins import call_problems, is_plugin, option_problems
from regstudy.config.run_config import RunConfig
from regstudy.config.schema import ChannelStatistics, Data, Parts
from regstudy.data.field_owners import foreign_problems
from regstudy.data.file_rule import LATEST_RULE
from regstudy.data.folder_parts import parts_problem
from regstudy.data.groups import NEAR_DUPLICATES, rule_problem
from regstudy.data.image_set import ImageSet, Splits
from regstudy.data.loading_events import OnProgress, listening
from regstudy.data.pool import load_pool
from regstudy.data.sources import SOURCES, check_other_images, required, source
from regstudy.data.sources import operations as operations
from regstudy.errors import ConfigError, DataError, Problem, unknown

SOURCE_ARGUMENTS = ("part", "config", "data_dir")
ARGUMENTS_OF_FOLDERS = ("rule",)  # of image_folder, which are no options either


def problems(config: RunConfig) -> Iterable[Problem]:
    """Problems of the data section that can be found without reading an image."""
    data = config.data
    if not is_plugin(data.name) and data.name not in SOURCES:
        yield Problem("data.name", unknown("data set", data.name, SOURCES))
        return
    try:
        load = source(data.name)
    except ConfigError as error:
        yield Problem("data.name", str(error), error)
        return
    wrong = call_problems(load, SOURCE_ARGUMENTS, by_name=False)
    if wrong:
        yield from (Problem("data.name", f"'{data.name}' {sentence}") for sentence in wrong)
        return
    own = ARGUMENTS_OF_FOLDERS if data.name == "image_folder" else ()
    for sentence in option_problems(load, data.options, (*SOURCE_ARGUMENTS, *own), by_name=False):
        yield Problem("data.options", sentence)
    yield from foreign_problems(data)
    if isinstance(data.parts, Parts) and data.name == "image_folder" and (overlap := parts_problem(data.parts)):
        yield Problem("data.parts", overlap)
    yield from _group_problems(data)
    yield from _operation_problems(config)
    yield from _channel_problems(config)


def _group_problems(data: Data) -> Iterable[Problem]:
    if data.group is None or data.group == NEAR_DUPLICATES or data.name == "table":
        return
    wrong = rule_problem(data.group)
    if wrong is not None:
        yield Problem("data.group", wrong)
    elif data.name in SOURCES and not SOURCES[data.name].files:
        yield Problem(
            "data.group",
            f"'{data.group}' is matched against image paths, but the images of {data.name} have no paths. Use"
            f" {NEAR_DUPLICATES}, which compares pixels, or remove data.group.",
        )


def _operation_problems(config: RunConfig) -> Iterable[Problem]:
    """Operations, in the configuration or its phases, that the data set does not allow."""
    name = config.data.name
    asked = {operation for one in (config, *config.in_phases()) for operation in one.augmentation.ops}
    refused = sorted(asked - operations(name))
    if refused:
        yield Problem(
            "augmentation.ops",
            f"{', '.join(refused)} cannot be used with {name}: {SOURCES[name].because}."
            f" Allowed: {', '.join(sorted(operations(name)))}.",
        )


def _channel_problems(config: RunConfig) -> Iterable[Problem]:
    """A normalization for another number of channels than `data.channels`."""
    channels, given = config.data.channels, config.preprocessing.normalize
    if channels == 1 and given == "imagenet":
        yield Problem(
            "preprocessing.normalize", "imagenet is for 3 channels, but data.channels is 1. Use train, or half."
        )
    elif channels is not None and isinstance(given, ChannelStatistics) and len(given.mean) != channels:
        words = f"has {len(given.mean)} means, but data.channels is {channels}. Use one for each channel."
        yield Problem("preprocessing.normalize", words)


def prepare(
    config: Data, data_dir: Path, on_progress: OnProgress | None = None, file_rule: int = LATEST_RULE
) -> Splits:
    """The training, clean-training and validation splits; the test set is not read.

    ``on_progress`` is called with notices about the images and with progress while files are read. ``file_rule`` is
    the number of the rule that says which files of a folder are images: that of an existing study. Raises DataError.
    """
    return load_pool(config, data_dir, on_progress, file_rule).split(config.split_seed)


def without_folds(config: Data) -> Data:
    """The same images with the usual validation part, for one training."""
    return config.model_copy(update={"resampling": "shared"})


def open_test(config: Data, data_dir: Path) -> ImageSet:
    """The test set, for the final evaluation only; the caller must log it. DataError if there is none.

    A data set of the user's own is checked against its training part: a function that ignores ``part`` would otherwise
    be tested on the images it was trained on, and one that numbers its classes anew on other classes.
    """
    load = source(config.name)
    test = required(load("test", config, data_dir, **config.options), config, "test")
    if is_plugin(config.name):
        with listening(lambda _event: None):  # all about the training part has been said
            train = required(load("train", config, data_dir, **config.options), config, "training")
        if tuple(train.classes) != tuple(test.classes):
            raise DataError(f"The test set of '{config.name}' has other classes than its training set.")
        check_other_images(train, test, config, "test")
    return test


def check_test(config: Data) -> None:
    """DataError if a folder or table of images has a test part that cannot be used; its files are not opened."""
    if config.name in ("image_folder", "table"):
        import_module(SOURCES[config.name].module).check_test(config)
