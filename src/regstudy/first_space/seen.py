"""What was seen of a user's images before any space exists: facts only, no choice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from regstudy.first_space.group_patterns import GroupProposal

EQUAL = 1.05  # sides that differ by less count as equal


@dataclass(frozen=True)
class PictureSample:
    """``sides`` are width and height of the pictures whose headers were read; some of them were decoded, too.

    ``unreadable`` has the reason by name. ``copies`` counts the decoded pictures that are near duplicates of others.
    """

    sides: tuple[tuple[int, int], ...]
    decoded: int
    gray: int
    stored_as_color: bool = False  # although the decoded pictures are gray
    unreadable: Mapping[str, str] = field(default_factory=dict)
    copies: int = 0

    @property
    def short_sides(self) -> list[int]:
        """The shorter side of each picture, ascending."""
        return sorted(min(sides) for sides in self.sides)

    @property
    def short_side(self) -> int:
        """The median of the shorter sides."""
        return round(median(self.short_sides))

    def side(self, fit: str) -> int:
        """The median of the side that becomes the size of the square: the longer one if the rest is padded."""
        longer = round(median(max(sides) for sides in self.sides))
        return longer if fit == "pad" else self.short_side

    @property
    def shapes(self) -> list[float]:
        """Longer side / shorter side of each picture, ascending."""
        return sorted(max(sides) / min(sides) for sides in self.sides)

    @property
    def uniform(self) -> bool:
        """Whether all pictures are squares of one size."""
        return len(set(self.sides)) == 1 and self.square

    @property
    def square(self) -> bool:
        """Whether all pictures are about square."""
        return self.shapes[-1] < EQUAL

    @property
    def all_gray(self) -> bool:
        """Whether no decoded picture has a color."""
        return self.gray == self.decoded > 0


@dataclass(frozen=True)
class Seen:
    """Images of a folder or table.

    ``source`` are the keys of the data section that say where they are. ``parts`` has the number of images of each
    part; ``per_class`` that of each class in training, ``labels`` and ``group_of`` its number for each of these images.
    """

    source: Mapping[str, str]
    place: str
    parts: Mapping[str, int]
    per_class: Mapping[str, int]
    sample: PictureSample
    group: GroupProposal | None = None
    groups_in_both: int = 0  # of training and of a validation part of the data set's own
    notes: tuple[str, ...] = ()
    labels: Sequence[int] = ()
    group_of: Sequence[int] | None = None

    @property
    def images(self) -> int:
        """The images of the training part."""
        return self.parts["train"]

    @property
    def own_validation(self) -> int:
        """The images of a validation part of the data set's own; 0 if it has none."""
        return self.parts.get("validation", 0)

    @property
    def imbalance(self) -> float:
        """How many times larger the largest class is than the smallest."""
        return max(self.per_class.values()) / max(min(self.per_class.values()), 1)

    def unequal(self, times: float) -> bool:
        """Whether the largest class is more than so many times as large as the smallest, and not by chance."""
        most, fewest = max(self.per_class.values()), min(self.per_class.values())
        return self.imbalance > times and most - fewest > 2 * math.sqrt(most)
