"""The page that compares several searched studies, with a table and a summary for a pull request."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd

from regstudy.analysis.between_studies import Contrast, contrasts, key_of
from regstudy.errors import ArgumentError
from regstudy.files import make_folder, write_atomically
from regstudy.files.outputs import check_outputs, mark
from regstudy.report.answer_phrasing import Answer
from regstudy.report.first_screen import FirstScreen
from regstudy.report.page import page_html
from regstudy.report.phrasing import listing, markdown
from regstudy.report.range_phrasing import gain, level, plus_minus
from regstudy.report.several.searched_study import SearchedStudy, searched_studies
from regstudy.report.several.several_phrasing import several_answer
from regstudy.report.several.several_sections import several_sections
from regstudy.report.several.studies_card import studies_card
from regstudy.report.verdict_phrasing import Verdict
from regstudy.study.place import StudyPlace

WRITER = "report of several studies"  # other than `report`, so that neither replaces the other's page
LONGEST = 80  # characters of the name of a page


@dataclass(frozen=True)
class SeveralStudies:
    """Searched studies side by side: a row per study, the differences between their models, and the answer."""

    studies: list[SearchedStudy]
    contrasts: list[Contrast]
    answer: Answer

    @property
    def lines(self) -> list[str]:
        """A line per study for a terminal."""
        return [
            f"{one.label}: {one.answer.word}, {level(one.level, one.metric)}, gap {gain(one.gap, one.metric)}"
            if one.claimed
            else f"{one.label}: {one.answer.word}, no confirmed value"
            for one in self.studies
        ]

    @property
    def table(self) -> pd.DataFrame:
        """A row per study; shares are fractions in 0..1, times in seconds. Studies of one group can be compared."""
        keys = list(dict.fromkeys(key_of(one.tables) for one in self.studies))
        return pd.DataFrame([_facts(one, keys.index(key_of(one.tables)) + 1) for one in self.studies])


def several_studies(places: Sequence[StudyPlace]) -> SeveralStudies:
    """Compare the studies in these places. StudyError that names all that cannot be read or compared."""
    studies = searched_studies(places)
    found = contrasts([(one.tables, one.confirmed) for one in studies])
    return SeveralStudies(studies, found, several_answer(studies, found))


def write_several(found: SeveralStudies, output: Path | None = None, overwrite: bool = False) -> Path:
    """Write the page, and a table (.csv) and a summary (.md) of the same name; returns the page.

    By default it lies beside the first study's folder and has the names of the studies. ArgumentError unless its name
    ends in .html, and FileError for files in the way that are not such a page's, unless ``overwrite`` is true.
    """
    page = output or _default(found)
    if page.suffix.lower() != ".html":
        raise ArgumentError(f"output (-o) must be a file that ends in .html, but it is {page}.")
    table, summary = page.with_suffix(".csv"), page.with_suffix(".md")
    check_outputs({page: (), table: (rb"\Astudy,place,status,",), summary: ()}, WRITER, overwrite)
    make_folder(page.parent)
    write_atomically(table, found.table.to_csv(index=False))
    write_atomically(summary, f"<!-- Written by {mark(WRITER)} -->\n{_summary(found)}")
    write_atomically(page, _html(found))
    return page


def _default(found: SeveralStudies) -> Path:
    first = found.studies[0].place
    folder = first.output.absolute().parent if first.output.name in ("", "..") else first.output.parent
    names = [re.sub(r"[^\w@.+-]+", "-", one.tables.name).strip("-.") or "study" for one in found.studies]
    name = "-vs-".join(names)
    if len(name) > LONGEST:
        name = f"{names[0][:LONGEST]}-vs-{len(names) - 1}-more"
    return folder / f"{name}.html"


def _html(found: SeveralStudies) -> str:
    studies, told = found.studies, found.answer
    today = date.today()
    about = f"{len(studies)} searched studies · {today.day} {today:%B %Y}"
    screen = FirstScreen(about, told, None, None, None, None, None, [], studies_card(studies))
    sections = several_sections(studies, found.contrasts)
    question = "Several studies: which one gives the best model?"
    text = Verdict(told.sentence, told.reasons, [], told.tone == "ok")
    name = listing([one.label for one in studies])
    warnings = [
        f"{one.label} did not use {one.tables.data.get('requested', 'the requested data')}. {reason}"
        for one in studies
        if (reason := one.tables.data.get("fallback_reason"))
    ]
    return page_html(name, question, warnings, text, sections, writer=WRITER, screen=screen)


def _summary(found: SeveralStudies) -> str:
    lines = [f"## {markdown(listing([one.label for one in found.studies]))}", ""]
    lines += [f"**{markdown(f'{found.answer.word}: {found.answer.sentence}')}**", ""]
    lines += ["| study | status | value on fresh seeds | gap | trials | epochs |", "|---|---|--:|--:|--:|--:|"]
    for one in found.studies:
        value, gap = (level(one.level, one.metric), plus_minus(one.gap, one.metric)) if one.claimed else ("–", "–")
        lines.append(
            f"| {markdown(one.label)} | {one.answer.word} | {value} | {gap} | {one.trials:,} | {one.epochs:,} |"
        )
    lines += ["", *(f"- {markdown(reason)}" for reason in found.answer.reasons)]
    return "\n".join(lines) + "\n"


def _facts(one: SearchedStudy, group: int) -> dict[str, object]:
    data, confirmed = one.tables.data, one.confirmed
    value, gap = one.level, one.gap
    known = one.claimed and confirmed is not None

    def finite(number: float) -> float | None:
        return number if math.isfinite(number) else None

    return {
        "study": one.label,
        "place": str(one.place),
        "status": one.answer.word,
        "metric": one.tables.metric,
        "trial": one.model.number if known and one.model is not None else None,
        "value": finite(value.mean),
        "value_low": finite(value.low),
        "value_high": finite(value.high),
        "gap": finite(gap.mean),
        "gap_low": finite(gap.low),
        "gap_high": finite(gap.high),
        "rounds": confirmed.rounds if confirmed is not None else 0,
        "gap_at_most": one.tables.gap_at_most,
        "limit_kept": confirmed.limit_kept if known and confirmed is not None else None,
        "trials": one.trials,
        "confirmation_runs": confirmed.runs if confirmed is not None else 0,
        "epochs": one.epochs,
        "seconds": finite(one.seconds),
        "group": group,
        "data": data.get("name"),
        "split_hash": data.get("split_hash"),
        "train": data.get("train"),
        "validation": data.get("validation"),
        "classes": len(data["classes"]) if data.get("classes") else None,
        "shape": "×".join(map(str, data["shape"])) if data.get("shape") else None,
    }
