"""All images that training and validation may use, read once, and the splits of any seed made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from regstudy.config.plugins import is_plugin
from regstudy.config.schema import Data, KFold
from regstudy.data.file_rule import LATEST_RULE
from regstudy.data.fold_split import split_folds
from regstudy.data.groups import NEAR_DUPLICATES, group_keys, path_groups
from regstudy.data.image_set import Grouping, ImageSet, Splits
from regstudy.data.loading_events import OnProgress, listening
from regstudy.data.requirements import difference
from regstudy.data.shared_memory import share_tensors
from regstudy.data.sources import check_other_images, required, sound, source
from regstudy.data.split import Indices, check_sizes, split_groups, split_indices, stratified_subset
from regstudy.errors import DataError, unknown

OWN_GROUPS = "ImageSet.groups"  # the rule where the data set came with its groups


@dataclass
class Pool:
    """The images of the training part and, if the data set has one, of its own validation part; read and checked.

    It is a `SplitSource`. With an own validation part, the seed of a split decides only which training images
    `data.train_limit` keeps and which of them measure the clean training accuracy.
    """

    config: Data
    images: ImageSet
    validation: ImageSet | None = None
    grouping: Grouping | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    file_rule: int | None = None
    _last: Splits | None = field(default=None, init=False, repr=False, compare=False)

    def split(self, seed: int) -> Splits:
        """The splits of a seed, copied from the pool; DataError if a part would lack a class.

        Equal to those of `prepare` if `data.split_seed` is this seed, for every source that does not itself look at
        `data.split_seed`.
        """
        fold_of: tuple[int, ...] = ()
        if self.validation is None:
            kept, held_out, fold_of = self._positions(seed)
            train = self.images.subset(torch.from_numpy(kept))
            validation = self.images.subset(torch.from_numpy(held_out))
        else:
            train, validation = self._limited(len(self.validation), seed), self.validation
        clean = stratified_subset(train.labels.numpy(), len(validation), seed)
        return Splits(
            train,
            train.subset(torch.from_numpy(clean)),
            validation,
            self.config.name,
            seed,
            self.grouping,
            self.parts,
            self.file_rule,
            self.config.positive,
            fold_of,
            own_validation=self.validation is not None,
        )

    def at(self, split_seed: int) -> Splits:
        """As `split`, but the last splits are remembered, so that runs with the same seed share them."""
        if self._last is None or self._last.split_seed != split_seed:
            self._last = None  # so that there are never two of them in memory
            self._last = self.split(split_seed)
        return self._last

    def share(self) -> Pool:
        """The same pool in shared memory, for other processes; DataError if there is not enough of it."""
        parts = (self.images, self.validation)
        share_tensors(tensor for part in parts if part is not None for tensor in part.tensors)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Without the last splits: another process makes its own, from images in shared memory."""
        return self.__dict__ | {"_last": None}

    def _positions(self, seed: int) -> tuple[Indices, Indices, tuple[int, ...]]:
        """The places of the training and the validation images, and the folds, if any."""
        config, labels, classes = self.config, self.images.labels.numpy(), self.images.classes
        groups = None if self.images.groups is None else self.images.groups.numpy()
        if isinstance(config.resampling, KFold):
            return split_folds(labels, groups, config.resampling.kfold, config.train_limit, seed, classes)
        wanted = (config.validation, config.train_limit, seed, classes)
        both = split_indices(labels, *wanted) if groups is None else split_groups(labels, groups, *wanted)
        return (*both, ())

    def _limited(self, held_out: int, seed: int) -> ImageSet:
        """The training images next to a validation part of the data set's own."""
        labels, total = self.images.labels.numpy(), len(self.images)
        limit = min(self.config.train_limit or total, total)
        check_sizes(labels, limit, held_out, self.images.classes)
        if limit == total and self.images.images.is_shared():  # type: ignore[no-untyped-call]
            # Each worker would otherwise copy all images for each seed. Images in no shared memory may be read from a
            # file as they are needed, which is slower than a copy.
            return self.images
        return self.images.subset(torch.from_numpy(stratified_subset(labels, limit, seed, least=1)))


