"""The result of an examination: findings in the doctor's order, what was checked, and what was skipped.

Nothing here computes: checks make findings, `examine` sorts them, the command and the page show them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from regstudy.text import counted

Severity = Literal["blocks", "distorts", "note"]
Sure = Literal["certain", "very likely", "likely"]
SEVERITIES: dict[Severity, str] = {
    "blocks": "blocks the study",
    "distorts": "distorts results",
    "note": "note",
}
STAGES = {  # in the order to fix them: later stages cannot be judged while earlier ones are wrong
    "data": "leakage and labels",
    "split": "train/validation split",
    "inputs": "normalization",
    "training": "model and optimization",
    "regularizers": "are the regularizers active?",
    "capacity": "capacity",
}
CONSEQUENCES = {"cannot-learn"}  # of any other finding in its stage
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Finding:
    """One problem or note.

    ``id`` is stable; ``evidence`` holds numbers and file names, one sentence each; ``changes`` are values of
    configuration paths that fix it, if the configuration can.
    """

    id: str
    stage: str
    severity: Severity
    sentence: str
    evidence: tuple[str, ...] = ()
    advice: str = ""
    sure: Sure = "certain"
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pictures:
    """Images H×W×3, each with a caption; with ``columns`` 2 they are pairs."""

    id: str
    title: str
    images: tuple[Pixels, ...]
    captions: tuple[str, ...]
    columns: int = 0


@dataclass(frozen=True)
class Chart:
    """A line or bar chart: ``series`` by name, each with x (numbers or names) and y values."""

    id: str
    title: str
    x: str
    y: str
    series: Mapping[str, tuple[tuple[Any, ...], tuple[float, ...]]]
    kind: Literal["bars", "lines"] = "lines"
    log_x: bool = False
    log_y: bool = False


Media = Pictures | Chart


@dataclass(frozen=True)
class Result:
    """The result of one check: what it measured, as text; its findings; and pictures and charts."""

    examined: str
    findings: tuple[Finding, ...] = ()
    media: tuple[Media, ...] = ()


@dataclass(frozen=True)
class Unjudged:
    """A check that was skipped, and why: "fix … first", or the depth that it needs."""

    check: str
    stage: str
    why: str


@dataclass(frozen=True)
class Checked:
    """A check that ran, with what it measured and the number of its findings."""

    check: str
    stage: str
    examined: str
    findings: int = 0


@dataclass(frozen=True)
class Diagnosis:
    """A complete examination, with findings in the order to fix them."""

    subject: str
    findings: tuple[Finding, ...]
    checked: tuple[Checked, ...]
    unjudged: tuple[Unjudged, ...] = ()
    media: tuple[Media, ...] = ()
    seconds: float = 0.0

    @property
    def blocks(self) -> tuple[Finding, ...]:
        """The findings that block a study."""
        return tuple(finding for finding in self.findings if finding.severity == "blocks")

    def first(self, stage: str) -> Finding | None:
        """The finding to fix first in a stage."""
        return next((finding for finding in self.findings if finding.stage == stage), None)

    @property
    def verdict(self) -> str:
        """The diagnosis in one sentence."""
        if not self.findings:
            return f"No findings in {counted(len(self.checked), 'check')}."
        return f"{counted(len(self.findings), 'finding')} ({severity_counts(self.findings)})."

    def __str__(self) -> str:
        from regstudy.doctor.render.diagnosis_phrasing import lines

        return "\n".join(lines(self, 110))

    def _repr_html_(self) -> str:
        from regstudy.doctor.render.diagnosis_phrasing import notebook_html

        return notebook_html(self)

    def plain(self) -> dict[str, Any]:
        """As nested plain values for JSON, without media; `parse` reads it."""
        return {
            "subject": self.subject,
            "verdict": self.verdict,
            "findings": [
                {**asdict(f), "changes": dict(f.changes), "evidence": list(f.evidence)} for f in self.findings
            ],
            "checked": [asdict(check) for check in self.checked],
            "not_judged": [asdict(check) for check in self.unjudged],
            "seconds": round(self.seconds, 1),
        }


def parse(plain: Mapping[str, Any]) -> Diagnosis:
    """The inverse of `Diagnosis.plain`."""
    return Diagnosis(
        plain["subject"],
        tuple(Finding(**{**finding, "evidence": tuple(finding["evidence"])}) for finding in plain["findings"]),
        tuple(Checked(**check) for check in plain["checked"]),
        tuple(Unjudged(**check) for check in plain["not_judged"]),
        seconds=plain["seconds"],
    )


def severity_counts(findings: Sequence[Finding]) -> str:
    """How many findings there are of each severity, as in "1 blocks the study, 2 notes"."""
    words: dict[Severity, tuple[str, str]] = {
        "blocks": ("blocks the study", "block the study"),
        "distorts": ("distorts results", "distort results"),
        "note": ("note", "notes"),
    }
    counts = {severity: sum(finding.severity == severity for finding in findings) for severity in words}
    return ", ".join(f"{count} {words[severity][count > 1]}" for severity, count in counts.items() if count)


def in_order(findings: list[Finding]) -> tuple[Finding, ...]:
    """By stage, then by severity, consequences after possible causes; otherwise as given."""
    stages, severities = list(STAGES), list(SEVERITIES)

    def place(finding: Finding) -> tuple[int, float]:
        gravity = float(severities.index(finding.severity))
        return stages.index(finding.stage), 1.5 if finding.id in CONSEQUENCES else gravity

    return tuple(sorted(findings, key=place))
