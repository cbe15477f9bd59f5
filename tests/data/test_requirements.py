"""What is said about a data set of the user's own that cannot be used: what is wrong, and how to convert it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from regstudy.data.image_set import ImageSet
from regstudy.data.requirements import difference, requirement_problem

IMAGES = torch.zeros(6, 3, 8, 8, dtype=torch.uint8)
LABELS = torch.arange(6) % 2
NAMES = ("a", "b")


def made(images: Any = IMAGES, labels: Any = LABELS, classes: Any = NAMES, paths: Any = ()) -> ImageSet:
    return ImageSet(images, labels, classes, paths)


GOOD = {
    "plain": made(),
    "gray": made(IMAGES[:, :1]),
    "groups": ImageSet(IMAGES, LABELS, NAMES, (), LABELS),
    "lists of names": made(classes=["a", "b"], paths=[f"{n}.png" for n in range(6)]),
    "a class without images": made(classes=("a", "b", "c")),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_meets_the_requirements_has_no_problem(name: str) -> None:
    assert requirement_problem(GOOD[name]) is None


WRONG: dict[str, tuple[Any, str]] = {
    "an array": (made(IMAGES.numpy()), "type numpy.ndarray. Use torch.from_numpy(images)"),
    "a list of images": (made(list(IMAGES)), "images must be a torch tensor, but it is of the type list"),
    "no channels": (
        made(IMAGES[:, 0]),
        "4 dimensions, N×C×H×W, but the shape is 6×8×8. Add the channel: images.unsqueeze(1)",
    ),
    "a number": (made(IMAGES[0, 0, 0, 0]), "the shape is that of a single number"),
    "channels last": (
        made(IMAGES.permute(0, 2, 3, 1)),
        "6×8×8×3 has the channels last. Use images.permute(0, 3, 1, 2)",
    ),
    "floats": (made(IMAGES.float()), "must be uint8, but they are float32. Use (images * 255).round()"),
    "floats up to 255": (made(IMAGES.float() + 200), "after scaling them to 0..255"),
    "wide integers": (made(IMAGES.long()), "must be uint8, but they are int64. Use images.to(torch.uint8)"),
    "no images": (made(IMAGES[:0], LABELS[:0]), "at least one image"),
    "images without pixels": (made(IMAGES[:, :, :0]), "at least one pixel, but the shape is 6×3×0×8"),
    "labels in a list": (
        made(labels=[0, 1] * 3),
        "labels must be a torch tensor, but it is of the type list. Use torch.as_tensor",
    ),
    "one-hot labels": (made(labels=torch.eye(2)[LABELS]), "the shape is 6×2. Use labels.argmax(1)"),
    "labels in a column": (made(labels=LABELS[:, None]), "the shape is 6×1. Use labels.reshape(-1)"),
    "too few labels": (made(labels=LABELS[:4]), "there are 4 labels for 6 images"),
    "short labels": (made(labels=LABELS.int()), "labels must be int64, but they are int32. Use labels.long()"),
    "float labels": (made(labels=LABELS.float()), "labels must be int64, but they are float32"),
    "labels from 1": (made(labels=LABELS + 1), "lie between 1 and 2. Labels count from 0: use labels - 1"),
    "a label too high": (
        made(labels=LABELS * 5),
        "between 0 and 1, because there are 2 class names, but they lie between 0 and 5",
    ),
    "negative labels": (made(labels=LABELS - 1), "lie between -1 and 0"),
    "no class names": (made(classes=()), "there are 0 class names"),
    "a number of classes": (made(classes=2), "classes must be a tuple of names, but it is of the type int"),
    "names in one text": (made(classes="ab"), "classes must be a tuple of names, but it is of the type str"),
    "names in an array": (made(classes=np.array(["a", "b"])), "of the type numpy.ndarray. Use tuple(classes)"),
    "too few paths": (made(paths=("1.png",)), "there are 1 for 6"),
    "groups in a list": (
        ImageSet(IMAGES, LABELS, NAMES, (), [0] * 6),  # type: ignore[arg-type]
        "groups must be a torch tensor, but it is of the type list. Use torch.as_tensor(groups).long()",
    ),
    "too few groups": (ImageSet(IMAGES, LABELS, NAMES, (), LABELS[:4]), "one group per image, but there are 4 groups"),
    "oblong": (
        made(IMAGES[..., :6]),
        "images must be square, but the shape is 6×3×8×6. Return (images, labels, classes) instead",
    ),
    "paths that are no text": (made(paths=tuple(range(6))), "paths must be texts, but one of them is 0"),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_requirement_that_fails_is_named_with_the_way_to_meet_it(name: str) -> None:
    given, words = WRONG[name]
    problem = requirement_problem(given)
    assert problem is not None and words in problem and problem.endswith(".") and "\n" not in problem


DIFFERENT: dict[str, tuple[ImageSet, str]] = {
    "sizes": (made(IMAGES[..., :4]), "3×8×8 (C×H×W) for training, but 3×8×4 (C×H×W) for validation"),
    "channels": (made(IMAGES[:, :1]), "but 1×8×8"),
    "capitals": (made(classes=("A", "b")), "differ only in capitals: 'a' and 'A'. Use the same names"),
    "order": (made(classes=("b", "a")), "the same classes, but in another order"),
    "names": (made(classes=("a", "c")), "class 1 is 'b' for training, but 'c' for validation"),
    "fewer": (
        made(labels=LABELS * 0, classes=("a",)),
        "2 classes for training and 1 for validation, and class 1 is 'b'",
    ),
    "more": (made(classes=("a", "b", "c")), "class 2 is missing for training, but 'c' for validation"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_keeps_two_parts_apart_is_named(name: str) -> None:
    other, words = DIFFERENT[name]
    assert words in str(difference(made(), other))
    assert difference(other, other) is None
