"""The page of an examination: what to fix first, the findings of each stage with pictures, and what was checked."""

from __future__ import annotations

from collections.abc import Sequence

from regstudy.doctor.findings import SEVERITIES, STAGES, Chart, Diagnosis, Finding, Media, Pictures, severity_counts
from regstudy.doctor.render.charts import draw
from regstudy.doctor.render.diagnosis_phrasing import MARKS, confidence_text, first_to_fix
from regstudy.doctor.yaml_lines import configuration_lines
from regstudy.report.figures import Drawing
from regstudy.report.grids import Grid
from regstudy.report.media import Album, FindingCard, picture
from regstudy.report.page import page_html
from regstudy.report.sections import ReportSection
from regstudy.report.verdict_phrasing import Verdict
from regstudy.text import counted

QUESTION = "Doctor: problems that would block a study or distort its results, and how to fix them"


def diagnosis_page(diagnosis: Diagnosis, warnings: Sequence[str] = ()) -> str:
    """One self-contained HTML page; ``warnings`` come first, such as that fallback images were used."""
    first = first_to_fix(diagnosis)
    sentences = [f"Fix this first: {first.sentence}", f"How to fix: {first.advice}"] if first is not None else []
    if diagnosis.unjudged:
        sentences.append(f"Skipped {counted(len(diagnosis.unjudged), 'check')}; the last section gives the reasons.")
    good = not any(finding.severity in ("blocks", "distorts") for finding in diagnosis.findings)
    text = Verdict(diagnosis.verdict, [line.replace("`", "") for line in sentences], [], good)
    page = page_html(diagnosis.subject, QUESTION, list(warnings), text, _sections(diagnosis), writer="doctor")
    return page.encode("utf-8", "replace").decode()  # file names may contain invalid Unicode


def _sections(diagnosis: Diagnosis) -> list[ReportSection]:
    stages = [stage for stage in STAGES if diagnosis.first(stage) is not None]
    shown: dict[str, list[Media]] = {}
    for item in diagnosis.media:
        stage = _stage_of(item, diagnosis)
        shown.setdefault(stage if stage in stages else "", []).append(item)
    parts = [_stage(diagnosis, stage, shown.get(stage, [])) for stage in stages]
    if others := shown.get(""):
        figures, albums = _drawn(others)
        parts.append(ReportSection("seen", "Data and model", "", figures=figures, albums=albums))
    parts.append(_checked(diagnosis))
    if diagnosis.unjudged:
        rows = [[one.check, STAGES.get(one.stage, one.stage), one.why] for one in diagnosis.unjudged]
        said = f"{counted(len(rows), 'check')} skipped."
        parts.append(
            ReportSection("unjudged", "Skipped checks", said, grids=[Grid(["check", "stage", "reason"], rows)])
        )
    return parts


def _stage(diagnosis: Diagnosis, stage: str, media: Sequence[Media]) -> ReportSection:
    findings = [finding for finding in diagnosis.findings if finding.stage == stage]
    title = STAGES[stage][0].upper() + STAGES[stage][1:]
    figures, albums = _drawn(media)
    said = f"{len(findings)} findings: {severity_counts(findings)}." if len(findings) > 1 else ""
    return ReportSection(stage, title, said, figures=figures, cards=[_card(f) for f in findings], albums=albums)


def _card(finding: Finding) -> FindingCard:
    return FindingCard(
        f"{MARKS[finding.severity]} {SEVERITIES[finding.severity]}",
        finding.sentence,
        finding.evidence,
        finding.advice,
        "\n".join(configuration_lines(finding.changes)),
        f"Confidence: {confidence_text(finding)}.",
        grave=finding.severity == "blocks",
    )


def _checked(diagnosis: Diagnosis) -> ReportSection:
    silent = [check for check in diagnosis.checked if not check.findings]
    rows = [[check.check, STAGES.get(check.stage, check.stage), check.examined] for check in silent]
    failed = len(diagnosis.checked) - len(silent)
    finding = f"{counted(len(silent), 'check')} passed; {failed} had findings."
    grid = Grid(["check", "stage", "result"], rows, folded="Passed checks")
    return ReportSection("checked", "Checks", finding, grids=[grid] if rows else [])


def _drawn(media: Sequence[Media]) -> tuple[list[Drawing], list[Album]]:
    drawings = [draw(item) for item in media if isinstance(item, Chart)]
    albums = [_album(item) for item in media if isinstance(item, Pictures)]
    return drawings, albums


def _album(item: Pictures) -> Album:
    captions = (*item.captions, *[""] * (len(item.images) - len(item.captions)))
    shown = [picture(image, caption) for image, caption in zip(item.images, captions, strict=False)]
    return Album(item.title, shown, item.columns)


def _stage_of(item: Media, diagnosis: Diagnosis) -> str:
    """The stage of the finding that an item supports, else of the check it belongs to, else empty."""
    of_findings = {finding.id: finding.stage for finding in diagnosis.findings}
    of_checks = {check.check: check.stage for check in diagnosis.checked}
    of_checks |= {check.check.replace(" ", "-").replace("_", "-").lower(): check.stage for check in diagnosis.checked}
    return of_findings.get(item.id, of_checks.get(item.id, ""))
