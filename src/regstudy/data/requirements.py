"""What a set of images must be, said one requirement at a time: what is wrong, and how to convert it.

Data sets of the user's own may return anything.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from regstudy.data.image_set import ImageSet

CHANNELS = (1, 2, 3, 4)


def requirement_problem(given: ImageSet) -> str | None:
    """The first requirement that a set of images does not meet, what was given, and how to convert it."""
    return (
        _images_problem(given.images)
        or _numbers_problem("labels", given.labels, given.images)
        or (_numbers_problem("groups", given.groups, given.images) if given.groups is not None else None)
        or _names_problem(given)
    )


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
    if images.shape[2] != images.shape[3]:
        return (
            f"images must be square, but the shape is {shape}. Return (images, labels, classes) instead of an ImageSet:"
            " then they are resized to data.size by data.fit."
        )
    return None


def _numbers_problem(name: str, values: Any, images: Tensor) -> str | None:
    """What is wrong with labels or groups."""
    count = len(images)
    if not isinstance(values, Tensor):
        return f"{name} must be a torch tensor, but it is {_named(values)}. Use torch.as_tensor({name}).long()."
    if values.ndim != 1:
        how = f"{name}.argmax(1)" if values.ndim == 2 and values.shape[1] > 1 else f"{name}.reshape(-1)"
        shape = "×".join(map(str, values.shape)) or "that of a single number"
        return f"{name} must have one number per image, but the shape is {shape}. Use {how}."
    if len(values) != count:
        single = name.removesuffix("s")
        return f"there must be one {single} per image, but there are {len(values):,} {name} for {count:,} images."
    if values.dtype != torch.int64:
        return f"{name} must be int64, but they are {_dtype(values)}. Use {name}.long()."
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
