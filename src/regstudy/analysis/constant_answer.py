"""What the best answer that ignores the images scores; a result that does not beat it shows that nothing was learned.

With 760 healthy and 40 sick images, always answering "healthy" has 95 % accuracy, not 50 %. The best constant answer
has the share of the largest class as its accuracy, and the entropy of the class shares as its loss (nats); for the
others see `regstudy.metrics`.

The classes are those of the validation part. A study stores how many images each has there; of an older study the
doctor's note of the largest class is used. Without that either, the classes are taken as equally large, which
understates the constant answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from regstudy.metrics import is_metric, metric

EXACTNESS = 1e-6  # smaller differences are rounding
CountSource = Literal["counted", "doctor", "assumed"]
_LARGEST_OF = re.compile(r"to (\d+) validation images each")  # in the doctor's stored check of the classes


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
        gain = value - self.value if metric(self.metric).maximize else self.value - value
        return gain > EXACTNESS


def constant_value(name: str, counts: Sequence[float], positive: int = 1) -> float:
    """The score of the best constant answer on images of which each class has so many.

    ``name`` is that of a metric, ``positive`` the number of the class whose average precision is measured. Raises
    KeyError for other names.
    """
    total = sum(counts)
    return float(metric(name).constant([count / total for count in counts], positive))


def constant_answer(
    data: Mapping[str, Any], name: str | None, doctor: Mapping[str, Any] | None = None
) -> ConstantAnswer | None:
    """The best constant answer, from what a study stores about its images; None for unknown metrics or classes.

    ``doctor`` is the stored examination of an older study.
    """
    names = data.get("classes")
    if name is None or not is_metric(name) or not isinstance(names, list) or not names:
        return None
    positive = names.index(data["positive"]) if data.get("positive") in names else len(names) - 1
    counts = data.get("validation_per_class")
    if isinstance(counts, list) and len(counts) == len(names) and sum(counts) > 0:
        top = max(counts)
        largest = str(names[counts.index(top)]) if counts.count(top) == 1 else ""
        return ConstantAnswer(name, constant_value(name, counts, positive), len(names), largest)
    known = _counts_by_doctor(data.get("validation"), len(names), doctor or {})
    if known is not None and (name == "val_accuracy" or len(names) == 2):
        return ConstantAnswer(name, constant_value(name, known, positive), len(names), source="doctor")
    return ConstantAnswer(name, constant_value(name, [1] * len(names), positive), len(names), source="assumed")


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
