"""The report in a real browser: no errors, every figure drawn, nothing wider than a phone."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import require
from examined import COPIES, CURVE, NOTE, diagnosis
from PIL import Image
from planted_race import PLANTED, planted_race
from synthetic import make_study
from synthetic_plan import WHOLE, plan_study

from regstudy.analysis import importance
from regstudy.doctor.render.diagnosis_page import diagnosis_page
from regstudy.report.comparison.comparison_page import write_comparison
from regstudy.report.page import write_report

pytestmark = pytest.mark.browser

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--virtual-time-budget=8000",
    "--allow-file-access-from-files", "--enable-logging=stderr", "--v=0",
]  # fmt: skip
PHONE = 390  # pixels
WRAPPER = """<!doctype html><iframe id="frame" src="%s" style="border:0;width:%dpx;height:844px"></iframe>
<pre id="seen"></pre><script>
  const frame = document.getElementById("frame");
  frame.addEventListener("load", () => {
    frame.contentDocument.querySelectorAll("details.section").forEach((fold) => { fold.open = true; });
  });
  setInterval(() => {
    const page = frame.contentDocument, plots = [...page.querySelectorAll(".plot")];
    document.getElementById("seen").textContent = JSON.stringify({
      title: page.title, width: page.documentElement.clientWidth, needed: page.documentElement.scrollWidth,
      plots: plots.length, drawn: plots.filter((plot) => plot.querySelector("svg.main-svg .trace")).length,
    });
  }, 200);
</script>"""

ACTED = """<!doctype html><iframe id="frame" src="%s" style="border:0;width:1100px;height:900px"></iframe>
<pre id="seen"></pre><script>
  const frame = document.getElementById("frame");
  frame.addEventListener("load", () => {
    frame.contentDocument.querySelectorAll("details.section").forEach((fold) => { fold.open = true; });
  });
  frame.addEventListener("load", () => setTimeout(() => {
    const page = frame.contentDocument;
    document.getElementById("seen").textContent = JSON.stringify((() => { %s })());
  }, 3000));
</script>"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    original = importance.importances
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "regstudy.report.page.importances", lambda study, tables: original(study, tables, permutations=20)
        )
        return write_report(make_study(50, failed=1, diverged=1, underfit=2), tmp_path_factory.mktemp("report"))


