"""The list of the studies in a results folder: what each row says, and that no folder breaks it."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Command
from optuna.trial import TrialState
from synthetic import make_study

from regstudy.report.headline import keep_headline
from regstudy.report.index_page import INDEX_FILE, NO_REPORT, index_row, index_rows, render_index, write_index
from regstudy.report.page import write_report
from regstudy.report.phrasing import NONE
from regstudy.study import attributes
from regstudy.study.place import DATABASE_FILE, StudyPlace

pytestmark = pytest.mark.table

FIXTURES = Path(__file__).parents[1] / "fixtures" / "studies"


def stored(folder: Path, trials: int = 6) -> optuna.Study:
    """A synthetic study in a folder's database."""
    folder.mkdir(parents=True)
    made = make_study(trials, baseline=2)
    storage = f"sqlite:///{folder / DATABASE_FILE}"
    optuna.copy_study(
        from_study_name=made.study_name, from_storage=made._storage, to_storage=storage, to_study_name=folder.name
    )
    return optuna.load_study(study_name=folder.name, storage=storage)


def test_a_study_without_a_report_says_so(tmp_path: Path) -> None:
    stored(tmp_path / "mine")
    row = index_row(tmp_path / "mine")
    assert row is not None
    assert (row.name, row.kind, row.answer, row.page) == ("mine", "search", NO_REPORT, "")
    assert "6 finished" in row.status or "of" in row.status


def test_a_report_gives_the_answer_its_gain_and_a_link(tmp_path: Path) -> None:
    study = stored(tmp_path / "mine", 30)
    study.set_user_attr(attributes.TRIALS, 40)
    write_report(study, tmp_path / "mine")
    row = index_row(tmp_path / "mine")
    assert row is not None
    headline = study.user_attrs[attributes.HEADLINE]
    assert row.answer == headline["text"] and row.page == "mine/report.html" and row.date.startswith("20")
    assert row.gain == headline["fair_gain"] and row.gain.endswith("points")
    assert row.gain.replace("+", "") in headline["text"] and row.status.endswith("of 40 finished")


@pytest.mark.parametrize(
    ("headline", "gain"),
    [
        ({"text": "one", "fair_gain": "+1.3 points"}, "+1.3 points"),
        ({"text": "one", "fair_gain": None}, NONE),
        ({"text": "one", "gain": 0.03}, "+3.0 points (selected)"),  # as earlier versions stored it
        ({"text": "one", "gain": None}, NONE),
    ],
)
def test_a_selected_gain_is_called_so(headline: dict[str, Any], gain: str, tmp_path: Path) -> None:
    study = stored(tmp_path / "mine", 3)
    write_report(study, tmp_path / "mine")
    study.set_user_attr(attributes.HEADLINE, headline)
    row = index_row(tmp_path / "mine")
    assert row is not None and row.gain == gain
    said = "favors the arm" if gain.endswith("(selected)") else "at equal attempts</span>"
    assert (said in render_index("results", [row])) is (gain != NONE)


def test_trials_under_way_are_counted(tmp_path: Path) -> None:
    study = stored(tmp_path / "mine")
    study.add_trial(optuna.create_trial(state=TrialState.RUNNING))
    row = index_row(tmp_path / "mine")
    assert row is not None and row.status.endswith(", 1 running")


def test_a_headline_is_written_only_if_it_changed() -> None:
    study = make_study(3)
    keep_headline(study, "one")
    assert study.user_attrs[attributes.HEADLINE] == {"text": "one", "fair_gain": None}
    study.set_user_attr = None  # type: ignore[method-assign, assignment]  # a second write would fail
    keep_headline(study, "one")


def not_a_database(folder: Path) -> None:
    (folder / DATABASE_FILE).write_bytes(b"no database" * 100)


def empty(folder: Path) -> None:
    (folder / DATABASE_FILE).touch()


def foreign(folder: Path) -> None:
    with sqlite3.connect(folder / DATABASE_FILE) as file:
        file.execute("CREATE TABLE cats (name TEXT)")


def a_folder(folder: Path) -> None:
    (folder / DATABASE_FILE).mkdir()


def odd_attributes(folder: Path) -> None:
    shutil.rmtree(folder)
    study = stored(folder)
    study.set_user_attr(attributes.TRIALS, "many")


def several_studies(folder: Path) -> None:
    storage = f"sqlite:///{folder / DATABASE_FILE}"
    for name in ("one", "other"):
        optuna.create_study(study_name=name, storage=storage)


@pytest.mark.parametrize("spoil", [not_a_database, empty, foreign, a_folder, odd_attributes, several_studies])
def test_a_folder_that_cannot_be_read_is_listed_with_the_reason(tmp_path: Path, spoil: object) -> None:
    (tmp_path / "broken").mkdir()
    spoil(tmp_path / "broken")  # type: ignore[operator]
    before = sorted(path.name for path in (tmp_path / "broken").iterdir())
    stored(tmp_path / "good")
    page = write_index(StudyPlace(tmp_path / "good"))
    assert page is not None
    broken, good = index_rows(tmp_path)
    assert broken.problem and not good.problem
    assert "Cannot be read" in page.read_text(encoding="utf-8")
    assert sorted(path.name for path in (tmp_path / "broken").iterdir()) == before  # nothing was added to it


def test_other_folders_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "README.md").touch()
    assert index_rows(tmp_path) == [] and "No studies yet" in render_index("results", [])


def test_a_study_on_a_server_is_known_by_its_report_only(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "report.html").touch()
    row = index_row(tmp_path / "far")
    assert row is not None and row.page == "far/report.html" and "server" in row.status
    assert write_index(StudyPlace(tmp_path / "far", "postgresql://somewhere")) is None
    assert not (tmp_path / INDEX_FILE).exists()


def test_a_page_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    stored(tmp_path / "mine")
    (tmp_path / INDEX_FILE).write_text("<p>my own page</p>")
    assert write_index(StudyPlace(tmp_path / "mine")) is None
    assert (tmp_path / INDEX_FILE).read_text() == "<p>my own page</p>"
    (tmp_path / INDEX_FILE).unlink()
    assert write_index(StudyPlace(tmp_path / "mine")) == write_index(StudyPlace(tmp_path / "mine")) is not None


def test_names_and_answers_are_escaped(tmp_path: Path) -> None:
    study = stored(tmp_path / "a&b <i>")
    (tmp_path / "a&b <i>" / "report.html").touch()
    keep_headline(study, "<script>alert(1)</script>")
    text = render_index("results", index_rows(tmp_path))
    assert "<script" not in text and "<i>" not in text and 'href="a%26b%20%3Ci%3E/report.html"' in text


@pytest.mark.table
def test_reading_the_list_needs_neither_torch_nor_curves() -> None:
    code = "import sys, regstudy.report.index_page; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("name", "page"), [("search", "report.html"), ("comparison", "comparison.html")])
def test_the_report_command_updates_the_list(name: str, page: str, tmp_path: Path, regstudy: Command) -> None:
    shutil.copytree(FIXTURES / name, tmp_path / "results" / name)
    done = regstudy("report", f"results/{name}")
    assert done.returncode == 0 and INDEX_FILE in done.stdout
    text = (tmp_path / "results" / INDEX_FILE).read_text(encoding="utf-8")
    assert f'href="{name}/{page}"' in text and NO_REPORT not in text
