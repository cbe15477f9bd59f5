"""The section `study` of a file: the metric to optimize, and the seed from which all others are derived."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from regstudy.config.fingerprint import Since
from regstudy.config.metrics import METRICS, VALIDATION
from regstudy.config.schema import AnyMetric, Section
from regstudy.errors import Problem, unknown

DIRECTIONS: dict[str, Literal["maximize", "minimize"]] = {
    f"{VALIDATION}{name}": "maximize" if metric.maximize else "minimize" for name, metric in METRICS.items()
}


class StudySection(Section):
    """Settings of a study.

    ``metric`` decides; those in ``also`` are recorded, too. ``nuisance``: paths of hyperparameters that are tuned but not
    under study.
    """

    metric: AnyMetric = "val_accuracy"
    also: Annotated[tuple[AnyMetric, ...], Field(strict=False), Since("0.2.0")] = ()
    direction: Literal["maximize", "minimize"] | None = None  # follows from the metric
    nuisance: Annotated[tuple[str, ...], Field(strict=False)] = ()
    seed: Annotated[int, Field(ge=0)] = 0

    @property
    def measured(self) -> dict[str, Any]:
        """What the section `training` of a run must say: the metric that decides, and those that are recorded."""
        return {"metric": self.metric, "also": list(self.also)}

    def plain(self) -> dict[str, Any]:
        """As plain values for a file."""
        return self.model_dump(mode="json", exclude_none=True)


def parse_study_section(raw: Any, problems: list[Problem]) -> StudySection:
    """The section from plain values, or the defaults from None; problems are appended."""
    try:
        study = StudySection.model_validate({} if raw is None else raw)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            path = ".".join(["study", *map(str, detail["loc"])])
            if detail["type"] == "extra_forbidden":
                message = unknown("key", str(detail["loc"][-1]), StudySection.model_fields)
            elif detail["type"] == "model_type":
                message = f"must be a mapping of keys to values, but it is {detail['input']!r}."
            else:
                message = f"{detail['msg'][0].lower()}{detail['msg'][1:]}, but it is {detail['input']!r}."
            problems.append(Problem(path, message))
        return StudySection()
    direction = DIRECTIONS[study.metric]
    if study.direction not in (None, direction):
        problems.append(
            Problem("study.direction", f"must be {direction} for the metric {study.metric}; you can leave it out.")
        )
    return study.model_copy(update={"direction": direction})
