"""What `regstudy report` does: write the report of a study anew, once or as the study moves on."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from regstudy.errors import RegstudyError
from regstudy.report.comparison.comparison_page import write_comparison
from regstudy.report.page import find, write_report
from regstudy.report.sections import sections
from regstudy.study.place import StudyPlace, kind_of, open_study


def execute(path: Path, storage: str | None, watch: bool, every: float, plots: bool, console: Console) -> int:
    """Write a study's report, or the page of a comparison; returns the exit code."""
    opened = open_study(StudyPlace(path, storage))
    if kind_of(opened) == "comparison":
        if watch or plots:
            raise RegstudyError(f"{path} holds a comparison: --watch and --plots are for the report of a search.")
        console.print(f"Report: {write_comparison(opened, path)}")
        return 0
    if watch:
        from regstudy.report import watch as watching

        watching.step_back()
        try:
            page = watching.watch(opened, path, every, console.print, time.sleep)
        except KeyboardInterrupt:
            page = write_report(opened, path)
    else:
        page = write_report(opened, path)
    console.print(f"Report: {page}")
    if plots:
        from regstudy.report.static_plots import write_pictures

        files = write_pictures(sections(find(opened)), path / "plots")
        console.print(f"Plots:  {len(files)} in {path / 'plots'}")
    return 0
