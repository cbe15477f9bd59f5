"""An examination on the terminal: each finding with evidence and advice, or one line each before a study."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from html import escape

from regstudy.doctor.findings import SEVERITIES, STAGES, Diagnosis, Finding, Severity
from regstudy.doctor.yaml_lines import configuration_lines
from regstudy.text import counted, format_duration

MARKS: dict[Severity, str] = {"blocks": "▲", "distorts": "●", "note": "·"}
MIN_COLUMNS, MAX_COLUMNS = 60, 110  # of the terminal text


def lines(diagnosis: Diagnosis, columns: int) -> Iterator[str]:
    """The full examination for a terminal of ``columns`` columns."""
    width = min(max(columns, MIN_COLUMNS), MAX_COLUMNS)
    yield from _wrapped(f"{diagnosis.subject}: {_lowered(diagnosis.verdict)}", width)
    first = first_to_fix(diagnosis)
    if first is not None and len(diagnosis.findings) > 1:
        yield from _wrapped(f"Fix this first: {first.sentence}", width)
    number = 0
    for stage in STAGES:
        findings = [finding for finding in diagnosis.findings if finding.stage == stage]
        if findings:
            yield from ("", STAGES[stage][0].upper() + STAGES[stage][1:])
        for finding in findings:
            number += 1
            yield from ([""] if finding is not findings[0] else [])
            yield from _finding(number, finding, width)
    silent = [check.check for check in diagnosis.checked if not check.findings]
    yield ""
    if silent:
        yield from _wrapped(f"Passed {counted(len(silent), 'check')}: {', '.join(silent)}.", width)
    for why in dict.fromkeys(one.why for one in diagnosis.unjudged):
        names = ", ".join(one.check for one in diagnosis.unjudged if one.why == why)
        yield from _wrapped(f"Skipped: {names} ({why.rstrip('.')}).", width)
    used = [severity for severity in SEVERITIES if any(f.severity == severity for f in diagnosis.findings)]
    if used:
        yield "Legend: " + ", ".join(f"{MARKS[severity]} {SEVERITIES[severity]}" for severity in used) + "."
    yield f"Examination took {format_duration(diagnosis.seconds)}."


def short_lines(diagnosis: Diagnosis, command: str) -> Iterator[str]:
    """What matters before a study starts, one line per finding; ``command`` shows the full examination."""
    if not diagnosis.findings:
        yield f"Doctor: no findings in {counted(len(diagnosis.checked), 'check')} (details: {command})."
        return
    yield f"Doctor: {_lowered(diagnosis.verdict)}"
    for finding in diagnosis.findings:
        if finding.severity != "note":
            advice = f" Fix: {finding.advice}" if finding.advice else ""
            yield f"  {MARKS[finding.severity]} {on_one_line(finding.sentence + advice)}"
    yield f"  Details: {command}"


def notebook_html(diagnosis: Diagnosis) -> str:
    """The findings as an HTML list for a notebook, escaped because file names may contain anything."""
    items = [
        f"<li>{MARKS[finding.severity]} <b>{escape(finding.sentence)}</b> {escape(finding.advice)}</li>"
        for finding in diagnosis.findings
    ]
    items += [
        f"<li>Skipped: {escape(one.check)} ({escape(one.why.rstrip('.'))}).</li>"
        for one in diagnosis.unjudged
        if one.why.startswith("the check failed")
    ]
    return f"<p>{escape(diagnosis.subject)}: {escape(_lowered(diagnosis.verdict))}</p><ul>{''.join(items)}</ul>"


def first_to_fix(diagnosis: Diagnosis) -> Finding | None:
    """The first finding in the doctor's order that blocks the study, else the first that distorts results; no notes."""
    for severity in ("blocks", "distorts"):
        for finding in diagnosis.findings:
            if finding.severity == severity:
                return finding
    return None


def confidence_text(finding: Finding) -> str:
    """The confidence of a finding and its id."""
    return f"{finding.sure} ({finding.id})"


def _finding(number: int, finding: Finding, width: int) -> Iterator[str]:
    head = f"{number:>3}. {MARKS[finding.severity]} "
    yield from _wrapped(finding.sentence, width, head, " " * len(head))
    indent = " " * len(head)
    for sentence in finding.evidence:
        yield from _wrapped(sentence, width, f"{indent}- ", f"{indent}  ")
    if finding.advice:
        yield from _wrapped(finding.advice, width, f"{indent}Fix: ", f"{indent}     ")
    for line in configuration_lines(finding.changes):
        yield f"{indent}     {line}"
    yield f"{indent}Confidence: {confidence_text(finding)}."


def _wrapped(text: str, width: int, first: str = "", others: str = "  ") -> Iterable[str]:
    """Lines of a text; file names are never broken."""
    plain = on_one_line(text)
    found = textwrap.wrap(
        plain, width, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )
    return found or [first.rstrip()]


def on_one_line(text: str) -> str:
    """A text without line breaks and control characters; file names may contain anything."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
