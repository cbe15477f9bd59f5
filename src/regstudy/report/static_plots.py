"""The report's figures as SVG files, rendered by an installed browser; nothing is downloaded."""

from __future__ import annotations

import copy
import html
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import unquote

import plotly.offline

from regstudy.errors import RegstudyError
from regstudy.files import make_folder, read_bytes, write_atomically
from regstudy.files.outputs import check_outputs
from regstudy.report.figures import Drawing
from regstudy.report.sections import ReportSection
from regstudy.report.written_files import MARK_LINE

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
FLAGS = (
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--virtual-time-budget=60000",
)  # fmt: skip
WIDTH = 760  # pixels
TIMEOUT = 120  # seconds
EARLIER = (rb'\A<svg class="main-svg"',)  # how a figure begins that an earlier version has written
PAGE = """<!doctype html><meta charset="utf-8"><script>%s</script><pre id="drawn"></pre><script>
Promise.all(%s.map((figure) => Plotly.toImage(figure, {format: "svg", width: %d, height: figure.layout.height}))).then(
  (images) => { document.getElementById("drawn").textContent = JSON.stringify(images); });
</script>"""


def browser() -> str | None:
    """Path of an installed browser, None if there is none."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def write_pictures(sections: list[ReportSection], folder: Path, overwrite: bool = False) -> list[Path]:
    """Write every figure as `<section>-<number>.svg` below a folder; returns the files.

    Raises RegstudyError if there is no browser, if it fails, or if files of other origin are in the way.
    """
    program = browser()
    if program is None:
        names = ", ".join(BROWSERS)
        raise RegstudyError(
            f"Exporting SVG plots needs a browser, but none of {names} is installed. Install one of them."
        )
    named = [(f"{part.id}-{i}", drawing) for part in sections for i, drawing in enumerate(part.figures, start=1)]
    images = _draw(program, [drawing for _, drawing in named]) if named else []
    make_folder(folder)
    files = [folder / f"{name}.svg" for name, _ in named]
    check_outputs(dict.fromkeys(files, EARLIER), "report", overwrite, "Move it away, or replace it with --overwrite.")
    for file, image in zip(files, images, strict=True):
        write_atomically(file, MARK_LINE + image)
    for old in set(folder.glob("*-*.svg")) - set(files):  # left over from an earlier report with more figures
        if old.is_file() and read_bytes(old, len(MARK_LINE)) == MARK_LINE.encode():
            old.unlink()
    return files


def _draw(program: str, drawings: list[Drawing]) -> list[str]:
    """The figures as SVG texts, each with its title, on white."""
    figures = [_titled(drawing) for drawing in drawings]
    script = "[" + ",".join(figures).replace("<", "\\u003c") + "]"
    with tempfile.TemporaryDirectory(prefix="regstudy-") as scratch:
        page = Path(scratch) / "page.html"
        page.write_text(PAGE % (plotly.offline.get_plotlyjs(), script, WIDTH), encoding="utf-8")
        words = [program, *FLAGS, f"--user-data-dir={scratch}/profile", "--dump-dom", page.as_uri()]
        if _is_root():
            words.insert(1, "--no-sandbox")  # browsers refuse to run as root otherwise; the page is our own
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            raise RegstudyError(f"{program} did not render the figures within {TIMEOUT} seconds.") from None
    found = re.search(r'<pre id="drawn">(\[.*?\])</pre>', done.stdout, re.DOTALL)
    if found is None:
        raise RegstudyError(f"{program} did not render the figures (exit code {done.returncode}).")
    images = json.loads(html.unescape(found[1]))
    return [unquote(image.partition(",")[2]) for image in images]


def _titled(drawing: Drawing) -> str:
    """A figure as JSON with its heading inside."""
    figure = copy.deepcopy(drawing.figure)
    height = (figure.layout.height or 340) + 40
    title = {"text": html.escape(drawing.title), "x": 0.01, "font": {"size": 14, "color": "#1d2330"}}
    figure.update_layout(title=title, height=height, paper_bgcolor="white", plot_bgcolor="white")
    figure.update_layout(margin={"t": 70}, font={"color": "#4a5160"})
    return str(figure.to_json())


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
