"""The page of an examination: complete, self-contained, escaped; and what the terminal says."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from examined import COPIES, CURVE, NOTE, diagnosis, pixels

from regstudy.doctor.findings import Chart, Checked, Diagnosis, Finding, Pictures, Unjudged, parse
from regstudy.doctor.render.charts import draw
from regstudy.doctor.render.diagnosis_page import diagnosis_page
from regstudy.doctor.render.diagnosis_phrasing import first_to_fix, lines, short_lines
from regstudy.doctor.yaml_lines import configuration_lines
from regstudy.report.media import picture

EVIL = "<script>alert(1)</script>"


def section(page: str, name: str) -> str:
    found = re.search(rf'<section id="{name}">.*?</section>', page, re.DOTALL)
    assert found, name
    return found[0]


def test_the_page_has_a_section_for_each_stage_with_findings_and_their_pictures() -> None:
    page = diagnosis_page(diagnosis(COPIES, NOTE, CURVE), ["Other images were used."])
    ids = re.findall(r'<section id="([^"]+)"', page)
    assert ids == ["data", "split", "training", "seen", "checked", "unjudged"]
    assert "Fix this first: 12% of the validation images" in page
    data = section(page, "data")
    for words in ("▲ blocks the study", "48 of 400", "data: {group: near_duplicates}", "very likely (copies)"):
        assert words in data, words
    assert "<code>data.group: near_duplicates</code>" in data
    assert data.count("<img ") == 4 and data.count('class="pair"') == 2
    assert data.count('width="128"') == 4  # 8 pixels enlarged by a whole number
    assert 'class="plot"' in section(page, "split")  # its check is of that stage, which has a finding
    assert "schedule: {name: cosine}" in section(page, "training")
    assert section(page, "seen").count("<img ") == 1
    checked = section(page, "checked")
    assert "2 checks passed; 1 had findings." in checked and "<details>" in checked
    assert "400 validation images compared" not in checked
    assert "fix lr-too-large first" in section(page, "unjudged")
    assert page.index("Other images were used.") < page.index("Fix this first")


def test_the_page_loads_nothing_from_elsewhere() -> None:
    page = diagnosis_page(diagnosis(COPIES))
    body = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"(src|href)=\"(?!data:image/png;base64,|#)", body)
    assert "default-src 'none'" in body


def test_a_clean_bill_is_good_and_says_what_was_checked() -> None:
    page = diagnosis_page(diagnosis())
    assert 'class="verdict good"' in page
    assert "No findings in 3 checks." in page
    assert re.findall(r'<section id="([^"]+)"', page) == ["seen", "checked", "unjudged"]
    assert 'class="verdict good"' in diagnosis_page(diagnosis(NOTE))
    assert 'class="verdict good"' not in diagnosis_page(diagnosis(CURVE))


def test_whatever_a_user_may_have_named_is_escaped() -> None:
    evil = Finding("copies", "data", "blocks", EVIL, (EVIL,), EVIL, "certain", {"data.root": EVIL})
    charts = (
        Chart("copies", EVIL, EVIL, EVIL, {EVIL: ((EVIL, "b"), (1.0, 2.0))}, kind="bars"),
        Chart("other", EVIL, EVIL, EVIL, {EVIL: ((1, 2), (1.0, 2.0))}),
    )
    shown = (Pictures("copies", EVIL, (pixels(4),), (EVIL,)),)
    whole = Diagnosis(EVIL, (evil,), (Checked(EVIL, "data", EVIL),), (Unjudged(EVIL, "data", EVIL),), shown + charts)
    page = diagnosis_page(whole, [EVIL])
    assert "<script>alert" not in page
    figures = re.findall(r'<script type="application/json">(.*?)</script>', page)
    assert len(figures) == 2
    for figure in figures:
        words = json.dumps(json.loads(figure)).replace("\\u003c", "<")
        assert "<script>" not in words and "&lt;script" in words
    assert diagnosis_page(replace(whole, subject="a\udcff"))  # the name of a file that is no text


def test_charts_have_titles_axes_and_words_under_the_pointer() -> None:
    bars, curve = (draw(chart) for chart in diagnosis().media if isinstance(chart, Chart))
    assert bars.title == "Images per class"
    assert bars.figure.layout.xaxis.title.text == "class" and bars.figure.layout.yaxis.title.text == "images"
    assert bars.figure.layout.xaxis.type == "category"  # classes called 0 and 1 are names
    assert bars.figure.data[1].text[1] == "validation<br>class: 1<br>images: 200"
    assert curve.figure.layout.xaxis.type == curve.figure.layout.yaxis.type == "log"
    assert list(curve.figure.data[0].y) == [2.1, 1.2, None]
    assert not curve.figure.data[0].showlegend


@pytest.mark.parametrize(("side", "width"), [(8, 128), (28, 112), (64, 128), (96, 96), (224, 224), (900, 320)])
def test_small_pictures_are_enlarged_and_large_ones_reduced(side: int, width: int) -> None:
    assert picture(pixels(side), "").width == width


def test_the_terminal_gets_every_finding_with_what_to_do() -> None:
    for width in (80, 100, 200):
        said = list(lines(diagnosis(COPIES, NOTE, CURVE), width))
        assert max(map(len, said)) <= min(width, 110)
        text = "\n".join(said)
        assert text.index("Leakage and labels") < text.index("Train/validation split") < text.index("Model and")
        for words in ("  1. ▲ 12%", "  2. · Fifty", "  3. ● The", "Fix: Keep", "data: {group: near_duplicates}"):
            assert words in text
        assert "Fix this first: 12%" in text
        assert "Passed 2 checks: class counts, learning rates." in text
        assert "Skipped: overfitting a batch (fix lr-too-large first)" in " ".join(text.split())


def test_a_study_gets_a_line_for_what_matters() -> None:
    said = list(short_lines(diagnosis(COPIES, NOTE, CURVE), "regstudy doctor x"))
    assert said[0].startswith("Doctor: 3 findings") and "1 note" in said[0]
    assert [line[:3] for line in said[1:3]] == ["  ▲", "  ●"]
    assert "Fix: Decrease it to about 0.002" in said[2]
    assert said[-1].endswith("regstudy doctor x") and len(said) == 4
    assert list(short_lines(diagnosis(), "c")) == ["Doctor: no findings in 3 checks (details: c)."]


def test_nothing_that_a_file_is_called_leaves_its_line() -> None:
    odd = Finding("copies", "data", "blocks", "a\nb\x1b[2Jc", ("d\re",))
    assert all(line.isprintable() for line in [*lines(diagnosis(odd), 80), *short_lines(diagnosis(odd), "")])


def test_what_is_mended_first_is_what_makes_a_study_meaningless() -> None:
    assert first_to_fix(diagnosis(NOTE, CURVE)) is CURVE
    assert first_to_fix(diagnosis(NOTE)) is None
    late = replace(COPIES, stage="training")
    assert first_to_fix(diagnosis(CURVE, late)) is late


def test_changes_as_lines() -> None:
    changes = {"data.group": "near_duplicates", "optimizer.lr": 0.002, "schedule": {"name": "step", "step_size": 3}}
    assert configuration_lines(changes | {"model.options.head": None, "training.patience": None}) == [
        "data: {group: near_duplicates}",
        "optimizer: {lr: 0.002}",
        "schedule: {name: step, step_size: 3}",
        "training: {patience: null}",
        "# remove model.options.head",
    ]


def test_a_plain_diagnosis_reads_back() -> None:
    whole = diagnosis(COPIES, CURVE)
    assert parse(json.loads(json.dumps(whole.plain()))).findings == whole.findings
