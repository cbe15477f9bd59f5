"""What the doctor said before a study began, as the study keeps it, and as checks for its report.

Kept are either {"skipped": why nothing was examined}, or what `doctor.findings.Diagnosis.plain` gives with the
"split_hash" of the images and the "fingerprint" of the space that were examined, and "forced" if the study was
started in spite of findings that make it meaningless.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from regstudy.report.curve_checks import CheckSeverity, StudyCheck

WORDS: dict[str, CheckSeverity] = {"blocks": "act", "distorts": "act", "note": "note"}


@dataclass(frozen=True)
class Diagnosed:
    """The doctor's findings in a sentence and as checks, in the doctor's order."""

    words: str
    checks: list[StudyCheck]


def kept(diagnosis: Mapping[str, Any], split_hash: str, fingerprint: str, *, forced: bool) -> dict[str, Any]:
    """What a study keeps of a plain diagnosis."""
    return {**diagnosis, "split_hash": split_hash, "fingerprint": fingerprint, "forced": forced}


def holds_for(facts: Mapping[str, Any], split_hash: str, fingerprint: str) -> bool:
    """Whether a study keeps a diagnosis of just these images and this space."""
    known = facts.get("split_hash"), facts.get("fingerprint")
    return "findings" in facts and known == (split_hash, fingerprint)


def diagnosed(facts: Mapping[str, Any]) -> Diagnosed:
    """What a study keeps, in the words of its report."""
    if "findings" not in facts:
        why = str(facts.get("skipped") or "it is not known why")
        advice = "Examine it now: `regstudy doctor` with the folder of this study."
        return Diagnosed(
            f"The doctor examined nothing before the search ({why}).",
            [StudyCheck("doctor:skipped", "note", f"Data, split and training were not examined: {why}.", advice)],
        )
    found = [
        StudyCheck(
            f"doctor:{finding['id']}", WORDS[finding["severity"]], str(finding["sentence"]), str(finding["advice"])
        )
        for finding in facts["findings"]
    ]
    checked = len(facts.get("checked", ()))
    if not found:
        return Diagnosed(
            f"The doctor found nothing in {checked} checks.",
            [
                StudyCheck(
                    "doctor:clean", "fine", f"The doctor found nothing in {checked} checks before the search.", ""
                )
            ],
        )
    words = f"The doctor, before the search: {str(facts['verdict'])[:1].lower()}{str(facts['verdict'])[1:]}"
    if facts.get("forced"):
        words = f"The study was started with --force in spite of what the doctor found. {words}"
    return Diagnosed(words, found)
