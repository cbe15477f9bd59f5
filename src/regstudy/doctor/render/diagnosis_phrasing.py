"""An examination on the terminal: every finding with its evidence and what to do, or in a line each before a study."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from html import escape

from regstudy.doctor.findings import SEVERITIES, STAGES, Diagnosis, Finding, Severity
from regstudy.doctor.yaml_lines import configuration_lines
from regstudy.text import counted, format_duration

MARKS: dict[Severity, str] = {"blocks": "▲", "distorts": "●", "note": "·"}
MIN_COLUMNS, MAX_COLUMNS = 60, 110  # columns of a text


def lines(diagnosis: Diagnosis, columns: int) -> Iterator[str]:
    """The whole examination for a terminal of so many columns."""
    width = min(max(columns, MIN_COLUMNS), MAX_COLUMNS)
    yield from _wrapped(f"{diagnosis.subject}: {_lowered(diagnosis.verdict)}", width)
    first = first_to_fix(diagnosis)
    if first is not None and len(diagnosis.findings) > 1:
        yield from _wrapped(f"Mend this first: {first.sentence}", width)
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
        yield from _wrapped(f"Checked: {counted(len(silent), 'check')} found nothing: {', '.join(silent)}.", width)
    for why in dict.fromkeys(one.why for one in diagnosis.unjudged):
        names = ", ".join(one.check for one in diagnosis.unjudged if one.why == why)
        yield from _wrapped(f"Not judged: {names} ({why.rstrip('.')}).", width)
    used = [severity for severity in SEVERITIES if any(f.severity == severity for f in diagnosis.findings)]
    if used:
        yield "Marks: " + ", ".join(f"{MARKS[severity]} {SEVERITIES[severity]}" for severity in used) + "."
    yield f"Examined in {format_duration(diagnosis.seconds)}."


def short_lines(diagnosis: Diagnosis, command: str) -> Iterator[str]:
    """What a study must be told before it begins, a line for each finding; ``command`` shows the whole."""
    if not diagnosis.findings:
        yield f"Doctor: nothing found in {counted(len(diagnosis.checked), 'check')} (all: {command})."
        return
    yield f"Doctor: {_lowered(diagnosis.verdict)}"
    for finding in diagnosis.findings:
        if finding.severity != "note":
            advice = f" Do: {finding.advice}" if finding.advice else ""
            yield f"  {MARKS[finding.severity]} {on_one_line(finding.sentence + advice)}"
    yield f"  All of it, with evidence: {command}"


def notebook_html(diagnosis: Diagnosis) -> str:
    """The findings as a list for a notebook; everything that a file name may hold is escaped."""
    items = [
        f"<li>{MARKS[finding.severity]} <b>{escape(finding.sentence)}</b> {escape(finding.advice)}</li>"
        for finding in diagnosis.findings
    ]
    items += [
        f"<li>Not judged: {escape(one.check)} ({escape(one.why.rstrip('.'))}).</li>"
        for one in diagnosis.unjudged
        if one.why.startswith("the check failed")
    ]
    return f"<p>{escape(diagnosis.subject)}: {escape(_lowered(diagnosis.verdict))}</p><ul>{''.join(items)}</ul>"


def first_to_fix(diagnosis: Diagnosis) -> Finding | None:
    """The first finding in the doctor's order that makes a study meaningless, else that distorts it; no mere note."""
    for severity in ("blocks", "distorts"):
        for finding in diagnosis.findings:
            if finding.severity == severity:
                return finding
    return None


def sure_words(finding: Finding) -> str:
    """How sure a finding is, with the name by which it is known."""
    return f"{finding.sure} ({finding.id})"


def _finding(number: int, finding: Finding, width: int) -> Iterator[str]:
    head = f"{number:>3}. {MARKS[finding.severity]} "
    yield from _wrapped(finding.sentence, width, head, " " * len(head))
    indent = " " * len(head)
    for sentence in finding.evidence:
        yield from _wrapped(sentence, width, f"{indent}- ", f"{indent}  ")
    if finding.advice:
        yield from _wrapped(finding.advice, width, f"{indent}Do: ", f"{indent}    ")
    for line in configuration_lines(finding.changes):
        yield f"{indent}    {line}"
    yield f"{indent}How sure: {sure_words(finding)}."


def _wrapped(text: str, width: int, first: str = "", others: str = "  ") -> Iterable[str]:
    """Lines of a text; names of files are never broken."""
    plain = on_one_line(text)
    found = textwrap.wrap(
        plain, width, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )
    return found or [first.rstrip()]


def on_one_line(text: str) -> str:
    """A text without what would leave its line; file names may hold anything."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
