"""Data sets: the table of sources, and how a configuration becomes the splits that a run uses.

A source is a function ``load(part, config, data_dir)`` that returns the part `train` or `test` as an `ImageSet`. It is
also called with `validation` and returns None if it has no such part. A user-defined source is named
``package.module:function``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import torch

from regstudy.config.plugins import call_problems, is_plugin, load_plugin, option_problems
from regstudy.config.run_config import RunConfig
from regstudy.config.schema import Data, KFold, Operation, Parts
from regstudy.config.user_code import guarded
from regstudy.data.file_rule import LATEST_RULE
from regstudy.data.fold_split import assign_folds, first_fold, images_used
from regstudy.data.folder_parts import parts_problem
from regstudy.data.groups import NEAR_DUPLICATES, group_keys, path_groups, rule_problem
from regstudy.data.image_set import Grouping, ImageSet, Splits
from regstudy.data.loading_events import OnProgress, listening
from regstudy.data.requirements import difference, requirement_problem
from regstudy.data.split import (
    Indices,
    check_sizes,
    limited_subset,
    split_groups,
    split_indices,
    stratified_subset,
)
from regstudy.errors import ConfigError, DataError, Problem, unknown

Source = Callable[..., ImageSet | None]
ALL_OPERATIONS: frozenset[str] = frozenset(get_args(Operation))


class SourceEntry(NamedTuple):
    """A source's module, and what its images allow.

    ``operations`` are the augmentations that keep the labels correct, ``because`` is the reason why the others do not;
    ``files`` is False if the images have no paths to group them by.
    """

    module: str
    operations: frozenset[str] = ALL_OPERATIONS
    because: str = ""
    files: bool = True


def _of_digits(module: str) -> SourceEntry:
    return SourceEntry(module, ALL_OPERATIONS - {"flip"}, "a mirrored digit is no longer the same digit", files=False)


SOURCES = {
    "cifar10": SourceEntry("regstudy.data.cifar10"),
    "digits": _of_digits("regstudy.data.digits"),
    "image_folder": SourceEntry("regstudy.data.image_folder"),
    "street_digits": _of_digits("regstudy.data.street_digits"),
    "svhn": _of_digits("regstudy.data.svhn"),
}
IN_A_FOLDER = ("image_folder", "cifar10")  # the data sets that can lie in data.root
SOURCE_ARGUMENTS = ("part", "config", "data_dir")
ARGUMENTS_OF_FOLDERS = ("rule",)  # of image_folder, which are no options either


def source(name: str) -> Source:
    """The function that loads a data set; ConfigError if there is none of that name."""
    if is_plugin(name):
        return guarded(name, load_plugin(name), DataError)
    if name not in SOURCES:
        raise ConfigError(f"data.name: {unknown('data set', name, SOURCES)}")
    load: Source = import_module(SOURCES[name].module).load
    return load


def operations(name: str) -> frozenset[str]:
    """The augmentation operations that a data set allows; user-defined ones allow all."""
    return SOURCES[name].operations if name in SOURCES else ALL_OPERATIONS


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
    if data.name == "image_folder" and data.root is None:
        yield Problem(
            "data.root", "is required for image_folder: the folder that has one subfolder of images per class."
        )
    if data.root is not None and data.name in SOURCES and data.name not in IN_A_FOLDER:
        allowed = " and ".join(IN_A_FOLDER)
        yield Problem("data.root", f"is for {allowed} only, but data.name is {data.name}. Remove it.")
    if data.parts is not None and data.name != "image_folder":
        yield Problem("data.parts", f"is for image_folder only, but data.name is {data.name}. Remove it.")
    elif isinstance(data.parts, Parts) and (overlap := parts_problem(data.parts)):
        yield Problem("data.parts", overlap)
    yield from _group_problems(data)
    yield from _operation_problems(config)


def _group_problems(data: Data) -> Iterable[Problem]:
    if data.group is None or data.group == NEAR_DUPLICATES:
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


def prepare(
    config: Data, data_dir: Path, on_progress: OnProgress | None = None, file_rule: int = LATEST_RULE
) -> Splits:
    """The training, clean-training and validation splits; the test set is not read.

    ``on_progress`` is called with notices about the images and with progress while files are read. ``file_rule`` is
    the number of the rule that says which files of a folder are images: that of an existing study. Raises DataError.
    """
    with listening(on_progress):
        return _prepare(config, data_dir, file_rule)


def _prepare(config: Data, data_dir: Path, file_rule: int) -> Splits:
    load, given = source(config.name), dict(config.options)
    folder = config.name == "image_folder"
    if folder:
        given["rule"] = file_rule
    pool = _required(load("train", config, data_dir, **given), config, "training")
    validation = load("validation", config, data_dir, **given)
    own = validation is not None
    if validation is not None:
        _check_resampling(config)
        _sound(validation, config, "validation")
        different = difference(pool, validation)
        if different is not None:
            raise DataError(f"The training and validation sets of '{config.name}' do not fit together: {different}")
    groups = _groups(pool, validation, config, data_dir)
    grouping = None
    if config.group is not None and groups is not None:
        sides = [set(part.tolist()) for part in np.split(groups, [len(pool)])]
        grouping = Grouping(config.group, len(sides[0] | sides[1]), len(sides[0] & sides[1]))
        mine, others = (torch.from_numpy(part) for part in np.split(groups, [len(pool)]))
        pool = replace(pool, groups=mine)
        validation = replace(validation, groups=others) if validation is not None else None
    folds = config.resampling.kfold if isinstance(config.resampling, KFold) else 0
    fold_of = None
    if folds:
        pool, fold_of = _in_folds(pool, groups, config, folds)
        train, validation = pool, pool  # replaced by those of the first fold
    elif validation is None:
        wanted = (config.validation, config.train_limit, config.split_seed, pool.classes)
        labels = pool.labels.numpy()
        kept, held_out = split_indices(labels, *wanted) if groups is None else split_groups(labels, groups, *wanted)
        train, validation = pool.subset(torch.from_numpy(kept)), pool.subset(torch.from_numpy(held_out))
    else:
        limit = min(config.train_limit or len(pool), len(pool))
        check_sizes(pool.labels.numpy(), limit, len(validation), pool.classes)
        train = pool.subset(torch.from_numpy(stratified_subset(pool.labels.numpy(), limit, config.split_seed, least=1)))
    clean = stratified_subset(train.labels.numpy(), len(validation), config.split_seed)
    splits = Splits(train, train.subset(torch.from_numpy(clean)), validation, config.name, config.split_seed, grouping)
    splits = splits if fold_of is None else first_fold(pool, fold_of, splits)
    splits = replace(splits, named_positive=_positive(config, pool.classes), own_validation=own)
    if not folder:
        return splits
    from regstudy.data.image_folder import part_folders

    return replace(splits, parts=part_folders(config, file_rule), file_rule=file_rule)


def _check_resampling(config: Data) -> None:
    """DataError if images with a validation part of their own are to be divided into folds."""
    if isinstance(config.resampling, KFold):
        remedy = "Remove data.resampling to validate on that part"
        if config.name == "image_folder":
            remedy += ", or set data.parts: {train: …} to the training folder alone to leave it out"
        raise DataError(
            f"data.resampling: {{kfold: {config.resampling.kfold}}} validates on the training images in turn, but the"
            f" data set '{config.name}' has its own validation part, which would not be used. {remedy}."
        )


def _in_folds(pool: ImageSet, groups: Indices | None, config: Data, folds: int) -> tuple[ImageSet, Indices]:
    """The images that are used, and the fold of each."""
    labels = pool.labels.numpy()
    size = images_used(len(pool), config.train_limit, folds, len(pool.classes))
    if size < len(pool):
        used = limited_subset(labels, groups, size, config.split_seed)
        pool, labels = pool.subset(torch.from_numpy(used)), labels[used]
        groups = None if groups is None else groups[used]
    return pool, assign_folds(labels, groups, folds, config.split_seed, pool.classes)


def without_folds(config: Data) -> Data:
    """The same images with the usual validation part, for one training."""
    return config.model_copy(update={"resampling": "shared"})


def _positive(config: Data, classes: Sequence[str]) -> str | None:
    """The class that the configuration calls positive; DataError if there is no such class, or not two."""
    if config.positive is None:
        return None
    if config.positive not in classes:
        raise DataError(f"data.positive: {unknown('class', config.positive, classes)}")
    if len(classes) != 2:
        raise DataError(f"data.positive is for two classes only, but there are {len(classes)}. Remove it.")
    return config.positive


def _groups(pool: ImageSet, validation: ImageSet | None, config: Data, data_dir: Path) -> Indices | None:
    """The group of each image of the pool, followed by those of the data set's own validation part, if any."""
    if config.group is None:
        return None
    if validation is None:
        return group_keys(pool, config.group, config.name, data_dir)
    paths = (*pool.paths, *validation.paths) if pool.paths and validation.paths else ()
    if config.group != NEAR_DUPLICATES:  # do not copy all pixels if only paths are needed
        return path_groups(paths, config.group, config.name)
    images, labels = (
        torch.cat(parts) for parts in ((pool.images, validation.images), (pool.labels, validation.labels))
    )
    return group_keys(ImageSet(images, labels, pool.classes, paths), config.group, config.name, data_dir)


def open_test(config: Data, data_dir: Path) -> ImageSet:
    """The test set, for the final evaluation only; the caller must log it. DataError if there is none."""
    return _required(source(config.name)("test", config, data_dir, **config.options), config, "test")


def check_test(config: Data) -> None:
    """DataError if a folder of images has a test part that cannot be used; its files are not opened."""
    if config.name == "image_folder":
        from regstudy.data import image_folder

        image_folder.check_test(config)


def _required(images: ImageSet | None, config: Data, part: str) -> ImageSet:
    if images is None:
        raise DataError(f"The data set '{config.name}' has no {part} set.")
    return _sound(images, config, part)


def _sound(images: ImageSet, config: Data, part: str) -> ImageSet:
    """The unchanged images; DataError if they are not a valid ImageSet, as may happen with a user-defined data set."""
    wrong = requirement_problem(images)
    if wrong is not None:
        raise DataError(f"The {part} set of '{config.name}' cannot be used: {wrong}")
    return images
