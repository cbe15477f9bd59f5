"""k-fold cross-validation: seeded, stratified folds that keep groups together, and the parts of one fold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from regstudy.data.image_set import ImageSet, Splits
from regstudy.data.split import Floats, Indices, limited_subset, stratified_subset
from regstudy.errors import DataError

MAX_ATTEMPTS = 64  # random assignments of groups, until every class is in every fold
ENOUGH_ATTEMPTS = 8  # of these, to bring the folds closer to each other


def assign_folds(labels: Indices, groups: Indices | None, folds: int, seed: int, classes: tuple[str, ...]) -> Indices:
    """The fold of each image, N, counted from 1; classes have the same shares in every fold, groups stay together.

    Without groups the sizes of two folds differ by one image at most, and so do the images of a class. DataError if a
    fold would lack a class.
    """
    if len(classes) < 2:
        raise DataError(f"There is only one class ('{classes[0]}'), but a classifier needs at least two.")
    units = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
    counts = np.zeros((int(units.max()) + 1, len(classes)), np.int64)  # of each class in each unit
    np.add.at(counts, (units, labels), 1)
    _check_spread(counts, folds, classes, grouped=groups is not None)
    generator = np.random.default_rng(seed)
    if groups is not None:
        return _grouped(counts, folds, generator)[units] + 1
    found, dealt = np.zeros(len(labels), np.int64), 0
    for label in range(len(classes)):
        images = generator.permutation(np.flatnonzero(labels == label))
        found[images] = (dealt + np.arange(len(images))) % folds
        dealt += len(images)
    return found + 1


def images_used(total: int, train_limit: int | None, folds: int, classes: int) -> int:
    """How many of so many images are used, so that the training part of no fold exceeds its limit.

    DataError if so few images cannot have every class in every fold.
    """
    if train_limit is None:
        return total
    used = min(total, train_limit * folds // (folds - 1))
    if used < folds * classes:
        raise DataError(
            f"data.train_limit: {train_limit} leaves {used:,} images for {folds} folds, but each fold needs an image of"
            f" each of the {classes} classes, {folds * classes:,} in total. Raise data.train_limit, or use fewer folds"
            " (data.resampling)."
        )
    return used


def split_folds(
    labels: Indices,
    groups: Indices | None,
    folds: int,
    train_limit: int | None,
    seed: int,
    classes: tuple[str, ...],
) -> tuple[Indices, Indices, tuple[int, ...]]:
    """Positions of the training and the validation images of the first fold, and the folds of both, in that order.

    Raises DataError if a fold would lack a class.
    """
    used = np.arange(len(labels))
    size = images_used(len(labels), train_limit, folds, len(classes))
    if size < len(labels):
        used = limited_subset(labels, groups, size, seed)
    fold_of = assign_folds(labels[used], None if groups is None else groups[used], folds, seed, classes)
    first = fold_of == 1
    return used[~first], used[first], tuple(np.concatenate([fold_of[~first], fold_of[first]]).tolist())


def fold(splits: Splits, number: int) -> Splits:
    """The parts of a fold, counted from 1, for one run; the result has no folds of its own."""
    held_out = torch.tensor(splits.fold_of, device=splits.train.labels.device) == number
    pool = joined_parts(splits)
    classes = splits.train.classes
    positive = classes[splits.positive] if len(classes) == 2 else None  # the rarer one may differ between folds
    return replace(_parts(splits, pool, held_out), fold_of=(), named_positive=positive)


def joined_parts(splits: Splits) -> ImageSet:
    """The training images followed by those of validation."""
    return ImageSet(
        torch.cat([splits.train.images, splits.validation.images]),
        torch.cat([splits.train.labels, splits.validation.labels]),
        splits.train.classes,
        (*splits.train.paths, *splits.validation.paths),
        _joined(splits.train.groups, splits.validation.groups),
    )


def with_validation_trained(splits: Splits) -> Splits:
    """Splits whose training part has the validation images, too; the part `validation` then holds out nothing."""
    classes = splits.train.classes
    positive = classes[splits.positive] if len(classes) == 2 else None  # the rarer one may change
    return replace(splits, train=joined_parts(splits), named_positive=positive)


def _joined(train: torch.Tensor | None, validation: torch.Tensor | None) -> torch.Tensor | None:
    return None if train is None or validation is None else torch.cat([train, validation])


def _parts(splits: Splits, pool: ImageSet, held_out: torch.Tensor) -> Splits:
    train, validation = pool.subset((~held_out).nonzero()[:, 0]), pool.subset(held_out.nonzero()[:, 0])
    clean = stratified_subset(train.labels.cpu().numpy(), len(validation), splits.split_seed)
    clean_train = train.subset(torch.from_numpy(clean).to(train.labels.device))
    return replace(splits, train=train, clean_train=clean_train, validation=validation)


def _check_spread(counts: Indices, folds: int, classes: tuple[str, ...], *, grouped: bool) -> None:
    """DataError unless each class has at least as many images (or groups) as there are folds."""
    spread = (counts > 0).sum(0)
    few = [f"'{classes[label]}' ({spread[label]})" for label in np.flatnonzero(spread < folds)]
    if few:
        least, unit = int(spread.min()), "groups" if grouped else "images"
        fewer = f"Use at most {least} folds (data.resampling: {{kfold: {least}}})" if least > 1 else "Remove the class"
        raise DataError(
            f"data.resampling: {{kfold: {folds}}} needs every class in each of the {folds} folds, but there are too few"
            f" {unit} of {', '.join(few)}. {fewer}, or add images."
        )


def _grouped(counts: Indices, folds: int, generator: np.random.Generator) -> Indices:
    """The fold, from 0, of each of G groups with G×C images: the most even of several random assignments."""
    best, least = None, np.inf
    for attempt in range(MAX_ATTEMPTS):
        if best is not None and attempt >= ENOUGH_ATTEMPTS:
            break
        fold_of = _dealt(counts, folds, generator)
        there = np.zeros((folds, counts.shape[1]))
        np.add.at(there, fold_of, counts)
        if (there > 0).all() and (distance := float(_distance(there, counts).sum())) < least:
            best, least = fold_of, distance
    if best is None:
        raise DataError(
            f"data.group makes {len(counts)} groups, which are too large or too mixed: no {folds} folds were found with"
            " images of every class in each. Use fewer folds (data.resampling), a pattern that makes smaller groups, or"
            " more images."
        )
    return best


def _dealt(counts: Indices, folds: int, generator: np.random.Generator) -> Indices:
    """One attempt: the largest groups first, in a random order, each to the fold that is then most even."""
    fold_of, there = np.zeros(len(counts), np.int64), np.zeros((folds, counts.shape[1]))
    shuffled = generator.permutation(len(counts))
    for group in shuffled[np.argsort(-counts[shuffled].sum(1), kind="stable")]:
        change = _distance(there + counts[group], counts) - _distance(there, counts)
        ties = np.flatnonzero(change <= change.min() + 1e-12)
        chosen = int(generator.choice(ties))
        fold_of[group] = chosen
        there[chosen] += counts[group]
    return fold_of


def _distance(there: Floats, counts: Indices) -> Floats:
    """Pearson's chi-squared of folds × classes of images against equal shares, per fold."""
    wanted = counts.sum(0) / len(there)
    distance: Floats = ((there - wanted) ** 2 / wanted).sum(-1)
    return distance
