"""The page about several searched studies, through the command line."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Command
from planted_race import Truth, fresh_runs_of, planted_race

from regstudy.study import attributes
from regstudy.study.companion import began
from regstudy.study.storage import sqlite_url

Report = Callable[..., tuple[int, str]]
FIXTURES = Path(__file__).parents[2] / "fixtures" / "studies"
OTHER = {"name": "digits", "split_hash": "ffff", "train": 1000, "classes": ["a", "b"]}


def put(root: Path, name: str, truth: Truth, *, seed: int = 1, data: Mapping[str, Any] | None = None,
        confirmed: bool = True, space: str = "", trials: int = 24) -> None:  # fmt: skip
    """A study in a folder, with its confirmation runs."""
    folder = root / name
    folder.mkdir()
    search, _ = planted_race(truth, name=name, seed=seed, trials=trials)
    url = sqlite_url(folder / "study.db")
    optuna.copy_study(from_study_name=name, from_storage=search._storage, to_storage=url)
    study = optuna.load_study(study_name=name, storage=url)
    study.set_user_attr(attributes.SEED, 0)
    study.set_user_attr(attributes.DATA, {**study.user_attrs[attributes.DATA], **(data or {})})
    study.set_user_attr(attributes.SPACE, space or "model: {name: small_cnn, dropout: {low: 0.0, high: 0.5}}")
    if confirmed:
        fresh = fresh_runs_of(study, truth, seed=seed, storage=url)
        fresh.set_user_attr(attributes.RACE, {**fresh.user_attrs[attributes.RACE], "since": began(study)})


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    put(root, "a", Truth())
    put(root, "b", Truth(winner=0.95), seed=2, trials=50, space="model: {name: resnet, dropout: {low: 0, high: 0.7}}")
    put(root, "open", Truth(), seed=3, confirmed=False)
    put(root, "other", Truth(), seed=4, data=OTHER)
    return root


@pytest.fixture
def report(regstudy: Command) -> Report:
    """Run `regstudy report`; the exit code, and what was printed with single spaces."""

    def run(*arguments: object) -> tuple[int, str]:
        done = regstudy("report", *map(str, arguments))
        return done.returncode, " ".join((done.stdout + done.stderr).replace("\N{NO-BREAK SPACE}", " ").split())

    return run


def test_the_better_of_two_studies_is_named(results: Path, report: Report) -> None:
    code, said = report(results / "a", results / "b")
    assert code == 0
    assert "Better than the other: b gives the best model" in said
    assert "Unequal budgets: b spent" in said and "not about their spaces" in said
    page = (results / "a-vs-b.html").read_text()
    assert "Better than the other" in page and "model.dropout" in page.replace("<wbr>", "")
    assert "0.0 to 0.5" in page and "The same images, split in the same way." in page
    rows = list(csv.DictReader((results / "a-vs-b.csv").read_text().splitlines()))
    assert [row["study"] for row in rows] == ["a", "b"] and rows[0]["group"] == rows[1]["group"]
    assert 0.94 < float(rows[1]["value_low"]) < float(rows[1]["value"]) < float(rows[1]["value_high"]) < 0.96
    assert (results / "a-vs-b.md").read_text().startswith("<!-- Written by regstudy report of several studies -->")
    assert not (results / "a" / "report.html").exists()
    assert report(results / "a", results / "b")[0] == 0, "its own page is replaced"


@pytest.mark.parametrize(
    ("names", "says", "never"),
    [
        (("a", "open"), ("It is not known which study gives the best model: open has", "regstudy confirm"), "model: a"),
        (("b", "other"), ("Not comparable", "different images (blood_cells, digits)", "4,800 + 400"), "gives the best"),
        (("a", "b", "other"), ("Not comparable", "that can be compared: a is", "worse than b"), "gives the best"),
        (("open", "other"), ("Not comparable", "different classes (4 and 2)"), "regstudy confirm"),
        (("a", "open", "other"), ("Not comparable", "regstudy confirm"), "gives the best"),
    ],
)
def test_what_may_not_be_said_is_not_said(
    results: Path, tmp_path: Path, report: Report, names: tuple[str, ...], says: tuple[str, ...], never: str
) -> None:
    code, said = report(*(results / name for name in names), "-o", tmp_path / "x.html")
    assert code == 0 and (tmp_path / "x.html").is_file()
    assert all(words in said for words in says), said
    assert never not in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("a", "a"), "is given 2 times"),
        (("a", "nosuch", "b", "othr"), "2 of the studies cannot be used: - There is no study in"),
        (("a", "othr"), "Did you mean"),
        (("a", "b", "--watch"), "only for the report of a single study"),
        (("a", "b", "--study", "a", "--plots"), "--study and --plots"),
        (("a", "-o", "x.html"), "only for a page about several studies"),
        (("a", "b", "-o", "x.txt"), "must be a file that ends in .html"),
        (("a", "b", "-o", "mine.html"), "exists already"),
    ],
)
def test_misuse(results: Path, tmp_path: Path, report: Report, arguments: tuple[str, ...], says: str) -> None:
    (tmp_path / "mine.html").write_text("<p>mine</p>")
    known = [str(results / one) if one in ("a", "b", "nosuch", "othr") else one for one in arguments]
    if "--study" in arguments:
        known[known.index("--study") + 1] = "a"
    code, said = report(*known)
    assert code == 2 and says in said, said
    assert (tmp_path / "mine.html").read_text() == "<p>mine</p>"
    assert "Traceback" not in said


def test_old_and_half_finished_studies(tmp_path: Path, report: Report) -> None:
    page = tmp_path / "x.html"
    names = ("search", "half_finished", "images")
    code, said = report(*(FIXTURES / name for name in names), "-o", page)
    assert code == 0 and page.is_file(), said
    assert "Not comparable" in said and "no confirmed value" in said
    code, said = report(FIXTURES / "search", FIXTURES / "half_finished", "-o", page)
    assert code == 0 and "It is not known which study gives the best model" in said
    code, said = report(FIXTURES / "search", FIXTURES / "comparison", "-o", page)
    assert code == 2 and "comparison of fixed configurations" in said
