"""Leakage: the same image, a variant of it, or another image of the same object on both sides of a split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from regstudy.data.near_duplicates import duplicate_pairs
from regstudy.doctor.findings import Finding, Pictures, Pixels, Result, Severity, Sure
from regstudy.text import counted

LEAK_SHARE_BLOCKS, LEAK_SHARE_DISTORTS = (
    0.05,
    0.01,
)  # of the validation images: copies of, or in a group with, training images
MIN_COPIES = 3  # fewer are a note only
MAX_COPY_DISTANCE = 0.03  # simple pictures (8×8 digits) are 0.03 to 0.05 apart by chance
MAX_PAIRS_DRAWN, MAX_LEAKS_LISTED = 12, 3  # pairs in the pictures, and examples in the evidence
MAX_COMPARED_IMAGES = 10_000  # training images that are compared with validation images
MAX_GROUPED_IMAGES = 1_500  # whose similarity within groups of file names is judged
MAX_GROUP_SHARE = 0.5  # of all images; with a larger group, file names are not taken for groups
MIN_SIMILARITY, MIN_STANDARD_ERRORS, CONFIDENT_STANDARD_ERRORS = (
    0.1,
    3.5,
    6.0,
)  # by how much images of a group must be nearer to each other, in standard
# deviations of the distances and in standard errors; and from how many standard errors that is sure
MIN_IMAGES_PER_GROUP = 1.5  # for file names to be taken for groups

Indices = npt.NDArray[np.int64]


def copies(
    train: Tensor,
    validation: Tensor,
    train_paths: Sequence[str] = (),
    validation_paths: Sequence[str] = (),
    groups_exist: bool = False,
) -> Result:
    """Validation images (uint8 N×C×H×W) that are also in the training part: identical, flipped, rotated, cropped,
    recompressed, brighter or darker; see `regstudy.data.near_duplicates`.
    """
    chosen = np.arange(len(train))
    if len(train) > MAX_COMPARED_IMAGES:
        chosen = np.sort(np.random.default_rng(0).permutation(len(train))[:MAX_COMPARED_IMAGES])
    both = torch.cat([train[torch.from_numpy(chosen)], validation])
    pairs, distances = duplicate_pairs(both)
    border = len(chosen)
    across = (pairs[:, 0] < border) & (pairs[:, 1] >= border) & (distances <= MAX_COPY_DISTANCE)
    pairs, distances = pairs[across], distances[across]
    left, right = chosen[pairs[:, 0]], pairs[:, 1] - border
    exact = np.array(
        [d == 0 and torch.equal(train[a], validation[b]) for a, b, d in zip(left, right, distances, strict=True)], bool
    )
    copied, identical = len(np.unique(right)), len(np.unique(right[exact]))
    media = _pairs(train, validation, left, right, distances, train_paths, validation_paths)
    looked = f"{counted(len(validation), 'validation image')} compared with {counted(len(chosen), 'training image')}"
    if not copied:
        return Result(f"{looked}, including flipped, rotated, cropped and recompressed variants: no copies.")
    share = copied / len(validation)
    severity: Severity = "note"
    if copied >= MIN_COPIES and share >= LEAK_SHARE_DISTORTS:
        severity = "blocks" if share >= LEAK_SHARE_BLOCKS else "distorts"
    evidence = [
        f"{copied} of {len(validation)} validation images ({share:.1%}) have a copy among"
        f" {len(chosen):,} training images; {identical} of them are pixel-identical."
    ]
    evidence += [
        f"validation {_name(validation_paths, b)} = training {_name(train_paths, a)}"
        f" ({'identical pixels' if same else f'distance {d:.3f}'})"
        for a, b, d, same in list(zip(left, right, distances, exact, strict=True))[:MAX_LEAKS_LISTED]
    ]
    advice = (
        "Keep all copies on one side of the split: `data.group: near_duplicates`. If the data set was oversampled or"
        " augmented before the split, split first and then do so in the training part only (`training.balance`,"
        " `augmentation`)."
    )
    if groups_exist:
        advice = "The groups do not keep these copies on one side: correct `data.group`, or set it to near_duplicates."
    finding = Finding(
        "copies",
        "data",
        severity,
        f"{share:.0%} of the validation images are copies or variants of training images, so validation accuracy"
        " rewards memorization."
        if severity != "note"
        else f"{counted(copied, 'validation image')} {'looks' if copied == 1 else 'look'} like"
        f" {'a copy of a training image' if copied == 1 else 'copies of training images'}: too few to matter.",
        tuple(evidence),
        advice,
        "certain" if identical >= MIN_COPIES or severity == "note" else "very likely",
        {"data.group": "near_duplicates"} if severity != "note" else {},
    )
    return Result(f"{looked}: {copied} copies.", (finding,), media)


def _pairs(
    train: Tensor,
    validation: Tensor,
    left: Indices,
    right: Indices,
    distances: npt.NDArray[np.float64],
    train_paths: Sequence[str],
    validation_paths: Sequence[str],
) -> tuple[Pictures, ...]:
    if not len(left):
        return ()
    picked = np.argsort(-distances, kind="stable")[
        : MAX_PAIRS_DRAWN // 2
    ].tolist()  # the least similar pairs need the most care
    picked += [at for at in np.argsort(distances, kind="stable").tolist() if at not in picked][
        : MAX_PAIRS_DRAWN - len(picked)
    ]
    images, captions = [], []
    for at in picked:
        images += [picture(train[left[at]]), picture(validation[right[at]])]
        captions += [f"training {_name(train_paths, left[at])}"]
        captions += [f"validation {_name(validation_paths, right[at])}, distance {distances[at]:.3f}"]
    return (Pictures("copies", "Copies on both sides of the split", tuple(images), tuple(captions), columns=2),)


def picture(image: Tensor) -> Pixels:
    """H×W×3 of uint8 C×H×W; one channel becomes gray, of more than three the first three are shown."""
    shown = image[:1].expand(3, -1, -1) if image.shape[0] < 3 else image[:3]
    pixels: Pixels = shown.permute(1, 2, 0).contiguous().cpu().numpy()
    return pixels


def _name(paths: Sequence[str], index: int) -> str:
    return paths[index] if paths else f"no. {index}"


def straddling(train: Sequence[Any], validation: Sequence[Any], sure: Sure = "certain", rule: str = "") -> Result:
    """Groups, one key per image, that are on both sides of the split; ``rule`` is the pattern that gave the keys.

    A finding that is only likely does not block.
    """
    known = set(train)
    shared = [key for key in dict.fromkeys(validation) if key in known]
    looked = f"{counted(len(known | set(validation)), 'group')} of images; {len(shared)} on both sides of the split."
    if not shared:
        return Result(looked)
    touched = sum(key in set(shared) for key in validation)
    share = touched / len(validation)
    finding = Finding(
        "groups-straddle",
        "data",
        "blocks" if share >= LEAK_SHARE_BLOCKS and sure != "likely" else "distorts",
        f"{share:.0%} of the validation images belong to a group (slide, person, scene) that is also in training.",
        (
            f"{len(shared)} of the {len(set(validation))} validation groups are also in the training part.",
            f"For example: {', '.join(str(key) for key in shared[:MAX_LEAKS_LISTED])}.",
        ),
        f"Keep each group on one side of the split: `data.group: '{rule}'`."
        if rule
        else "Split by group, not by image (`data.group` takes a pattern on file names, or near_duplicates).",
        sure,
        {"data.group": rule} if rule else {},
    )
    return Result(looked, (finding,))


NAME_PATTERNS = (  # parts of a path that may be a group: before a last number, before the first separator, the folder
    r"([^/]+?)[ _.\-]+[a-zA-Z]{0,3}\d+\.\w+$",
    r"([^/_\-]+)[_\-][^/]*$",
    r"([^/]+)/[^/]+$",
)


@dataclass(frozen=True)
class Naming:
    """A pattern on file names that gives groups: the key of each image, and how much more similar images of a group are
    than others of their class, in standard deviations of the distances and in standard errors.
    """

    pattern: str
    keys: list[str]
    similarity: float
    standard_errors: float


def groups_in_names(images: Tensor, labels: Tensor, paths: Sequence[str], training: int) -> Naming | None:
    """The pattern on file names whose groups look alike and are on both sides of the split, if there is one.

    ``images`` uint8 N×C×H×W with their labels and paths: first ``training`` training images, then the others. Names
    alone prove nothing, since cameras number files as well: a pattern counts if images of one group and class are
    closer to each other, in means and standard deviations of their channels, than to others of their class.
    """
    found = []
    some = np.sort(np.random.default_rng(0).permutation(len(paths))[:MAX_GROUPED_IMAGES])
    light = channel_statistics(images[torch.from_numpy(some)])
    for pattern in NAME_PATTERNS:
        keys = [_key(pattern, path) for path in paths]
        if any(key is None for key in keys) or not _tells_groups(keys, labels.tolist()):
            continue
        whole = _by_class(keys, labels.tolist())
        similarity, errors = _similarity(light, [whole[at] for at in some], labels[torch.from_numpy(some)])
        if (
            similarity >= MIN_SIMILARITY
            and errors >= MIN_STANDARD_ERRORS
            and set(whole[:training]) & set(whole[training:])
        ):
            found.append(Naming(pattern, whole, similarity, errors))
    return max(found, key=lambda naming: naming.standard_errors, default=None)


def channel_statistics(images: Tensor) -> Tensor:
    """Standardized means and standard deviations of the channels, N×2C, of uint8 N×C×H×W: lighting and contrast."""
    pixels = images.float().flatten(2)
    described = torch.cat([pixels.mean(2), pixels.std(2)], 1)
    return (described - described.mean(0)) / (described.std(0) + 1e-6)


def _by_class(keys: Sequence[str | None], labels: Sequence[int]) -> list[str]:
    """The keys, made distinct where classes share them: file numbers may restart in each folder."""
    classes: dict[str | None, set[int]] = {}
    for key, label in zip(keys, labels, strict=True):
        classes.setdefault(key, set()).add(label)
    return [
        str(key) if len(classes[key]) == 1 else f"{key} of class {label}"
        for key, label in zip(keys, labels, strict=True)
    ]


def _key(pattern: str, path: str) -> str | None:
    found = re.search(pattern, str(PurePosixPath(path)))
    return found[1] if found else None


def _tells_groups(keys: Sequence[str | None], labels: Sequence[int]) -> bool:
    counts = Counter(keys)
    classes = len(set(labels))
    return (
        len(counts) >= max(4, 2 * classes)  # else it names the class
        and len(keys) / len(counts) >= MIN_IMAGES_PER_GROUP
        and max(counts.values()) <= MAX_GROUP_SHARE * len(keys)
    )


def _similarity(described: Tensor, keys: Sequence[str], labels: Tensor) -> tuple[float, float]:
    """How many standard deviations closer images of one group are than others of their class, as the mean over groups,
    and by how many standard errors that is above 0.
    """
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    group = torch.tensor([numbers[key] for key in keys])
    distances = torch.cdist(described, described)
    same_class = (labels[:, None] == labels) & (distances > 1e-3 * distances.median())  # copies are found elsewhere
    same_class.fill_diagonal_(False)
    same_group = (group[:, None] == group) & same_class
    others = same_class & ~same_group
    nearer = []
    for number in range(len(numbers)):
        rows = group == number
        within, without = distances[rows][same_group[rows]], distances[rows][others[rows]]
        if len(within) and len(without) > 1:
            nearer.append(float((without.mean() - within.mean()) / without.std().clamp(min=1e-6)))
    if len(nearer) < 8:
        return 0.0, 0.0
    mean, error = float(np.mean(nearer)), float(np.std(nearer, ddof=1) / np.sqrt(len(nearer)))
    return mean, mean / max(error, 1e-9)
