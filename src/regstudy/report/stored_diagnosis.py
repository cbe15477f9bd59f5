"""The doctor's findings from before a study, as stored with the study and as checks for its report.

Stored is either {"skipped": reason}, or the result of `doctor.findings.Diagnosis.plain` with the "split_hash" of the
images and the "fingerprint" of the space that were examined, and "forced" if the study was started in spite of findings
that make it meaningless.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from regstudy.report.curve_checks import CheckSeverity, StudyCheck
from regstudy.text import counted

PREMATURE_STAGES = {"regularizers", "capacity"}  # for a network that has learned nothing
CHECK_SEVERITIES: dict[str, CheckSeverity] = {"blocks": "act", "distorts": "act", "note": "note"}


@dataclass(frozen=True)
class Diagnosed:
    """The doctor's findings in a sentence and as checks, in the doctor's order."""

    words: str
    checks: list[StudyCheck]


def as_stored(diagnosis: Mapping[str, Any], split_hash: str, fingerprint: str, *, forced: bool) -> dict[str, Any]:
    """A plain diagnosis as it is stored with a study."""
    return {**diagnosis, "split_hash": split_hash, "fingerprint": fingerprint, "forced": forced}


def holds_for(facts: Mapping[str, Any], split_hash: str, fingerprint: str) -> bool:
    """Whether the stored diagnosis is of exactly these images and this space."""
    known = facts.get("split_hash"), facts.get("fingerprint")
    return "findings" in facts and known == (split_hash, fingerprint)


def diagnosed(facts: Mapping[str, Any], *, learned: bool = True) -> Diagnosed:
    """The stored diagnosis as text and checks for the report.

    Where nothing was ``learned``, advice on regularizers would be premature, so those findings are left out.
    """
    if "findings" not in facts:
        why = str(facts.get("skipped") or "reason unknown").rstrip(".")
        advice = "Run `regstudy doctor` on the folder of this study."
        return Diagnosed(
            f"The doctor did not run before the search ({why}).",
            [StudyCheck("doctor:skipped", "note", f"Data, split and training were not checked: {why}.", advice)],
        )
    found = [
        StudyCheck(
            f"doctor:{finding['id']}",
            CHECK_SEVERITIES[finding["severity"]],
            str(finding["sentence"]),
            str(finding["advice"]),
        )
        for finding in facts["findings"]
        if learned or finding.get("stage") not in PREMATURE_STAGES
    ]
    left_out = len(facts["findings"]) - len(found)
    checked = len(facts.get("checked", ()))
    if not found and not left_out:
        return Diagnosed(
            f"The doctor found no problems in {counted(checked, 'check')}.",
            [
                StudyCheck(
                    "doctor:clean",
                    "fine",
                    f"The doctor found no problems in {counted(checked, 'check')} before the search.",
                )
            ],
        )
    found_words = re.sub(r": (.*)\.$", r" (\1).", str(facts["verdict"]))  # earlier versions wrote two colons
    words = f"Doctor, before the search: {found_words}"
    if left_out:
        words += f" Not shown, because nothing was learned: {counted(left_out, 'finding')} about regularizers."
    if facts.get("forced"):
        words = f"The study was started with --force despite the doctor's findings. {words}"
    return Diagnosed(words, found)
