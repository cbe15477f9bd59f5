"""Writes a study's report: one self-contained HTML page, three CSV files and a summary for a pull request.

Every file is written under a temporary name and moved into place, so a reader never sees a partial file.
"""

from __future__ import annotations

import math
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.offline
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from regstudy.analysis.confirmation import confirmation
from regstudy.analysis.gap import compare, relations
from regstudy.analysis.importance import counts, importances
from regstudy.analysis.learned import qualify
from regstudy.analysis.outlook import Outlook
from regstudy.files import write_atomically
from regstudy.files.outputs import mark
from regstudy.report.ablation_findings import ablation_findings
from regstudy.report.ablation_table import ablation_frame, ablation_markdown
from regstudy.report.answer_phrasing import Answer
from regstudy.report.figures import Drawing
from regstudy.report.first_screen import FirstScreen, answer_to, as_verdict, first_screen, search_section
from regstudy.report.headline import keep_headline
from regstudy.report.metric_phrasing import gap_score, score, unit, validation_name
from regstudy.report.phrasing import NONE, markdown
from regstudy.report.range_phrasing import in_brackets, level, number, plus_minus, shown_gain
from regstudy.report.sections import Findings, ReportSection, sections
from regstudy.report.stored_diagnosis import diagnosed
from regstudy.report.study_checks import checks
from regstudy.report.verdict_phrasing import Verdict
from regstudy.report.written_files import MARK_LINE, check_report_files
from regstudy.study.load_tables import load_tables
from regstudy.study.tables import Study, Tables
from regstudy.text import counted

LANGUAGE = "en"  # of all texts in the report


def write_report(
    study: Study,
    folder: Path,
    refresh: int | None = None,
    overwrite: bool = False,
    fresh: Study | None = None,
    where: str | None = None,
    ablated: Study | None = None,
) -> Path:
    """Write report.html, summary.md, trials.csv, epochs.csv, importance.csv and importance.md; returns the page.

    With ``refresh``, the page reloads itself after that many seconds. ``fresh`` holds the confirmation runs,
    ``ablated`` those of an ablation, for which ablation.csv and ablation.md are written, too; ``where`` names the study
    in commands, by default as its folder (see `next_actions.arguments_of`).

    Raises StudyError for a study with several objectives, and FileError for files in the way that are not a report's,
    unless ``overwrite`` is true.
    """
    check_report_files(folder, "search", overwrite)
    found = find(study, fresh=fresh, ablated=ablated)
    told, parts = answer_to(found, where or shlex.quote(str(folder))), sections(found)
    write_atomically(folder / "trials.csv", found.tables.trials.to_csv(index=False))
    write_atomically(folder / "epochs.csv", found.tables.epochs.to_csv(index=False))
    write_atomically(folder / "importance.csv", found.importances.to_csv(index=False))
    write_atomically(folder / "importance.md", importance_table(found.importances))
    if found.apart is not None:
        write_atomically(folder / "ablation.csv", ablation_frame(found.apart).to_csv(index=False))
        write_atomically(folder / "ablation.md", MARK_LINE + ablation_markdown(found.tables.name, found.apart))
    write_atomically(folder / "summary.md", MARK_LINE + summary(found, told, parts))
    page = folder / "report.html"
    write_atomically(page, render(found, told, parts, refresh))
    keep_headline(study, told.sentence, found.comparison, told, found.confirmation)
    return page


@np.errstate(over="ignore", invalid="ignore")  # anybody's values may be huge or infinite
def find(
    study: Study, tables: Tables | None = None, fresh: Study | None = None, ablated: Study | None = None
) -> Findings:
    """Run the whole analysis of a study, whose tables are read unless they are given.

    ``fresh``: its confirmation runs; ``ablated``: its ablation runs.
    """
    tables = load_tables(study) if tables is None else tables
    again = None if fresh is None else load_tables(fresh)
    return Findings(
        tables,
        compare(tables),
        qualify(tables),
        relations(tables),
        importances(study, tables),
        counts(tables),
        again,
        confirmation(tables, again),
        None if ablated is None else ablation_findings(tables, load_tables(ablated)),
        Outlook().of(study, fresh),
    )


