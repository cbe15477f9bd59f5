"""The files that a report consists of, and the rule that it replaces no others of the same names."""

from __future__ import annotations

from pathlib import Path

from regstudy.files.outputs import check_outputs, mark
from regstudy.space.plan import PlanKind

MARK_LINE = f"<!-- Written by {mark('report')} -->\n"  # for Markdown, which does not show it
PAGE = rb'<meta name="color-scheme" content="light dark">\n<meta http-equiv="Content-Security-Policy"'
SUMMARY = (rb"\A## [^\n]*\n\n(> |\*\*)",)
TABLES: dict[str, tuple[bytes, ...]] = {
    "trials.csv": (rb"\Anumber,(ticket|slot),arm,state,",),
    "epochs.csv": (rb"\Anumber,(ticket|slot),arm,(fold,)?epoch,",),
}
# the signs by which a file is known that has no mark: it is a table, or of an earlier version
FILES: dict[PlanKind, dict[str, tuple[bytes, ...]]] = {
    "search": TABLES
    | {
        "importance.csv": (rb"\Aparameter,target,importance,",),
        "importance.md": (rb"\A\| target \| parameter \|",),
        "ablation.csv": (rb"\Aregularizer,family,",),
        "ablation.md": (rb"\A## [^\n]*: ablation\n",),
        "summary.md": SUMMARY,
        "report.html": (PAGE,),
    },
    "comparison": TABLES
    | {
        "comparison.csv": (rb"\Aarm,against,measure,",),
        "comparison.md": SUMMARY,
        "comparison.html": (PAGE,),
    },
}


def check_report_files(folder: Path, kind: PlanKind, overwrite: bool = False) -> None:
    """FileError if a file of a report cannot be written to a folder, or would replace one that is not a report's."""
    remedy = f"Move it away, or replace it by `regstudy report {folder} --overwrite`."
    check_outputs({folder / name: signs for name, signs in FILES[kind].items()}, "report", overwrite, remedy)
