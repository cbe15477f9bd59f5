"""The section `study` of a file: the metric to optimize, and the seed from which all others are derived."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from regstudy.config.fields import field_paths
from regstudy.config.fingerprint import Since
from regstudy.config.known_keys import unknown_key
from regstudy.config.run_config import RunConfig
from regstudy.config.schema import AnyMetric, Section
from regstudy.config.value_words import value_words
from regstudy.errors import Problem, unknown
from regstudy.metrics import METRICS, VALIDATION, metric

DIRECTIONS: dict[str, Literal["maximize", "minimize"]] = {
    f"{VALIDATION}{name}": "maximize" if metric.maximize else "minimize" for name, metric in METRICS.items()
}


class StudySection(Section):
    """Settings of a study.

    ``metric`` decides; those in ``also`` are recorded, too. ``nuisance``: paths of hyperparameters that are tuned but
    not under study. ``gap_at_most``: only trials whose gap is at most this may win, in the unit of the metric: 0.05 are
    5 points of a share, or 0.05 nats of the loss.
    """

    metric: AnyMetric = "val_accuracy"
    also: Annotated[tuple[AnyMetric, ...], Field(strict=False), Since("0.2.0")] = ()
    direction: Literal["maximize", "minimize"] | None = None  # follows from the metric
    nuisance: Annotated[tuple[str, ...], Field(strict=False)] = ()
    seed: Annotated[int, Field(ge=0)] = 0
    gap_at_most: Annotated[float | None, Field(ge=0.0), Since("0.2.0")] = None

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
            path = ".".join(["study", *(key for key in detail["loc"] if isinstance(key, str))])
            if detail["type"] == "extra_forbidden":
                message = unknown_key(
                    "study", str(detail["loc"][-1]), StudySection.model_fields, field_paths(RunConfig)
                )
            elif detail["type"] == "literal_error":
                allowed = METRICS if path in ("study.metric", "study.also") else DIRECTIONS.values()
                message = unknown("value", str(detail["input"]), allowed)
            else:
                message = value_words([detail])
            problems.append(Problem(path, message))
        return StudySection()
    direction = DIRECTIONS[study.metric]
    if study.direction not in (None, direction):
        problems.append(
            Problem("study.direction", f"must be {direction} for the metric {study.metric}; you can leave it out.")
        )
    if wrong := _wrong_limit(study):
        problems.append(Problem("study.gap_at_most", wrong))
    return study.model_copy(update={"direction": direction})


def _wrong_limit(study: StudySection) -> str:
    """Why the limit on the gap is none, as if it were given in percent; empty if it is one."""
    limit = study.gap_at_most
    if limit is None or limit < 1 or not metric(study.metric).percent:
        return ""
    meant = f" Did you mean {limit / 100:g}?" if limit < 100 else ""
    return f"must be a share below 1, but it is {limit:g}. 0.05 stands for a gap of 5 points.{meant}"
