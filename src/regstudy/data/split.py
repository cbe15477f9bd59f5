"""Seeded, stratified splits of a labeled set into training and validation; groups of images stay together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from regstudy.errors import DataError

Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

MAX_SPLIT_ATTEMPTS = 64  # random splits of groups, until one has every class in both parts
MAX_IMPROVEMENT_ATTEMPTS = 8  # of these, to come closer to the wanted class shares
CLOSE_ENOUGH = 0.05**2  # distance per wanted image: class counts are off by a twentieth
MISSING_CLASS_DISTANCE = 1e12  # for each class that is not in both parts


def split_indices(
    labels: Indices, validation: float, train_limit: int | None, seed: int, classes: tuple[str, ...]
) -> tuple[Indices, Indices]:
    """Positions of the training and the validation images, each ascending; classes keep their shares in both.

    ``validation`` below 1 is a share of the images used, else a number of images. ``train_limit`` bounds the training
    images; a validation share then shrinks with them. Raises DataError if a part would lack a class.
    """
    kept, held_out = _sizes(len(labels), validation, train_limit)
    check_sizes(labels, kept, held_out, classes)
    counts = np.bincount(labels, minlength=len(classes))
    held_counts = _bounded_shares(counts, held_out, counts - 1)
    kept_counts = _bounded_shares(counts, kept, counts - held_counts)
    generator = np.random.default_rng(seed)
    shuffled = [generator.permutation(np.flatnonzero(labels == label)) for label in range(len(counts))]
    held = [p[:h] for p, h in zip(shuffled, held_counts, strict=True)]
    train = [p[h : h + k] for p, h, k in zip(shuffled, held_counts, kept_counts, strict=True)]
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(held))


def split_groups(
    labels: Indices,
    groups: Indices,
    validation: float,
    train_limit: int | None,
    seed: int,
    classes: tuple[str, ...],
) -> tuple[Indices, Indices]:
    """As `split_indices`, with all images of a group in one part; sizes and shares are as close as groups allow.

    ``groups`` is each image's group number, N. Groups are assigned in random order, so large ones are as likely
    to be in validation as small ones. ``train_limit`` leaves out whole groups, except that one group per class may be
    cut to keep the shares. Raises DataError if a class is in one group only, or if no split has all classes in both.
    """
    kept, held_out = _sizes(len(labels), validation, train_limit)
    check_sizes(labels, kept, held_out, classes)
    numbers, member = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(numbers), len(classes)), np.int64)  # of each class in each group
    np.add.at(counts, (member, labels), 1)
    _check_groups(counts, classes)
    generator = np.random.default_rng(seed)
    held = _held_groups(counts, counts.sum(0) * held_out / len(labels), generator)
    train = np.flatnonzero(~held[member])
    if train_limit is not None and kept < len(train):
        train = train[_in_whole_groups(labels[train], member[train], kept, generator)]
    return train, np.flatnonzero(held[member])


def stratified_subset(labels: Indices, size: int, seed: int, least: int = 0) -> Indices:
    """Ascending positions of ``size`` images with the class shares of the whole; all of them if there are no more.

    Every class keeps at least ``least`` images (0 or 1).
    """
    if size >= len(labels):
        return np.arange(len(labels))
    counts = np.bincount(labels)
    per_class = _bounded_shares(counts, size, counts) if least else _rounded_shares(counts, size)
    generator = np.random.default_rng(seed)
    chosen = [generator.permutation(np.flatnonzero(labels == label))[:count] for label, count in enumerate(per_class)]
    return np.sort(np.concatenate(chosen))


def limited_subset(labels: Indices, groups: Indices | None, size: int, seed: int) -> Indices:
    """As `stratified_subset`, with at least one image of every class, and in whole groups where that is possible."""
    if groups is None or size >= len(labels):
        return stratified_subset(labels, size, seed, least=1)
    return _in_whole_groups(labels, np.unique(groups, return_inverse=True)[1], size, np.random.default_rng(seed))


def _sizes(total: int, validation: float, train_limit: int | None) -> tuple[int, int]:
    """The numbers of training and validation images."""
    if train_limit is None:
        held_out = round(total * validation) if validation < 1 else int(validation)
        return total - held_out, held_out
    wanted = round(train_limit * validation / (1 - validation)) if validation < 1 else int(validation)
    scale = min(1.0, total / (train_limit + wanted)) if validation < 1 else 1.0
    held_out = round(wanted * scale)
    return min(train_limit, total - held_out), held_out


def _held_groups(counts: Indices, wanted: Floats, generator: np.random.Generator) -> Flags:
    """Which of G groups with G×C images of each class go to validation; DataError if no attempt succeeds.

    Takes the attempt closest to the ``wanted`` images of each class among the first few, or the first one that is close
    enough: searching for the best of all would select the same groups for every seed.
    """
    best, nearest = None, np.inf
    for attempt in range(MAX_SPLIT_ATTEMPTS):
        if best is not None and (attempt >= MAX_IMPROVEMENT_ATTEMPTS or nearest <= CLOSE_ENOUGH * wanted.sum()):
            break
        held = _dealt(counts, wanted, generator)
        distance = float(_distance(counts[held].sum(0), counts.sum(0), wanted))
        if distance < min(nearest, MISSING_CLASS_DISTANCE):
            best, nearest = held, distance
    if best is None:
        raise DataError(
            f"data.group makes {len(counts)} groups, which are too large or too mixed: no split was found with images"
            " of"
            " every class in both training and validation. Use a pattern that makes smaller groups, or add images."
        )
    return best


def _dealt(counts: Indices, wanted: Floats, generator: np.random.Generator) -> Flags:
    """One attempt: add groups in random order if they bring validation closer, then move single groups."""
    total, held = counts.sum(0), np.zeros(len(counts), bool)
    there = np.zeros_like(total)
    distance = _distance(there, total, wanted)
    for group in generator.permutation(len(counts)):
        nearer = _distance(there + counts[group], total, wanted)
        if nearer < distance:
            held[group], there, distance = True, there + counts[group], nearer
    for _ in range(len(counts)):
        moved = _distance(there + np.where(held, -1, 1)[:, None] * counts, total, wanted)
        group = int(np.argmin(moved))
        if moved[group] >= distance:
            break
        there = there + (-counts[group] if held[group] else counts[group])
        held[group], distance = not held[group], moved[group]
    return held


def _distance(there: Indices, total: Indices, wanted: Floats) -> Floats:
    """Pearson's chi-squared of …×C images per class against wanted ones, plus a penalty per class not in both parts."""
    lacking = (there == 0) | (there == total)
    distance: Floats = ((there - wanted) ** 2 / wanted).sum(-1) + MISSING_CLASS_DISTANCE * lacking.sum(-1)
    return distance