def banners(tables: Tables) -> list[str]:
    """Warnings at the top of the page: no cold start, other data than requested, trials still running."""
    lines = [tables.start] if tables.start else []
    if reason := tables.data.get("fallback_reason"):
        asked, used = tables.data.get("requested", "the requested data"), tables.data.get("name", "other data")
        lines.append(f"This study did not use {asked}: {used} was used instead. {reason}")
    if tables.malformed:
        shown = ", ".join(tables.malformed[:5]) + (", …" if len(tables.malformed) > 5 else "")
        are = "is" if len(tables.malformed) == 1 else "are"
        lines.append(
            f"{counted(len(tables.malformed), 'stored attribute')} {are} not what regstudy stores under this name and"
            f" left out: {shown}."
        )
    if running := int((tables.trials["state"] == "RUNNING").sum()):
        lines.append(f"{counted(running, 'trial')} still running or interrupted: this report is a snapshot.")
    return lines


def render(found: Findings, told: Answer, parts: list[ReportSection], refresh: int | None = None) -> str:
    """The report of a search as HTML: its first screen, then the sections, each folded to a line."""
    shown = [*([] if found.confirmation else [search_section(found)]), *parts]
    screen, text = first_screen(found, told), as_verdict(found, told)
    question = "Regularization study: which regularizers narrowed the train/validation gap?"
    return page_html(found.tables.name, question, banners(found.tables), text, shown, refresh, screen=screen)


def page_html(
    name: str,
    question: str,
    warnings: list[str],
    text: Verdict,
    parts: list[ReportSection],
    refresh: int | None = None,
    writer: str = "report",
    screen: FirstScreen | None = None,
) -> str:
    """A page as HTML, with user text escaped. ``warnings`` come first; ``writer`` is the command that writes it.

    With a first ``screen``, which answers in place of the verdict, all sections are folded.
    """
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    environment.filters["coded"] = coded
    environment.filters["command"] = command
    drawings = {
        section.id: [
            (drawing.title, _figure_json(drawing), drawing.figure.layout.height) for drawing in section.figures
        ]
        for section in parts
    }
    return environment.get_template("template.html").render(
        lang=LANGUAGE,
        refresh=refresh,
        generator=mark(writer),
        name=name,
        question=question,
        banners=warnings,
        verdict=text,
        screen=screen,
        sections=parts,
        drawings=drawings,
        plotly=plotly.offline.get_plotlyjs() if any(drawings.values()) else "",  # 4 MB
    )


def breakable(text: str) -> Markup:
    """Escaped text that may wrap after the dots and underscores of a path."""
    return Markup(re.sub(r"(?<=[a-z0-9])([._])(?=[a-z])", r"\1<wbr>", str(escape(text))))


