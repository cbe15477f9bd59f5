"""`regstudy predict` through the real command line: answers, scores, what is skipped, and the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from trained_folder import make_trained

import regstudy
from regstudy.cli.app import main
from regstudy.errors import ArgumentError, DataError


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_trained(Path("out"))


def pictures(folder: str, count: int) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(noise).save(Path(folder) / f"{number:02}.png")


def command(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["predict", *words])
    shown = capsys.readouterr()
    assert (ended.value.code or 0) == code, shown
    return shown.err if code else shown.out


def test_a_few_images_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    pictures("new", 3)
    lines = command(capsys, "out", "new").splitlines()
    assert len(lines) == 4 and lines[0].split() == ["file", "class", "probability"]
    table = regstudy.load("out").predict("new")
    for line, (file, name, chance) in zip(lines[1:], table.iloc[:, :3].to_numpy(), strict=True):
        assert line.split() == [file, name, f"{chance:.1%}"]


def test_many_images_are_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    pictures("new", 40)
    shown = command(capsys, "out", "new")
    assert "40 images classified" in shown and "Least sure: new/" in shown and "-o predictions.csv" in shown
    assert len(shown.splitlines()) < 10


def test_the_file_has_the_columns_and_is_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    pictures("new", 3)
    for _ in range(2):
        assert "Wrote 3 rows to p.csv" in command(capsys, "out", "new", "-o", "p.csv")
    table = pd.read_csv("p.csv")
    assert list(table.columns) == ["file", "class", "probability", "p(ant)", "p(bee)", "p(cat)"]
    wanted = regstudy.load("out").predict("new")
    assert np.allclose(table.iloc[:, 2:], wanted.iloc[:, 2:], atol=1e-6) and table["file"].equals(wanted["file"])


@pytest.mark.parametrize("classes", [("a, b", 'c"d'), ("p", "q"), ("ä", "7")])
def test_the_file_is_known_again_whatever_the_classes_are(
    capsys: pytest.CaptureFixture[str], classes: tuple[str, ...]
) -> None:
    make_trained(Path("other"), classes=classes)
    pictures("new", 2)
    for name in classes:
        pictures(f"labeled/{name}", 2)
    for images in ("new", "labeled", "new"):
        command(capsys, "other", images, "-o", "p.csv")
    assert [name for name in pd.read_csv("p.csv").columns if name.startswith("p(")] == [f"p({c})" for c in classes]


@pytest.mark.parametrize("content", ["mine", "file,price\n1,2\n", "file,class,probability\n", "file,image,p(x)\n"])
def test_a_file_of_the_users_stays(capsys: pytest.CaptureFixture[str], content: str) -> None:
    pictures("new", 1)
    Path("p.csv").write_text(content)
    assert "--overwrite" in command(capsys, "out", "new", "-o", "p.csv", code=2)
    assert Path("p.csv").read_text() == content
    command(capsys, "out", "new", "-o", "p.csv", "--overwrite")
    assert Path("p.csv").read_text().startswith("file,class,probability,p(ant)")


def test_unreadable_files_are_skipped_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    pictures("new", 2)
    Path("new/notes.png").write_text("no picture")
    Path("new/short.png").write_bytes(Path("new/00.png").read_bytes()[:90])
    shown = " ".join(command(capsys, "out", "new", "gone.png", "-o", "p.csv").split())
    assert "Skipped: 3 files cannot be read as an image: new/notes.png (not an image); new/short.png (" in shown
    assert "gone.png (there is no such file or folder)" in shown
    assert len(pd.read_csv("p.csv")) == 2


def test_only_unreadable_files_are_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    Path("notes.png").write_text("no picture")
    shown = command(capsys, "out", "notes.png", "gone.png", "-o", "p.csv", code=2)
    assert "No image was classified: 2 files cannot be read" in shown and not Path("p.csv").exists()


def test_labeled_folders_are_scored(capsys: pytest.CaptureFixture[str]) -> None:
    for name, count in (("ant", 4), ("bee", 3), ("cat", 2)):
        pictures(f"labeled/{name}", count)
    shown = command(capsys, "out", "labeled", "-o", "p.csv")
    assert "Scores on 9 images" in shown
    words = ("accuracy", "balanced accuracy", "macro F1", "recall of the worst class", "AUROC", "loss")
    assert all(word in shown for word in words)
    assert [line.split()[:2] for line in shown.splitlines() if line[:3] in ("ant", "bee", "cat")][-3:] == [
        ["ant", "4"],
        ["bee", "3"],
        ["cat", "2"],
    ]
    table = pd.read_csv("p.csv")
    assert list(table.columns)[:3] == ["file", "true_class", "class"]
    scores = regstudy.predict("out", "labeled").scores
    assert scores is not None
    assert scores.metrics["accuracy"] == pytest.approx((table["true_class"] == table["class"]).mean())


def test_unknown_class_folders_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    pictures("labeled/ant", 2)
    pictures("labeled/bea", 2)
    shown = " ".join(command(capsys, "out", "labeled").split())
    assert "Not scored" in shown and "'bea' (did you mean 'bee'?)" in shown and "Scores on" not in shown


def test_own_data_code_is_warned_about(capsys: pytest.CaptureFixture[str]) -> None:
    make_trained(Path("own"), {"data.name": "mine:load"})
    pictures("new", 1)
    assert "your own code (mine:load)" in " ".join(command(capsys, "own", "new").split())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nosuch", "new"), "There is no folder nosuch"),
        (("new", "new"), "no config.yaml"),
        (("out", "empty"), "no image in empty"),
        (("out", "new", "-o", "p.txt"), "must end in .csv"),
        (("out", "new", "-o", "new"), "must end in .csv"),
        (("out", "new", "-o", "out/config.yaml"), "must end in .csv"),
        (("out", "new", "--device", "tpu"), "no device 'tpu'"),
        (("out", ""), "is empty"),
    ],
)
def test_misuse_is_one_paragraph(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str) -> None:
    pictures("new", 1)
    Path("empty").mkdir()
    shown = command(capsys, *words, code=2).strip()
    assert says in " ".join(shown.split()) and "\n\n" not in shown and shown.startswith("error: ")


@pytest.mark.parametrize("images", [[], [7], 7, [np.zeros((2, 2))]])
def test_the_function_takes_paths_only(images: Any) -> None:
    with pytest.raises(ArgumentError, match="images must be paths"):
        regstudy.predict("out", images)


def test_the_function_returns_what_the_command_shows() -> None:
    pictures("new", 2)
    Path("new/notes.png").write_text("no picture")
    events: list[object] = []
    found = regstudy.predict("out", Path("new"), progress=events.append)
    assert (
        len(found.table) == 2 and dict(found.unreadable) == {"new/notes.png": "not an image"} and found.scores is None
    )
    assert "new/00.png" in str(found) and events
    with pytest.raises(DataError, match="No image was classified"):
        regstudy.predict("out", ["new/notes.png"])