def load_pool(
    config: Data, data_dir: Path, on_progress: OnProgress | None = None, file_rule: int = LATEST_RULE
) -> Pool:
    """Read and check all images but those of the test set; for the arguments see `regstudy.data.prepare`."""
    with listening(on_progress):
        return _load(config, data_dir, file_rule)


def _load(config: Data, data_dir: Path, file_rule: int) -> Pool:
    load, given = source(config.name), dict(config.options)
    folder = config.name == "image_folder"
    if folder:
        given["rule"] = file_rule
    images = required(load("train", config, data_dir, **given), config, "training")
    validation = load("validation", config, data_dir, **given)
    if validation is not None:
        _check_resampling(config)
        sound(validation, config, "validation")
        different = difference(images, validation)
        if different is not None:
            raise DataError(f"The training and validation sets of '{config.name}' do not fit together: {different}")
        check_other_images(images, validation, config, "validation")
    pool = _grouped(Pool(config, images, validation), data_dir)
    _check_positive(config, images.classes)
    if not folder:
        return pool
    from regstudy.data.image_folder import part_folders

    return replace(pool, parts=part_folders(config, file_rule), file_rule=file_rule)


def _grouped(pool: Pool, data_dir: Path) -> Pool:
    """The pool with the group of each image, if `data.group` is set."""
    rule, validation = pool.config.group, pool.validation
    groups = _own_groups(pool)
    if groups is None and rule is None:
        return pool
    if groups is None:
        groups = _groups(pool.images, validation, rule or "", pool.config.name, data_dir)
    mine, others = np.split(groups, [len(pool.images)])
    sides = set(mine.tolist()), set(others.tolist())
    return replace(
        pool,
        images=replace(pool.images, groups=torch.from_numpy(mine)),
        validation=None if validation is None else replace(validation, groups=torch.from_numpy(others)),
        grouping=Grouping(rule or OWN_GROUPS, len(sides[0] | sides[1]), len(sides[0] & sides[1])),
    )


def _own_groups(pool: Pool) -> Indices | None:
    """The groups that the data set came with, followed by those of its own validation part; None if it has none."""
    config, parts = pool.config, [part for part in (pool.images, pool.validation) if part is not None]
    groups = [part.groups for part in parts if part.groups is not None]
    if not groups:
        return None
    if len(groups) < len(parts):
        raise DataError(f"Only one part of '{config.name}' has `groups`. Fill them in for training and validation.")
    if config.group is not None and is_plugin(config.name):
        raise DataError(f"'{config.name}' has `groups`, and data.group is set, too. Remove one of them.")
    return np.asarray(torch.cat(groups).numpy())


def _groups(images: ImageSet, validation: ImageSet | None, rule: str, name: str, data_dir: Path) -> Indices:
    """The group of each image, followed by those of the data set's own validation part, if any."""
    if validation is None:
        return group_keys(images, rule, name, data_dir)
    paths = (*images.paths, *validation.paths) if images.paths and validation.paths else ()
    if rule != NEAR_DUPLICATES:  # do not copy all pixels if only paths are needed
        return path_groups(paths, rule, name)
    pixels, labels = (
        torch.cat(parts) for parts in ((images.images, validation.images), (images.labels, validation.labels))
    )
    return group_keys(ImageSet(pixels, labels, images.classes, paths), rule, name, data_dir)


def _check_resampling(config: Data) -> None:
    """DataError if images with a validation part of their own are to be divided into folds."""
    if isinstance(config.resampling, KFold):
        remedy = "Remove data.resampling to validate on that part"
        if config.name == "image_folder":
            remedy += ", or set data.parts: {train: …} to the training folder alone to leave it out"
        if config.name == "table":
            remedy += ", or remove data.split to use all rows"
        raise DataError(
            f"data.resampling: {{kfold: {config.resampling.kfold}}} validates on the training images in turn, but the"
            f" data set '{config.name}' has its own validation part, which would not be used. {remedy}."
        )


def _check_positive(config: Data, classes: Sequence[str]) -> None:
    """DataError if there is no such class as the configuration calls positive, or not two classes."""
    if config.positive is None:
        return
    if config.positive not in classes:
        raise DataError(f"data.positive: {unknown('class', config.positive, classes)}")
    if len(classes) != 2:
        raise DataError(f"data.positive is for two classes only, but there are {len(classes)}. Remove it.")
