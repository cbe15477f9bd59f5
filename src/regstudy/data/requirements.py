"""What a set of images must be, said one requirement at a time: what is wrong, and how to convert it.

Data sets of the user's own may return anything.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from regstudy.data.image_set import ImageSet

CHANNELS = (1, 2, 3, 4)


def requirement_problem(given: Any) -> str | None:
    """The first requirement that a set of images does not meet, what was given, and how to convert it."""
    if not isinstance(given, ImageSet):
        return (
            f"it must be a regstudy.data.image_set.ImageSet, but it is {_named(given)}. Return ImageSet(images, labels,"
            " classes), with images as torch uint8 N×C×H×W, labels as torch int64 N, counted from 0, and one class"
            " name per label."
        )
    if given.groups is not None:
        return "it has `groups`, which regstudy itself fills in. Leave them out and set data.group."
    return _images_problem(given.images) or _labels_problem(given) or _names_problem(given)


def difference(train: ImageSet, validation: ImageSet) -> str | None:
    """What keeps two parts from being used together; None if nothing does."""
    if train.shape != validation.shape:
        return (
            f"images are {_sides(train)} for training, but {_sides(validation)} for validation. Resize them to the"
            " same size and number of channels."
        )
    ours, theirs = tuple(train.classes), tuple(validation.classes)
    if ours == theirs:
        return None
    if [str(name).lower() for name in ours] == [str(name).lower() for name in theirs]:
        names = [f"'{a}' and '{b}'" for a, b in zip(ours, theirs, strict=True) if a != b]
        return f"class names differ only in capitals: {', '.join(names[:10])}. Use the same names in both."
    if sorted(map(str, ours)) == sorted(map(str, theirs)):
        return "both have the same classes, but in another order. Use one order, so that labels mean the same."
    at = next((at for at, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    names = [f"'{one[at]}'" if at < len(one) else "missing" for one in (ours, theirs)]
    return (
        f"there are {len(ours)} classes for training and {len(theirs)} for validation, and class {at} is {names[0]} for"
        f" training, but {names[1]} for validation. Use the same classes in both."
    )


def _images_problem(images: Any) -> str | None:
    if not isinstance(images, Tensor):
        how = " Use torch.from_numpy(images)." if type(images).__module__ == "numpy" else ""
        return f"images must be a torch tensor, but it is {_named(images)}.{how}"
    shape = "×".join(map(str, images.shape))
    if images.ndim != 4:
        how = " Add the channel: images.unsqueeze(1)." if images.ndim == 3 else ""
        return f"images must have 4 dimensions, N×C×H×W, but the shape is {shape or 'that of a single number'}.{how}"
    if images.shape[1] not in CHANNELS and images.shape[3] in CHANNELS:
        return f"images must be N×C×H×W, but the shape {shape} has the channels last. Use images.permute(0, 3, 1, 2)."
    if images.dtype != torch.uint8:
        how = "images.to(torch.uint8), after scaling them to 0..255"
        if images.is_floating_point() and images.numel() and images.min() >= 0 and images.max() <= 1:
            how = "(images * 255).round().to(torch.uint8)"
        return f"images must be uint8, but they are {_dtype(images)}. Use {how}."
    if 0 in images.shape:
        return f"there must be at least one image with at least one pixel, but the shape is {shape}."
    return None


def _labels_problem(given: ImageSet) -> str | None:
    labels: Any = given.labels
    count = len(given.images)
    if not isinstance(labels, Tensor):
        return f"labels must be a torch tensor, but it is {_named(labels)}. Use torch.as_tensor(labels).long()."
    if labels.ndim != 1:
        how = "labels.argmax(1)" if labels.ndim == 2 and labels.shape[1] > 1 else "labels.reshape(-1)"
        shape = "×".join(map(str, labels.shape)) or "that of a single number"
        return f"labels must have one number per image, but the shape is {shape}. Use {how}."
    if len(labels) != count:
        return f"there must be one label per image, but there are {len(labels):,} labels for {count:,} images."
    if labels.dtype != torch.int64:
        return f"labels must be int64, but they are {_dtype(labels)}. Use labels.long()."
    return None


def _names_problem(given: ImageSet) -> str | None:
    labels, classes, paths = given.labels, given.classes, given.paths
    for name, value in (("classes", classes), ("paths", paths)):
        if not isinstance(value, tuple | list):
            return f"{name} must be a tuple of names, but it is {_named(value)}. Use tuple({name})."
    odd = next((path for path in paths if not isinstance(path, str)), None)
    if odd is not None:
        return f"paths must be texts, but one of them is {odd!r}. Use tuple(map(str, paths))."
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(classes):
        how = " Labels count from 0: use labels - 1." if low == 1 and high == len(classes) else ""
        return (
            f"labels must lie between 0 and {len(classes) - 1}, because there are {len(classes)} class names, but they"
            f" lie between {low} and {high}.{how}"
        )
    if len(paths) not in (0, len(labels)):
        return f"paths must be empty or name the file of each image, but there are {len(paths):,} for {len(labels):,}."
    return None


def _named(value: Any) -> str:
    kind = type(value)
    what = kind.__name__ if kind.__module__ in ("builtins", "torch") else f"{kind.__module__}.{kind.__qualname__}"
    return f"of the type {what}"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _sides(images: ImageSet) -> str:
    channels, height, width = images.shape
    return f"{channels}×{height}×{width} (C×H×W)"
