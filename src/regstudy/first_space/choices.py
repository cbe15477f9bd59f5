"""What a first space says about images, whatever the machine: pure rules, each with its reason.

How large the network, the images and the number of epochs are depends on the machine: see `evening`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from regstudy.first_space.class_hints import harmful
from regstudy.first_space.seen import Seen

OPERATIONS = ("crop", "rotate", "scale", "flip", "color")
LONGEST_CROPPED = 1.6  # longer side / shorter side; of longer images, a crop loses too much
UNEQUAL, VERY_UNEQUAL = 1.5, 3.0  # largest class / smallest class
RARE = 0.1  # share of the positive class below which it is the only one that matters
FEW_IMAGES = 5_000
SMALL_STUDY = 2_000  # images below which one validation part is a matter of luck
LEAST_IN_CLASS = 10  # images, or groups, of each class for folds
MOST_COMPARED = 20_000  # images: comparing all pairs takes 10 s with so many, and four times as long with twice as many
COPIES = 0.01  # share of copies from which they must be kept together
BATCHES = ((1_000, (16, 64, 32)), (10_000, (32, 128, 64)), (10**12, (64, 256, 128)))  # up to so many images


@dataclass(frozen=True)
class Choices:
    """Values of a space. ``batch`` is low, high, default; ``without`` has the reason by operation left out."""

    fit: str
    channels: int
    validation: float | None  # None: the data set has its own validation part
    group: str | None
    skip_unreadable: bool
    metric: str
    also: tuple[str, ...]
    positive: str | None
    balance: bool
    batch: tuple[int, int, int]
    operations: tuple[str, ...]
    without: Mapping[str, str] = field(default_factory=dict)
    foldable: bool = False


def choose(seen: Seen) -> Choices:
    """What suits the images."""
    metric, also, positive = _metric(seen)
    without = harmful(list(seen.per_class))
    return Choices(
        fit=_fit(seen),
        channels=1 if seen.sample.all_gray else 3,
        validation=None if seen.own_validation else 0.2 if seen.images < FEW_IMAGES else 0.1,
        group=_group(seen),
        skip_unreadable=bool(seen.sample.unreadable),
        metric=metric,
        also=also,
        positive=positive,
        balance=seen.unequal(VERY_UNEQUAL),
        batch=next(batch for most, batch in BATCHES if seen.images < most),
        operations=tuple(one for one in OPERATIONS if one not in without),
        without=without,
        foldable=not seen.own_validation and seen.images < SMALL_STUDY and _smallest(seen) >= LEAST_IN_CLASS,
    )


def _fit(seen: Seen) -> str:
    shapes = seen.sample.shapes
    return "pad" if shapes[len(shapes) // 2] > LONGEST_CROPPED else "crop"


def _group(seen: Seen) -> str | None:
    if seen.group is not None:
        return seen.group.rule
    many = seen.sample.copies >= max(1.0, COPIES * seen.sample.decoded)
    return "near_duplicates" if many and sum(seen.parts.values()) <= MOST_COMPARED else None


def _smallest(seen: Seen) -> float:
    """The images of the smallest class, or about how many groups it has."""
    smallest = min(seen.per_class.values())
    return smallest if seen.group is None else smallest * seen.group.groups / seen.images


def _metric(seen: Seen) -> tuple[str, tuple[str, ...], str | None]:
    """The metric that decides, those that are recorded, and the positive class where it matters."""
    if not seen.unequal(UNEQUAL):
        return "accuracy", (), None
    rarer = min(seen.per_class, key=lambda name: seen.per_class[name])
    if len(seen.per_class) > 2:
        return "balanced_accuracy", ("macro_f1",), None
    if seen.per_class[rarer] < RARE * seen.images:
        return "average_precision", ("balanced_accuracy",), rarer
    return "balanced_accuracy", ("auroc",), None