def _in_whole_groups(labels: Indices, groups: Indices, size: int, generator: np.random.Generator) -> Indices:
    """Ascending positions of ``size`` images with the class shares of the whole, group by group in a random order."""
    counts = np.bincount(labels)
    rank = generator.permutation(int(groups.max()) + 1)[groups]
    chosen = []
    for label, count in enumerate(_bounded_shares(counts, size, counts)):
        images = np.flatnonzero(labels == label)
        chosen.append(images[np.argsort(rank[images], kind="stable")][:count])
    return np.sort(np.concatenate(chosen))


def _check_groups(counts: Indices, classes: tuple[str, ...]) -> None:
    spread = (counts > 0).sum(0)
    lonely = [f"'{classes[label]}'" for label in np.flatnonzero(spread < 2)]
    if lonely:
        raise DataError(
            f"All images of {', '.join(lonely)} are in one group, so they cannot be in both training and validation:"
            f" data.group makes {len(counts)} group{'s' if len(counts) > 1 else ''} of {counts.sum():,} images. Use a"
            " pattern that makes smaller groups, or add images."
        )


def _rounded_shares(counts: Indices, size: int) -> Indices:
    """Whole numbers proportional to `counts` that sum to `size`: largest remainders are rounded up."""
    exact = counts * size / counts.sum()
    floor: Indices = np.floor(exact).astype(np.int64)
    order = np.argsort(floor - exact, kind="stable")
    floor[order[: size - floor.sum()]] += 1
    return floor


def _bounded_shares(counts: Indices, size: int, most: Indices) -> Indices:
    """As `_rounded_shares`, but at least 1 and at most `most` of each class."""
    exact = counts * size / counts.sum()
    shares = np.clip(_rounded_shares(counts, size), 1, most)
    while excess := int(shares.sum()) - size:
        step, free = (-1, shares > 1) if excess > 0 else (1, shares < most)
        shares[np.argmax(np.where(free, step * (exact - shares), -np.inf))] += step
    return shares


def check_sizes(labels: Indices, kept: int, held_out: int, classes: tuple[str, ...]) -> None:
    """DataError unless ``kept`` training and ``held_out`` validation images can hold every class."""
    counts = np.bincount(labels, minlength=len(classes))
    if len(classes) < 2:
        raise DataError(f"There is only one class ('{classes[0]}'), but a classifier needs at least two.")
    few = [f"'{classes[label]}' ({count})" for label, count in enumerate(counts) if count < 2]
    if few:
        raise DataError(
            f"Each class needs at least 2 images, one for training and one for validation, but there are too few of"
            f" {', '.join(few)}. Add images or remove the class."
        )
    if min(kept, held_out) < len(classes):
        raise DataError(
            f"{len(labels):,} images cannot be split into {max(kept, 0):,} for training and {held_out:,} for"
            " validation:"
            f" both need at least one image of each of the {len(classes)} classes."
            " Change data.validation or data.train_limit."
        )
