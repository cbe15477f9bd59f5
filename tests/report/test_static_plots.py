from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import plotly.graph_objects as go
import pytest
from conftest import require

from regstudy.errors import RegstudyError
from regstudy.report import static_plots
from regstudy.report.figures import Drawing
from regstudy.report.sections import ReportSection
from regstudy.report.written_files import MARK_LINE

EVIL = "<script>alert(1)</script> & 'more'"


def section(count: int) -> ReportSection:
    figures = [Drawing(f"{i} {EVIL}", go.Figure(go.Scatter(x=[1, 2], y=[3, 1 + i]))) for i in range(count)]
    return ReportSection("gap", "Gap", "", figures=figures)


@pytest.mark.browser
def test_every_figure_becomes_a_file_with_its_title_and_stale_ones_go(tmp_path: Path) -> None:
    require(static_plots.browser() is not None, "needs Chromium")
    (tmp_path / "gap-3.svg").write_text(MARK_LINE + "old")
    (tmp_path / "my-own.svg").write_text("of the user")
    files = static_plots.write_pictures([section(2)], tmp_path)
    assert [file.name for file in files] == ["gap-1.svg", "gap-2.svg"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["gap-1.svg", "gap-2.svg", "my-own.svg"]
    for i, file in enumerate(files):
        tree = ElementTree.parse(file)
        assert tree.getroot().get("width") == "760"
        assert f"{i} {EVIL}" in "".join(tree.getroot().itertext())


def test_without_a_browser_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RegstudyError, match=r"none of chromium.* is installed"):
        static_plots.write_pictures([section(1)], tmp_path)
    assert not list(tmp_path.iterdir())
