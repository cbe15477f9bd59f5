"""What `regstudy report` does: write the report of a study, once or repeatedly while the study runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from regstudy.errors import ArgumentError, RegstudyError
from regstudy.report.comparison.comparison_page import write_comparison
from regstudy.report.index_page import write_index
from regstudy.report.next_actions import arguments_of
from regstudy.report.page import find, write_report
from regstudy.report.sections import sections
from regstudy.report.several.several_page import several_studies, write_several
from regstudy.study.companion import find_ablation, find_confirmation
from regstudy.study.place import StudyPlace, kind_of, open_study, place_at
from regstudy.study.storage import in_words
from regstudy.text import listing


def execute(
    path: Path,
    storage: str | None,
    name: str | None,
    watch: bool,
    every: float,
    plots: bool,
    console: Console,
    overwrite: bool = False,
    output: Path | None = None,
) -> int:
    """Write a study's report, or the page of a comparison; returns the exit code, 130 after Ctrl-C."""
    if output is not None:
        raise ArgumentError(
            "output (-o) is only for a page about several studies. The report of one study is written to its folder."
        )
    place = place_at(path, storage, name)
    with in_words(place.url):
        return _report(place, watch, every, plots, console, overwrite)


def compare(
    paths: Sequence[Path],
    storage: str | None,
    name: str | None,
    watch: bool,
    plots: bool,
    output: Path | None,
    console: Console,
    overwrite: bool = False,
) -> int:
    """Compare several searched studies on one page; returns the exit code."""
    given = {"--study": name is not None, "--watch": watch, "--plots": plots}
    if wrong := [option for option, is_given in given.items() if is_given]:
        raise ArgumentError(
            f"{listing(wrong)}: only for the report of a single study, but {len(paths)} are given. Leave it out, or"
            " give one study."
        )
    found = several_studies([place_at(path, storage) for path in paths])
    page = write_several(found, output, overwrite)
    console.print("\n".join(["", *found.answer.lines, "", *(f"  {line}" for line in found.lines), ""]))
    console.print(f"Report: {page}")
    return 0


def _report(place: StudyPlace, watch: bool, every: float, plots: bool, console: Console, overwrite: bool) -> int:
    opened, folder = open_study(place), place.output
    if kind_of(opened) == "comparison":
        if watch or plots:
            raise RegstudyError(
                f"{place} is a comparison, but --watch and --plots only work for studies that search a space."
            )
        console.print(f"Report: {write_comparison(opened, folder, overwrite)}")
        _show_index(place, console)
        return 0
    code, where = 0, arguments_of(place)
    if watch:
        from regstudy.report import watch as watching

        watching.step_back()
        try:
            page = watching.watch(
                opened,
                folder,
                every,
                console.print,
                time.sleep,
                overwrite,
                lambda: find_confirmation(place, opened),
                where,
                lambda: find_ablation(place, opened),
            )
        except KeyboardInterrupt:
            fresh, ablated = find_confirmation(place, opened), find_ablation(place, opened)
            page, code = write_report(opened, folder, fresh=fresh, where=where, ablated=ablated), 130
    else:
        fresh, ablated = find_confirmation(place, opened), find_ablation(place, opened)
        page = write_report(opened, folder, overwrite=overwrite, fresh=fresh, where=where, ablated=ablated)
    console.print(f"Report: {page}")
    _show_index(place, console)
    if plots:
        from regstudy.report.static_plots import write_pictures

        found = find(opened, fresh=find_confirmation(place, opened), ablated=find_ablation(place, opened))
        files = write_pictures(sections(found), folder / "plots", overwrite)
        console.print(f"Plots:  {len(files)} in {folder / 'plots'}")
    return code


def _show_index(place: StudyPlace, console: Console) -> None:
    """Update the list of studies in the results folder; `cli.shared` has the same, but loads torch."""
    index = write_index(place)
    if index is not None:
        console.print(f"Index:  {index}")
