"""Places of studies: links, moved folders, database files of any name, several studies in one file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import Command
from foreign_studies import FIXTURES, KINDS, NAME, plain, two

import regstudy as library
from regstudy.errors import StudyError
from regstudy.study import place as study_places
from regstudy.study.place import DATABASE_FILE, StudyPlace, find_study, open_study, place_at
from regstudy.study.storage import open_existing, open_storage, sqlite_url

pytestmark = pytest.mark.table


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder with a finished study of regstudy."""
    shutil.copytree(FIXTURES / "search", tmp_path / "results" / "search")
    shutil.copy(FIXTURES / "digits.yaml", tmp_path / "digits.yaml")
    return tmp_path / "results"


def moved(results: Path) -> Path:
    return results.rename(results.parent / "elsewhere") / "search"


def renamed(results: Path) -> Path:
    return (results / "search").rename(results / "Search")


def linked(results: Path) -> Path:
    (results / "SEARCH").symlink_to(results / "search")  # as two names of one folder on a case-insensitive disk
    return results / "SEARCH"


def linked_results(results: Path) -> Path:
    (results.parent / "link").symlink_to(results)
    return results.parent / "link" / "search"


def strange_path(results: Path) -> Path:
    return (results / "search").rename(results / "50% {of} it? #1 [x] & ü")


@pytest.mark.parametrize("change", [moved, renamed, linked, linked_results, strange_path])
def test_a_study_opens_wherever_its_folder_is(regstudy: Command, results: Path, change: object) -> None:
    folder = change(results)  # type: ignore[operator]
    assert library.load_results(folder).finished == 16
    assert regstudy("report", str(folder)).returncode == 0 and (folder / "report.html").is_file()
    assert regstudy("export", str(folder), "-o", "best.yaml").returncode == 0


@pytest.mark.parametrize("change", [renamed, linked])
def test_a_study_resumes_under_another_name(regstudy: Command, results: Path, change: object) -> None:
    folder = change(results)  # type: ignore[operator]
    done = regstudy("study", "--space", "digits.yaml", "--study", folder.name, "--trials", "16", "--no-doctor")
    assert done.returncode == 0 and "Nothing left to do" in done.stdout, done.stderr
    storage = open_existing(sqlite_url(folder / DATABASE_FILE))
    assert storage is not None and [study.study_name for study in storage.get_all_studies()] == ["search"]


def test_a_file_may_have_any_name_and_its_report_lies_beside_it(regstudy: Command, tmp_path: Path) -> None:
    plain(tmp_path, file="my trials.sqlite3")
    before = (tmp_path / "my trials.sqlite3").read_bytes()
    done = regstudy("report", "my trials.sqlite3")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "my-trials" / "report.html").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my trials.sqlite3", "my-trials"]
    assert (tmp_path / "my trials.sqlite3").read_bytes() == before
    assert library.load_results(tmp_path / "my trials.sqlite3").finished == 12


def test_several_studies_in_a_file_are_named_and_chosen(regstudy: Command, tmp_path: Path) -> None:
    folder = tmp_path / "results" / NAME
    folder.mkdir(parents=True)
    two(folder, "one", "other")
    done = regstudy("report", "results/x")
    assert done.returncode == 2
    assert "holds 2 studies, none of which is called 'x': one, other. Choose one with --study NAME." in done.stderr
    done = regstudy("report", "results/x", "--study", "othr")
    assert done.returncode == 2 and "Did you mean 'other'?" in done.stderr
    assert regstudy("report", "results/x", "--study", "other").returncode == 0
    assert (folder / "other" / "report.html").is_file() and not (folder / "report.html").exists()
    assert library.load_results(folder, study="one").name == "one"
    done = regstudy("study", "--space", "digits_cnn", "--study", NAME, "--trials", "1", "--no-doctor", "--dry-run")
    assert done.returncode == 2 and "Use another study name" in done.stderr


@pytest.mark.parametrize("command", ["report", "export", "doctor", "dashboard"])
def test_a_mistyped_path_creates_nothing(regstudy: Command, tmp_path: Path, command: str) -> None:
    (tmp_path / "results" / "here").mkdir(parents=True)
    for path in ("results/gone", "results/here", "results/gone/study.db", "results/here/study.db"):
        done = regstudy(command, path)
        assert done.returncode == 2 and done.stderr.startswith("error: "), done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["results", "here"]


def test_reading_creates_nothing_and_does_not_change_the_mode(tmp_path: Path) -> None:
    assert open_existing(sqlite_url(tmp_path / "none.db")) is None and not list(tmp_path.iterdir())
    plain(tmp_path)
    before = (tmp_path / DATABASE_FILE).read_bytes()
    assert len(open_study(StudyPlace(tmp_path)).trials) == 12
    assert (tmp_path / DATABASE_FILE).read_bytes() == before


def test_what_optuna_creates_is_what_is_looked_for(tmp_path: Path) -> None:
    from regstudy.study.database import TABLES, content_of

    url = sqlite_url(tmp_path / DATABASE_FILE)
    storage = open_storage(url)
    import sqlalchemy

    assert set(sqlalchemy.inspect(storage.engine).get_table_names()) >= TABLES
    assert content_of(url) == "studies"


@pytest.mark.parametrize("kind", ["another program's database", "another program's studies"])
def test_no_study_is_created_in_the_database_of_another_program(regstudy: Command, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "results" / NAME
    folder.mkdir(parents=True)
    KINDS[kind](folder)
    before = (folder / DATABASE_FILE).read_bytes()
    done = regstudy("study", "--space", "digits_cnn", "--study", NAME, "--trials", "1", "--no-doctor")
    assert done.returncode == 2 and "not one of Optuna: its tables are" in done.stderr
    assert (folder / DATABASE_FILE).read_bytes() == before


def test_only_the_chosen_study_counts(tmp_path: Path) -> None:
    two(tmp_path, "one", "other")
    with pytest.raises(StudyError, match="holds 2 studies"):
        find_study(place_at(tmp_path))
    found = find_study(place_at(tmp_path / DATABASE_FILE, study="one"))
    assert found is not None and found.study_name == "one"
    assert study_places.listed([f"s{i}" for i in range(99)]).endswith(", …")
