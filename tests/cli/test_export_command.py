"""`regstudy export` as a user meets it: formats, choices, warnings, and each misuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import optuna
import pytest
from conftest import Command

import regstudy as package
from regstudy.space.yaml_values import read_yaml_text
from regstudy.study import attributes

pytestmark = pytest.mark.table

KEPT = Path(__file__).parents[1] / "fixtures" / "studies"


@pytest.fixture(autouse=True)
def studies(tmp_path: Path) -> None:
    for name in ("search", "half_finished", "comparison"):
        shutil.copytree(KEPT / name, tmp_path / name)
    (tmp_path / "foreign.py").write_text("print('mine')\n")


FORMATS = {
    "by default": ([], "best.yaml", "yaml"),
    "json by suffix": (["-o", "x.json"], "x.json", "json"),
    "python by suffix": (["-o", "x.py"], "x.py", "python"),
    "yml": (["-o", "x.yml"], "x.yml", "yaml"),
    "another suffix": (["-o", "x.txt"], "x.txt", "yaml"),
    "json": (["--format", "json"], "best.json", "json"),
    "python": (["--format", "python"], "train.py", "python"),
    "a file without a suffix": (["--format", "python", "-o", "x"], "x", "python"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats(name: str, regstudy: Command, tmp_path: Path) -> None:
    options, file, kind = FORMATS[name]
    done = regstudy("export", "search", *options)
    assert done.returncode == 0, done.stderr
    assert f"to {file}. Train on it: " in done.stdout
    text = (tmp_path / file).read_text(encoding="utf-8")
    if kind == "python":
        compile(text, file, "exec")
        assert text.startswith("# Written by regstudy export, digest ")
    else:
        (json.loads if kind == "json" else str)(text)
        assert read_yaml_text(text, file)["model"]["name"] == "small_cnn"
    again = regstudy("export", "search", *options)  # its own file is replaced
    assert again.returncode == 0, again.stderr
    (tmp_path / file).write_text(text + "# edited\n")
    edited = regstudy("export", "search", *options)
    assert edited.returncode == 2
    assert "somebody has changed it since" in edited.stderr


CHOICES = {
    "best": ([], "trial 3 ", "It has the best value of all."),
    "rank": (["--rank", "2"], "trial 10 ", "It has rank 2 of 11 by their values in the search."),
    "number": (["--trial", "4"], "trial 4 ", ""),
    "baseline": (["--trial", "0"], "trial 0 ", "It is the baseline, with every regularizer off."),
    "simplest": (["--simplest"], "trial 0 ", "it has the fewest and weakest regularizers: no regularizer."),
}


@pytest.mark.parametrize("name", CHOICES)
def test_choices(name: str, regstudy: Command, tmp_path: Path) -> None:
    options, trial, why = CHOICES[name]
    done = regstudy("export", "search", *options)
    assert done.returncode == 0, done.stderr
    assert f"Wrote {trial}" in done.stdout
    assert why in done.stdout
    assert why in (tmp_path / "best.yaml").read_text()


WARNINGS = {
    "search": "Not confirmed: the best of 11 trials on the same validation images",
    "half_finished": "The study is unfinished: 5 of 12 trials, so a better one may follow.",
    "comparison": "The study is a comparison: this is a single run of one of its arms",
}


@pytest.mark.parametrize("study", WARNINGS)
@pytest.mark.parametrize("file", ["x.yaml", "x.json", "x.py"])
def test_warnings_stand_on_stderr_and_in_the_file(study: str, file: str, regstudy: Command, tmp_path: Path) -> None:
    done = regstudy("export", study, "-o", file)
    assert done.returncode == 0
    assert f"warning: {WARNINGS[study]}" in done.stderr
    assert f"Warning: {WARNINGS[study]}" in (tmp_path / file).read_text()


def test_the_pareto_set_is_listed_and_nothing_is_written(regstudy: Command, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    done = regstudy("export", "search", "--pareto")
    assert done.returncode == 0, done.stderr
    assert "3 trials of 11 that no other beats in both validation accuracy and gap:" in done.stdout
    assert "Export one: regstudy export search --trial 14" in done.stdout
    assert "none is confirmed with fresh seeds" in done.stderr
    assert "warning: The study is unfinished" in regstudy("export", "half_finished", "--pareto").stderr
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("limit", "says", "never"),
    [
        (1.0, "Export one: regstudy export search --trial 14", "above the limit"),
        (-1.0, "None of them keeps to the study's limit on the gap", "Export one"),
    ],
)
def test_the_pareto_set_says_what_a_limit_on_the_gap_allows(
    limit: float, says: str, never: str, regstudy: Command, tmp_path: Path
) -> None:
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{tmp_path / 'search' / 'study.db'}")
    study.set_user_attr(attributes.GAP_AT_MOST, limit)
    done = regstudy("export", "search", "--pareto")
    assert done.returncode == 0, done.stderr
    assert says in done.stdout and never not in done.stdout
    assert done.stdout.count("(above the limit)") == (3 if limit < 0 else 0)


MISUSES = {
    "two choices": (["--trial", "3", "--rank", "1"], "trial (--trial) and rank (--rank) each choose a trial"),
    "rank 0": (["--rank", "0"], "rank (--rank) must be from 1 to 11"),
    "rank beyond": (["--rank", "12"], "rank (--rank) must be from 1 to 11"),
    "no such trial": (["--trial", "99"], "has no trial 99"),
    "no such format": (["--format", "yml"], "there is no format 'yml'. Did you mean 'yaml'?"),
    "format against name": (["--format", "python", "-o", "x.yaml"], "Give the file the suffix .py"),
    "pareto and a file": (["--pareto", "-o", "x.yaml"], "cannot be combined with -o"),
    "pareto and a trial": (["--pareto", "--trial", "0"], "cannot be combined with --trial"),
    "pareto and a format": (["--pareto", "--format", "json", "--simplest"], "with --format, --simplest"),
    "foreign file": (["-o", "foreign.py"], "foreign.py exists already"),
    "database": (["-o", "search/study.db"], "is the name or the content of a study's database"),
    "folder": (["-o", "search"], "is a folder"),
}


def contents(folder: Path) -> dict[Path, bytes]:
    """All files but those that SQLite makes while a database is open."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("study.db-")]
    return {path: path.read_bytes() for path in files}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_is_one_paragraph_and_nothing_is_written(name: str, regstudy: Command, tmp_path: Path) -> None:
    options, words = MISUSES[name]
    before = contents(tmp_path)
    done = regstudy("export", "search", *options)
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr
    assert contents(tmp_path) == before


@pytest.mark.parametrize("option", ["--simplest", "--pareto"])
def test_what_has_no_meaning_in_a_comparison_is_refused(option: str, regstudy: Command) -> None:
    done = regstudy("export", "comparison", option)
    assert done.returncode == 2
    assert "is a comparison of fixed configurations" in done.stderr


def test_the_python_api_does_the_same_in_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = package.export("search", "x.py", rank=2)
    assert (done.path, done.format, done.trial) == (Path("x.py"), "python", 10)
    assert done.trust.warnings
    with pytest.raises(package.RegstudyError, match="rank must be a whole number"):
        package.export("search", rank="2")  # type: ignore[arg-type]
