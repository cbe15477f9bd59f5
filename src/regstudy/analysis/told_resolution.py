"""What the ablation of an answer can tell within its budget, as it is stored with the study."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from regstudy.analysis.answer_plan import AnswerPlan, Noise


@dataclass(frozen=True)
class ToldResolution:
    """The resolution of an `AnswerPlan`, in the metric's unit and in seconds; NaN and infinity are not stored.

    ``regularizers`` and ``runs``: how many may be on in the winner, and how many ablation runs are planned; ``images``:
    in validation; ``half_width`` is NaN before the noise is known; ``why_none``: why no ablation was made though one
    was planned.
    """

    budget: float
    margin: float
    regularizers: int
    runs: int
    images: int
    half_width: float = math.inf
    told: float = math.inf
    for_margin: float = math.inf
    for_ablation: float = math.inf
    why_none: str = ""

    def plain(self) -> dict[str, Any]:
        """As an attribute."""
        known = asdict(self)
        return {key: value for key, value in known.items() if isinstance(value, str) or math.isfinite(value)}


def resolution_of(plan: AnswerPlan, noise: Noise, margin: float, budget: float) -> ToldResolution:
    """That of a plan."""
    return ToldResolution(
        budget, margin, len(plan.regularizers), plan.runs["ablate"], noise.images, plan.half_width, plan.told,
        plan.for_margin, plan.for_ablation,
    )  # fmt: skip


def parse_resolution(stored: Mapping[str, Any]) -> ToldResolution | None:
    """What `plain` has stored; None if there is nothing."""
    known = {key: value for key, value in stored.items() if key in ToldResolution.__dataclass_fields__}
    return ToldResolution(**known) if known else None
