"""The page index.html of a results folder: its studies, their state and their answers.

Writing it is cheap: it reads a few attributes of each study, never its curves. The answer is the headline of the last
report. A folder that holds something else is listed with the reason why it cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from regstudy.errors import RegstudyError
from regstudy.files import write_atomically
from regstudy.report.answer_phrasing import Tone
from regstudy.report.index_strip import gain_strips
from regstudy.report.phrasing import NONE, points
from regstudy.study import attributes
from regstudy.study.glance import StudyGlance, glance_at
from regstudy.study.place import DATABASE_FILE, StudyPlace
from regstudy.study.stored_facts import CHECKS

INDEX_FILE = "index.html"
REPORT_FILES = ("report.html", "comparison.html")
GENERATOR = '<meta name="generator" content="regstudy index">'  # only a page with this mark is replaced
NO_REPORT = "no report yet"
TONES: tuple[Tone, ...] = get_args(Tone)


@dataclass(frozen=True)
class IndexRow:
    """One study of the list; ``problem`` is the reason why it cannot be read, ``page`` a relative URL."""

    name: str
    kind: str = NONE
    status: str = NONE
    answer: str = NO_REPORT
    gain: str = NONE
    date: str = NONE
    page: str = ""
    problem: str = ""
    word: str = ""  # the status of the answer; empty without a report, or from one of an earlier version
    tone: str = "none"
    fresh: Mapping[str, Any] | None = None  # the gain of confirmation runs, see keep_headline


def write_index(place: StudyPlace) -> Path | None:
    """Write index.html into the folder that contains a study; returns the page.

    Does nothing and returns None for a study that has no folder of its own, for a page of that name that regstudy did
    not write, and where the folder cannot be written: a list of studies is never a reason for a command to fail.
    """
    if not place.own:
        return None
    named = place.folder.name not in ("", "..")  # unlike ".", whose parent is not in its path
    folder = place.folder.parent if named else place.folder.absolute().parent
    page = folder / INDEX_FILE
    try:
        if page.exists() and GENERATOR not in page.read_text(encoding="utf-8", errors="replace"):
            return None
        write_atomically(page, render_index(folder.absolute().name, index_rows(folder)))
    except (RegstudyError, OSError):
        return None
    return page


def index_rows(folder: Path) -> list[IndexRow]:
    """The studies in the subfolders of a results folder, by name."""
    found = (path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith("."))
    return [row for path in found if (row := index_row(path)) is not None]


def index_row(folder: Path) -> IndexRow | None:
    """The row of a study's folder; None for a folder with neither a database nor a report."""
    page = next((folder / name for name in REPORT_FILES if (folder / name).is_file()), None)
    link: dict[str, Any] = {"page": f"{quote(folder.name)}/{page.name}", "date": _date(page)} if page else {}
    database = folder / DATABASE_FILE
    if not database.exists():
        if page is None:
            return None
        kind = "comparison" if page.name == "comparison.html" else "search"
        return IndexRow(folder.name, kind, "on a database server", "see the report", **link)
    try:
        return _row_of(glance_at(database), folder.name, link)
    except (RegstudyError, TypeError, ValueError, AttributeError) as error:  # attributes may be anybody's
        return IndexRow(folder.name, problem=str(error), **link)


def render_index(name: str, rows: list[IndexRow]) -> str:
    """The page as HTML; everything that a user may have named is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    strips = gain_strips([row.fresh for row in rows])
    return environment.get_template("index_template.html").render(name=name, rows=list(zip(rows, strips, strict=True)))


def _row_of(found: StudyGlance, name: str, link: Mapping[str, str]) -> IndexRow:
    facts = found.attributes
    kind = "comparison" if facts.get(attributes.PLAN) else "search"
    stored = facts.get(attributes.HEADLINE)
    headline: dict[str, Any] = stored if link and stored and CHECKS[attributes.HEADLINE](stored) else {}
    return IndexRow(
        name,
        kind,
        _status(found),
        str(headline.get("text") or ("see the report" if link else NO_REPORT)),
        _gain(headline),
        **link,
        word=str(headline.get("word") or ""),
        tone=str(headline.get("tone")) if headline.get("tone") in TONES else "none",
        fresh=headline.get("fresh"),
    )


def _gain(headline: Mapping[str, Any]) -> str:
    """The fair gain; reports of earlier versions stored only the difference of the selected trials."""
    if headline.get("fair_gain") is not None:
        return str(headline["fair_gain"])
    return NONE if headline.get("gain") is None else f"{points(float(headline['gain']))} (selected)"


def _status(found: StudyGlance) -> str:
    """How many trials are finished, of how many, and whether some are running."""
    finished = sum(found.trials.get(state, 0) for state in ("COMPLETE", "PRUNED"))
    asked, running = found.attributes.get(attributes.TRIALS), found.trials.get("RUNNING", 0)
    what = "search trials finished" if (found.attributes.get(attributes.CONFIRM) or {}).get("runs") else "finished"
    text = f"{finished:,} of {int(asked):,} {what}" if asked else f"{finished:,} finished"
    return f"{text}, {running:,} running" if running else text


def _date(page: Path) -> str:
    """When the report was last written, local time."""
    return datetime.fromtimestamp(page.stat().st_mtime).strftime("%Y-%m-%d %H:%M")
