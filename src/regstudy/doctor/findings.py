"""What an examination says: findings in the doctor's order, what was looked at, and what could not be judged.

Nothing here computes; checks make findings, `examine` puts them in order, the command and the page show them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from regstudy.text import counted

Severity = Literal["blocks", "distorts", "note"]
Sure = Literal["certain", "very likely", "likely"]
SEVERITIES: dict[Severity, str] = {
    "blocks": "makes a study meaningless",
    "distorts": "distorts a study",
    "note": "worth knowing",
}
STAGES = {  # in the order in which they are fixed: what comes later cannot be judged while earlier ones are wrong
    "data": "leakage and labels",
    "split": "the split",
    "inputs": "normalisation",
    "training": "trainability and optimisation",
    "regularizers": "are the regularizers active?",
    "capacity": "capacity",
}
CONSEQUENCES = {"cannot-learn"}  # of whatever else was found in its stage
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or worth knowing.

    ``id`` is stable; ``evidence`` holds numbers and file names, one sentence each; ``changes`` are the values of
    configuration paths that fix it, where a configuration can.
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
    """Images H×W×3 to look at with a caption each; with ``columns`` 2 they are pairs."""

    id: str
    title: str
    images: tuple[Pixels, ...]
    captions: tuple[str, ...]
    columns: int = 0


@dataclass(frozen=True)
class Chart:
    """Lines or bars to draw: ``series`` by name, each its x (numbers or names) and y values."""

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
    """Of one check: in words what it looked at and saw, its findings, and what there is to show."""

    looked_at: str
    findings: tuple[Finding, ...] = ()
    media: tuple[Media, ...] = ()


@dataclass(frozen=True)
class Unjudged:
    """A check that was not made, and why: "not judged until …", or what it would have needed."""

    check: str
    stage: str
    why: str


@dataclass(frozen=True)
class Checked:
    """A check that was made, with what it looked at and how many findings it had."""

    check: str
    stage: str
    looked_at: str
    findings: int = 0


@dataclass(frozen=True)
class Diagnosis:
    """A whole examination; findings are in the order in which they should be fixed."""

    subject: str
    findings: tuple[Finding, ...]
    checked: tuple[Checked, ...]
    unjudged: tuple[Unjudged, ...] = ()
    media: tuple[Media, ...] = ()
    seconds: float = 0.0

    @property
    def blocks(self) -> tuple[Finding, ...]:
        """The findings that make a study meaningless."""
        return tuple(finding for finding in self.findings if finding.severity == "blocks")

    def first(self, stage: str) -> Finding | None:
        """What should be fixed first in a stage."""
        return next((finding for finding in self.findings if finding.stage == stage), None)

    @property
    def verdict(self) -> str:
        """The diagnosis in a sentence."""
        counts = {severity: sum(f.severity == severity for f in self.findings) for severity in SEVERITIES}
        if not self.findings:
            return f"Nothing found in {len(self.checked)} checks."
        words: dict[Severity, tuple[str, str, str]] = {
            "blocks": ("makes", "make", " a study meaningless"),
            "distorts": ("distorts", "distort", " a study"),
        }
        parts = [
            f"{counts[name]} that {one if counts[name] == 1 else several}{rest}"
            for name, (one, several, rest) in words.items()
            if counts[name]
        ]
        parts += [f"{counts['note']} worth knowing"] if counts["note"] else []
        return f"{counted(len(self.findings), 'finding')}: {', '.join(parts)}."

    def __str__(self) -> str:
        from regstudy.doctor.render.diagnosis_phrasing import lines

        return "\n".join(lines(self, 110))

    def _repr_html_(self) -> str:
        from regstudy.doctor.render.diagnosis_phrasing import notebook_html

        return notebook_html(self)

    def plain(self) -> dict[str, Any]:
        """As nested plain values for JSON, without pictures; `parse` reads it."""
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


def in_order(findings: list[Finding]) -> tuple[Finding, ...]:
    """Stage by stage, within a stage the gravest first, consequences behind possible causes; else as given."""
    stages, severities = list(STAGES), list(SEVERITIES)

    def place(finding: Finding) -> tuple[int, float]:
        gravity = float(severities.index(finding.severity))
        return stages.index(finding.stage), 1.5 if finding.id in CONSEQUENCES else gravity

    return tuple(sorted(findings, key=place))