def coded(text: str) -> Markup:
    """Escaped text with the parts between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def command(text: str) -> Markup:
    """An escaped command that does not wrap within the name of an option."""
    return Markup(re.sub(r"(?<=\s)(--?[a-z][a-z-]*)", r'<span class="nb">\1</span>', str(escape(text))))


@np.errstate(over="ignore", invalid="ignore")
def summary(found: Findings, told: Answer, parts: list[ReportSection]) -> str:
    """The report in a page of Markdown."""
    lines = [f"## {markdown(found.tables.name)}", ""]
    confirmed = found.confirmation is not None and not found.comparison.nothing_learned
    for banner in banners(found.tables):
        lines += [f"> {markdown(banner)}", ""]
    text = as_verdict(found, told)
    lines += [f"**{markdown(f'{told.word}: {told.sentence}')}**", "", *map(markdown, text.sentences), ""]
    rows = _fresh_rows(found) if confirmed else _searched_rows(found)
    lines += [*rows, ""] if rows else []
    if told.more is not None:
        lines += [markdown(f"{told.more.title}: {told.more.gain}. {told.more.why}"), ""]
    for action in [action for action in told.actions if action.command][:1]:
        lines += [f"Next ({markdown(action.title)}):", "", f"    {action.command}", ""]
    wanted = ("gap", "importance", "trials", "making")
    findings = [section.finding for section in parts if section.id in wanted and section.finding]
    lines += [f"- {markdown(finding)}" for finding in findings if finding not in (text.headline, *text.sentences)]
    learned = not found.comparison.nothing_learned
    before = diagnosed(found.tables.doctor, learned=learned).checks if found.tables.doctor else []
    todo = [check for check in [*before, *checks(found.tables)] if check.severity == "act"]
    lines += [f"- To do: {markdown(f'{check.finding} {check.advice}')}" for check in todo]
    lines += [f"- Caution: {markdown(caution)}" for caution in text.cautions]
    if found.tables.command:
        lines += ["", "Command:", "", *("    " + line for line in found.tables.command.splitlines())]
    return "\n".join(lines) + "\n"


def _searched_rows(found: Findings) -> list[str]:
    """The best baseline trial and the best of the search, as selected, as a Markdown table."""
    of = found.tables.measured
    rows = [
        f"| {label} | {s.number} | "
        + " | ".join([*(score(value, of) for value in (s.train, s.clean_train, s.val)), gap_score(s.gap, of)])
        + " |"
        for label, s in (
            ("best baseline", found.comparison.baseline),
            ("best of the search", found.comparison.challenger),
        )
        if s is not None
    ]
    head = f"| | trial | train (train mode) | train (eval mode) | {validation_name(of)} | gap |"
    return [head, "|---|--:|--:|--:|--:|--:|", *rows] if rows else []


def _fresh_rows(found: Findings) -> list[str]:
    """Baseline and winner on fresh seeds as a Markdown table."""
    confirmed = found.confirmation
    assert confirmed is not None
    of = confirmed.metric
    rows = [
        f"| {label} | {trial} | {confirmed.rounds} | {level(value, of)} | {plus_minus(gap, of)} | {gained} |"
        for label, trial, value, gap, gained in (
            ("baseline", confirmed.baseline.number, confirmed.baseline_level, confirmed.baseline_gap, ""),
            (
                "winner",
                confirmed.winner.number,
                confirmed.level,
                confirmed.gap,
                f"{number(shown_gain(confirmed).mean, of, signed=True)}{in_brackets(confirmed.gain, of)}",
            ),
        )
    ]
    head = f"| fresh seeds | trial | rounds | {validation_name(of)} | gap ({unit(of)}) | gain ({unit(of)}) |"
    return [head, "|---|--:|--:|--:|--:|--:|", *rows]


def importance_table(importances: pd.DataFrame) -> str:
    """The importances as a Markdown table, grouped by target."""
    lines = ["| target | parameter | importance | chance threshold | stability range | finding |"]
    lines.append("|---|---|--:|--:|--:|---|")
    for row in importances.itertuples():
        numbers = [f"{value:.4f}" if math.isfinite(value) else NONE for value in (row.importance, row.null_95)]
        stable = f"{row.stable_low:.4f} – {row.stable_high:.4f}" if math.isfinite(row.stable_low) else NONE
        numbers.append(stable)
        target = "gap" if row.target == "gap" else "metric"
        lines.append(f"| {target} | {markdown(row.parameter)} | {' | '.join(numbers)} | {markdown(row.note)} |")
    return "\n".join(lines) + "\n"


def _figure_json(drawing: Drawing) -> str:
    """A figure as JSON that is safe inside a script element: every ``<`` is escaped."""
    return str(drawing.figure.to_json()).replace("<", "\\u003c")
