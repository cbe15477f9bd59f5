"""The same thing has the same color in every chart, and different things in a chart can be told apart."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from planted import digits, pictures
from synthetic import make_study
from torch import tensor

from regstudy.analysis.arm_statistics import load_comparison
from regstudy.doctor.checks.class_counts import class_counts
from regstudy.doctor.checks.split_checks import parts_apart
from regstudy.doctor.findings import Chart
from regstudy.doctor.render.charts import draw
from regstudy.report import palette
from regstudy.report.comparison.comparison_page import comparison_sections
from regstudy.report.page import find
from regstudy.report.sections import sections
from regstudy.study.place import StudyPlace, open_study

COMPARISON = Path(__file__).parents[1] / "fixtures" / "studies" / "comparison"
MEANINGS = {
    "train (train mode)": palette.TRAIN_MODE,
    "train (eval mode)": palette.TRAIN,
    "training": palette.TRAIN,
    "validation": palette.VALIDATION,
    "search": palette.SEARCH,
    "baseline": palette.BASELINE,
    "pruned": palette.PRUNED,
    "excluded": palette.EXCLUDED,
    "diverged": palette.DIVERGED,
    "running": palette.RUNNING,
    "finished": palette.FINISHED,
    "stopped early": palette.STOPPED,
    "best so far": palette.BEST,
    "mean of the best quarter": palette.BEST,
    "chance threshold": palette.THRESHOLD,
    "first epoch": palette.FIRST_EPOCH,
    "last epoch": palette.LAST_EPOCH,
    "training red": palette.CHANNELS["red"],
    "training green": palette.CHANNELS["green"],
    "training blue": palette.CHANNELS["blue"],
    "validation red": palette.CHANNELS["red"],
    "validation green": palette.CHANNELS["green"],
    "validation blue": palette.CHANNELS["blue"],
}


def of_a_search() -> Iterator[go.Figure]:
    found = find(make_study(50, failed=1, diverged=2, underfit=2))
    yield from (drawing.figure for part in sections(found) for drawing in part.figures)


def of_a_comparison(folder: Path) -> Iterator[go.Figure]:
    shutil.copytree(COMPARISON, folder)  # opening a database may write
    found = load_comparison(open_study(StudyPlace(folder)))
    yield from (drawing.figure for part in comparison_sections(found) for drawing in part.figures)


def of_the_doctor() -> Iterator[go.Figure]:
    labels = tensor([0, 1] * 60)
    results = [class_counts(labels, labels, ["a", "b"])]
    results.append(parts_apart(pictures(120, 1), pictures(120, 2), labels, labels))
    results.append(parts_apart(*(part for first in (0, 200) for part in digits(120, first)[:1]), labels, labels))
    yield from (draw(item).figure for result in results for item in result.media if isinstance(item, Chart))


def color(trace: Any) -> Any:
    """What a reader sees in the legend: the color of the line, else of the markers."""
    marker = trace.marker.color if trace.marker else None
    if trace.type == "scatter" and "lines" in (trace.mode or ""):
        return trace.line.color
    return trace.marker.line.color if marker is None and trace.marker else marker


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> list[go.Figure]:
    return [*of_a_search(), *of_a_comparison(tmp_path_factory.mktemp("old") / "comparison"), *of_the_doctor()]


def test_a_meaning_has_one_color_in_all_charts(figures: list[go.Figure]) -> None:
    seen = set()
    for figure in figures:
        for trace in figure.data:
            name = trace.name.partition(",")[0].removeprefix("best of the ").removeprefix("best ")
            name = trace.name if trace.name == "best so far" else name
            if name in MEANINGS and not trace.name.startswith("range of"):
                found = color(trace)
                colors = {found} if isinstance(found, str) else set(found)
                assert colors == {MEANINGS[name]}, (name, found)
                seen.add(name)
    assert MEANINGS.keys() - seen <= {"running", "stopped early"}


def test_traces_of_a_legend_can_be_told_apart(figures: list[go.Figure]) -> None:
    for figure in figures:
        shown = [trace for trace in figure.data if trace.showlegend is not False]
        looks = [(str(color(t)), t.mode, t.line.dash if t.line else None, str(t.marker.symbol if t.marker else None))
                 if t.type == "scatter" else (str(color(t)),) for t in shown]  # fmt: skip
        assert len(looks) == len(set(looks)), [trace.name for trace in shown]


def test_no_legend_shows_one_color_for_markers_of_several(figures: list[go.Figure]) -> None:
    for trace in (trace for figure in figures for trace in figure.data):
        scale = trace.type == "scatter" and trace.marker.colorscale is not None
        found = color(trace)
        several = scale or (isinstance(found, tuple | list) and len(set(found)) > 1)
        assert not several or trace.showlegend is False, trace.name


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 10])
def test_axes_of_few_epochs_have_whole_ticks(epochs: int) -> None:
    found = find(make_study(20, epochs=epochs))
    drawn = [drawing.figure for part in sections(found) if part.id == "curves" for drawing in part.figures]
    assert len(drawn) == 4 and all(figure.layout.xaxis.dtick == 1 for figure in drawn)


def test_a_gray_picture_has_the_colors_of_its_parts(figures: list[go.Figure]) -> None:
    assert any({"training", "validation"} == {trace.name for trace in figure.data} for figure in figures)
