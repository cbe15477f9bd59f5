"""What the best answer that ignores the images scores; a result that does not beat it shows that nothing was learned.

With 760 healthy and 40 sick images, always answering "healthy" has 95 % accuracy, not 50 %. The best constant answer
has the share of the largest class as its accuracy, and the entropy of the class shares as its loss (nats).

The classes are those of the validation part. A study stores how many images each has there; of an older study the
doctor's note of the largest class is used. Without that either, the classes are taken as equally large, which
understates the constant answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

EXACTNESS = 1e-6  # smaller differences are rounding
CountSource = Literal["counted", "doctor", "assumed"]
_LARGEST_OF = re.compile(r"to (\d+) validation images each")  # in the doctor's stored check of the classes


def _entropy(shares: Sequence[float]) -> float:
    return -sum(share * math.log(share) for share in shares if share > 0)


_SCORES: dict[str, tuple[Callable[[Sequence[float]], float], bool]] = {  # by metric, and whether more is better
    "val_accuracy": (max, True),
    "val_loss": (_entropy, False),
}


@dataclass(frozen=True)
class ConstantAnswer:
    """Its score in one metric. ``source`` says where the class sizes come from: they are exact unless ``assumed``."""

    metric: str
    value: float
    classes: int
    largest: str = ""  # the class that is always answered; empty if none is larger than all others, or if unknown
    source: CountSource = "counted"

    def beaten_by(self, value: float) -> bool:
        """Whether a result is better than the constant answer; NaN is not."""
        gain = value - self.value if _SCORES[self.metric][1] else self.value - value
        return gain > EXACTNESS


def constant_value(metric: str, counts: Sequence[float]) -> float:
    """The score of the best constant answer on images of which each class has so many; KeyError for other metrics."""
    total = sum(counts)
    return float(_SCORES[metric][0]([count / total for count in counts]))


def constant_answer(
    data: Mapping[str, Any], metric: str | None, doctor: Mapping[str, Any] | None = None
) -> ConstantAnswer | None:
    """The best constant answer, from what a study stores about its images; None for unknown metrics or classes.

    ``doctor`` is the stored examination of an older study.
    """
    names = data.get("classes")
    if metric not in _SCORES or not isinstance(names, list) or not names:
        return None
    counts = data.get("validation_per_class")
    if isinstance(counts, list) and len(counts) == len(names) and sum(counts) > 0:
        top = max(counts)
        largest = str(names[counts.index(top)]) if counts.count(top) == 1 else ""
        return ConstantAnswer(metric, constant_value(metric, counts), len(names), largest)
    known = _counts_by_doctor(data.get("validation"), len(names), doctor or {})
    if known is not None and (metric == "val_accuracy" or len(names) == 2):
        return ConstantAnswer(metric, constant_value(metric, known), len(names), source="doctor")
    return ConstantAnswer(metric, constant_value(metric, [1] * len(names)), len(names), source="assumed")


def _counts_by_doctor(total: Any, classes: int, doctor: Mapping[str, Any]) -> list[float] | None:
    """The size of the largest class, with the rest spread over the others; None unless the doctor stored it."""
    if not isinstance(total, int) or classes < 2:
        return None
    for check in doctor.get("checked") or ():
        if check.get("check") == "classes" and (found := _LARGEST_OF.search(str(check.get("examined")))):
            largest = int(found[1])
            rest = (total - largest) / (classes - 1)
            return [largest, *[rest] * (classes - 1)] if 0 <= rest <= largest else None
    return None