def browse(page: Path | str, profile: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    require(browser is not None, "needs Chromium")
    address = page if isinstance(page, str) else page.as_uri()
    return subprocess.run(
        [str(browser), *FLAGS, f"--user-data-dir={profile}", *flags, address],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def console_errors(log: str) -> list[str]:
    """What pages wrote to the console, exceptions included; the browser's own complaints are not the report's."""
    return [line for line in log.splitlines() if "CONSOLE" in line]


def test_the_errors_of_a_page_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text("<!doctype html><script>missing.call()</script>", encoding="utf-8")
    assert "missing is not defined" in " ".join(console_errors(browse(page, tmp_path / "profile", "--dump-dom").stderr))


def seen_on_a_phone(page: Path, profile: Path) -> dict[str, Any]:
    """What the wrapper saw of a page."""
    return seen_by(page.parent / "wrapper.html", WRAPPER % (page.name, PHONE), profile)


def acted(page: Path, profile: Path, script: str) -> dict[str, Any]:
    """What a script returned that ran once on the loaded page, as `page` within the frame `frame`."""
    return seen_by(page.parent / "acted.html", ACTED % (page.name, script), profile)


def seen_by(wrapper: Path, text: str, profile: Path) -> dict[str, Any]:
    """The JSON that a wrapper page writes into `#seen`; nothing may have been written to the console."""
    wrapper.write_text(text, encoding="utf-8")
    done = browse(wrapper, profile, "--dump-dom")
    found = re.search(r'<pre id="seen">(\{.*?\})</pre>', done.stdout)
    assert found, done.stderr
    assert console_errors(done.stderr) == []
    seen: dict[str, Any] = json.loads(html.unescape(found[1]))
    return seen


def test_every_figure_is_drawn_and_a_phone_need_not_scroll_sideways(report: Path, tmp_path: Path) -> None:
    seen = seen_on_a_phone(report, tmp_path / "profile")
    assert seen["title"].startswith("digits_small_cnn")
    # curves, regularizers twice, importances, other settings, history
    assert seen["plots"] == seen["drawn"] == 4 + 2 * 5 + 2 + 3 + 1
    assert seen["width"] == PHONE and seen["needed"] <= PHONE


def test_trials_are_filtered_by_what_happened_and_by_words_and_the_curves_follow(report: Path, tmp_path: Path) -> None:
    seen = acted(
        report,
        tmp_path / "profile",
        """
        const filter = page.querySelector(".filter"), rows = [...page.querySelectorAll("#trials tbody tr")];
        const box = filter.querySelector("input[value=pruned]"), words = filter.querySelector("input[type=search]");
        const visible = () => rows.filter((row) => row.offsetParent !== null).length;
        const fire = (input) => input.dispatchEvent(new frame.contentWindow.Event("input", { bubbles: true }));
        const curves = [...page.querySelectorAll("#curves .plot")].find((plot) => plot.data.some((t) => t.meta));
        const hidden = () => curves.data.filter((trace) => trace.visible === "legendonly").map((trace) => trace.meta);
        const found = { all: visible(), rows: rows.length };
        box.checked = false; fire(box);
        found.unpruned = visible(); found.hidden = hidden(); found.output = filter.querySelector("output").textContent;
        words.value = "baseline"; fire(words);
        found.baseline = visible();
        return found;""",
    )
    assert seen["all"] == seen["rows"] == 50
    assert seen["unpruned"] == 50 - 11 and seen["output"] == "39 of 50"
    assert seen["hidden"] == ["pruned"]
    assert seen["baseline"] == 5


def test_hovering_names_the_trial(report: Path, tmp_path: Path) -> None:
    seen = acted(
        report,
        tmp_path / "profile",
        """
        const plot = page.querySelector("#gap .plot");
        frame.contentWindow.Plotly.Fx.hover(plot, [{ curveNumber: 0, pointNumber: 0 }]);
        return { text: [...plot.querySelectorAll(".hoverlayer text")].map((text) => text.textContent).join(" ") };""",
    )
    assert re.search(r"trial \d+: model\.dropout .*gap .*validation", seen["text"])


@pytest.mark.parametrize("kind", PLANTED)
def test_the_first_screen_fits_a_phone_in_every_status(kind: str, tmp_path: Path) -> None:
    search, fresh = planted_race(PLANTED[kind])
    with pytest.MonkeyPatch.context() as patch:
        original = importance.importances
        patch.setattr("regstudy.report.page.importances", lambda study, tables: original(study, tables, permutations=5))
        page = write_report(search, tmp_path, fresh=fresh)
    seen = seen_on_a_phone(page, tmp_path / "profile")
    assert seen["width"] == PHONE and seen["needed"] <= PHONE and seen["plots"] == seen["drawn"] > 0


def test_so_it_is_with_the_page_of_a_comparison(tmp_path: Path) -> None:
    seen = seen_on_a_phone(write_comparison(plan_study(WHOLE), tmp_path), tmp_path / "profile")
    assert seen["title"].startswith("a comparison")
    assert seen["plots"] == seen["drawn"] > 2
    assert seen["width"] == PHONE and seen["needed"] <= PHONE


def test_the_page_is_not_blank(report: Path, tmp_path: Path) -> None:
    shot = tmp_path / "page.png"
    done = browse(report, tmp_path / "profile", "--window-size=1200,3600", f"--screenshot={shot}")
    assert console_errors(done.stderr) == []
    with Image.open(shot) as image:
        colors = image.convert("RGB").getcolors(maxcolors=1 << 24)
    assert colors is not None and len(colors) > 300  # a page of text alone has about 150


def test_the_page_of_an_examination_draws_everything_on_a_phone(tmp_path: Path) -> None:
    page = tmp_path / "doctor.html"
    page.write_text(diagnosis_page(diagnosis(COPIES, NOTE, CURVE)), encoding="utf-8")
    seen = seen_on_a_phone(page, tmp_path / "profile")
    assert seen["plots"] == seen["drawn"] > 0
    assert seen["width"] == PHONE and seen["needed"] <= PHONE
    pictures = acted(
        page,
        tmp_path / "profile",
        """const shown = [...page.querySelectorAll("figure img")];
           return { all: shown.length, loaded: shown.filter((image) => image.naturalWidth > 0).length };""",
    )
    assert pictures["all"] == pictures["loaded"] == 5
