"""`regstudy doctor`, and the examination before a study, as a user meets them; what is found is put in their place."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Command
from examined import COPIES, CURVE, NOTE, diagnosis
from rich.console import Console

from regstudy.cli.listener import ConsoleListener
from regstudy.config.schema import Data
from regstudy.data.image_set import ImageSet
from regstudy.doctor.findings import Diagnosis, Finding
from regstudy.doctor.fix import NOTHING_TO_FIX
from regstudy.errors import DataUnavailable
from regstudy.report.page import write_report
from regstudy.search.events import Examining
from regstudy.space.loader import load_space, shipped_spaces
from regstudy.space.search_space import Space
from regstudy.study import attributes

pytestmark = pytest.mark.table

SETS = ["--set", "training.epochs=2", "--set", "data.train_limit=60", "--set", "data.validation=60"]
DOCTOR = ["doctor", "digits_cnn", *SETS]
STUDY = ["study", "--space", "digits_cnn", "--trials", "1", *SETS]
Examinations = list[dict[str, Any]]
Stub = Callable[..., Examinations]


def absent(part: str, config: Data, data_dir: Path) -> ImageSet:  # noqa: ARG001
    """Images that cannot be had: ``data.name: test_doctor_command:absent``."""
    raise DataUnavailable("The data set is not here.")


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Stub:
    """Let examinations find just these findings, or raise; gives a list that fills with what was examined."""
    seen: Examinations = []

    def put(*findings: Finding, error: Exception | None = None) -> Examinations:
        def examine(space: Space, splits: Any, *, on_progress: Any = None, **given: Any) -> Diagnosis:
            seen.append({"space": space, "splits": splits, **given})
            on_progress("copies")
            if error is not None:
                raise error
            return replace(diagnosis(*findings), subject=space.name)

        monkeypatch.setattr("regstudy.cli.doctor_command.examine_space", examine)
        monkeypatch.setattr("regstudy.doctor.from_config.examine_space", examine)
        return seen

    return put


def kept(folder: Path) -> dict[str, Any]:
    study = optuna.load_study(study_name=folder.name, storage=f"sqlite:///{folder / 'study.db'}")
    return dict(study.user_attrs[attributes.DOCTOR])


def in_words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(("findings", "code"), [((), 0), ((NOTE, CURVE), 0), ((NOTE, COPIES), 1)])
def test_the_exit_code_says_whether_something_blocks(
    regstudy: Command, found: Stub, findings: tuple[Finding, ...], code: int
) -> None:
    found(*findings)
    done = regstudy(*DOCTOR)
    assert done.returncode == code, done.stderr
    said = in_words(done.stdout)
    assert "The model does not see the test part" in said and "Passed 2 checks" in said
    assert all(finding.sentence in said for finding in findings)
    assert ("--fix > fixed.yaml" in said) == any(finding.changes for finding in findings)


@pytest.mark.parametrize(("words", "depth"), [([], "default"), (["--preflight"], "preflight"), (["--full"], "full")])
def test_how_deep_it_looks(regstudy: Command, found: Stub, words: list[str], depth: str) -> None:
    seen = found()
    assert regstudy(*DOCTOR, *words).returncode == 0
    assert seen[0]["depth"] == depth and seen[0]["data_dir"] == Path("data")
    assert len(seen[0]["splits"].train) == 60 and seen[0]["space"].name == "digits_cnn"


MISUSES = {
    "both depths": (["--preflight", "--full"], "mutually exclusive"),
    "page of another kind": (["-o", "report.pdf"], "must end in .html"),
    "two on standard output": (["--fix", "--json", "-"], "both write to standard output"),
    "wrong value": (["--set", "training.epoch=3"], "Did you mean 'epochs'?"),
    "json in a folder": (["--json", "."], "is a folder"),
}


@pytest.mark.parametrize(("words", "said"), MISUSES.values(), ids=MISUSES)
def test_misuse_is_told_before_anything_is_examined(
    regstudy: Command, found: Stub, words: list[str], said: str
) -> None:
    seen = found()
    done = regstudy(*DOCTOR, *words)
    assert done.returncode == 2 and said in in_words(done.stderr) and not seen


def test_what_cannot_be_found_is_told(regstudy: Command, found: Stub, tmp_path: Path) -> None:
    found()
    (tmp_path / "empty").mkdir()
    assert "There is no study in empty" in in_words(regstudy("doctor", "empty").stderr)
    assert "Did you mean 'digits_cnn'?" in regstudy("doctor", "digits_cn").stderr
    assert "no space file 'none.yaml'" in regstudy("doctor", "none.yaml").stderr
    found(error=RuntimeError("a network of one's own"))
    done = regstudy(*DOCTOR)
    assert done.returncode == 2 and "failed" in done.stderr and "a network of one's own" in done.stderr


def test_findings_as_json_in_a_file_or_alone_on_standard_output(regstudy: Command, found: Stub, tmp_path: Path) -> None:
    found(COPIES)
    assert regstudy(*DOCTOR, "--json", "deep/found.json").returncode == 1
    written = json.loads((tmp_path / "deep" / "found.json").read_text())
    assert written["findings"][0]["id"] == "copies" and written["subject"] == "digits_cnn"
    done = regstudy(*DOCTOR, "--json", "-")
    assert json.loads(done.stdout) == written
    assert COPIES.sentence in in_words(done.stderr)


def test_a_page_is_written(regstudy: Command, found: Stub, tmp_path: Path) -> None:
    found(COPIES)
    done = regstudy(*DOCTOR, "-o", "deep/page.html")
    assert "Page: deep/page.html" in done.stdout
    page = (tmp_path / "deep" / "page.html").read_text(encoding="utf-8")
    assert COPIES.sentence in page and "data:image/png;base64," in page


def test_fix_prints_the_mended_file_and_nothing_else(regstudy: Command, found: Stub, tmp_path: Path) -> None:
    found(COPIES, CURVE, Finding("dead", "training", "distorts", "Units are dead."))
    done = regstudy(*DOCTOR, "--fix")
    assert done.returncode == 1
    (tmp_path / "fixed.yaml").write_text(done.stdout, encoding="utf-8")
    config = load_space(tmp_path / "fixed.yaml").defaults()
    assert (config.data.group, config.data.train_limit, config.training.epochs) == ("near_duplicates", 60, 2)
    assert (config.optimizer.lr, config.schedule.name) == (0.002, "cosine")
    assert done.stdout.startswith(shipped_spaces()["digits_cnn"].read_text(encoding="utf-8").partition("\n")[0])
    said = in_words(done.stderr)
    assert COPIES.sentence in said and "Fix by hand: dead." in said and "Fixed: copies, lr-too-large." in said

    found(NOTE)
    done = regstudy("doctor", "digits_cnn", "--fix")
    assert done.returncode == 0
    assert done.stdout == NOTHING_TO_FIX + shipped_spaces()["digits_cnn"].read_text(encoding="utf-8")


def test_a_fix_that_is_refused_is_told(regstudy: Command, found: Stub) -> None:
    found(replace(COPIES, changes={"data.group": "slide(\\d+)"}))  # digits have no paths
    done = regstudy(*DOCTOR, "--fix")
    assert "Not fixed: copies" in done.stderr and "# doctor, copies" not in done.stdout


def test_substitute_data_are_examined_where_the_real_ones_cannot_be_had(
    regstudy: Command, found: Stub, tmp_path: Path
) -> None:
    text = "data: {name: 'test_doctor_command:absent', fallback: {name: digits, size: 32, train_limit: 200}}\n"
    text += "model: {name: dropout_cnn, dropout: {low: 0.0, high: 0.5}}\n"
    (tmp_path / "mine.yaml").write_text(text)
    seen = found(COPIES)
    done = regstudy("doctor", "mine.yaml", "--fix", "-o", "page.html")
    assert done.returncode == 1, done.stderr
    assert seen[0]["space"].name == "mine@digits"
    assert "was examined instead of test_doctor_command:absent" in in_words(done.stderr)
    assert "fallback: {name: digits, size: 32, train_limit: 200, group: near_duplicates}" in done.stdout
    assert "is not here" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_study_begins_with_its_examination_and_keeps_it(regstudy: Command, found: Stub, tmp_path: Path) -> None:
    seen = found(NOTE, CURVE)
    done = regstudy(*STUDY)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "results" / "digits_cnn"
    assert seen[0]["depth"] == "preflight" and len(seen) == 1
    assert f"● {CURVE.sentence} Fix: {CURVE.advice}" in done.stdout and NOTE.sentence not in done.stdout
    assert "regstudy doctor digits_cnn --set training.epochs=2" in done.stdout
    assert done.stdout.index(CURVE.sentence) < done.stdout.index("Estimated cost:")
    facts = kept(folder)
    assert {each["id"] for each in facts["findings"]} == {"lr-too-large", "few-images"}
    assert facts["split_hash"] == seen[0]["splits"].hash and not facts["forced"]
    report = (folder / "report.html").read_text(encoding="utf-8")
    first = re.search(r'<details id="checks".*?\n  </details>', report, re.DOTALL)
    assert first and CURVE.sentence in first[0] and NOTE.sentence in first[0]
    assert "Doctor, before the search: 2 findings" in first[0]
    assert CURVE.sentence in (folder / "summary.md").read_text(encoding="utf-8")

    again = regstudy(*STUDY[:4], "2", *SETS)
    assert again.returncode == 0 and len(seen) == 1
    assert "they were not examined again." in again.stdout

    study = regstudy("doctor", "results/digits_cnn", "--fix")
    assert study.returncode == 0, study.stderr
    assert seen[-1]["splits"].hash == facts["split_hash"] and seen[-1]["space"].name == "digits_cnn"
    assert "schedule: {name: cosine}" in study.stdout


def test_a_study_that_would_be_meaningless_does_not_begin(regstudy: Command, found: Stub, tmp_path: Path) -> None:
    found(COPIES)
    for words in ([], ["--dry-run"]):
        done = regstudy(*STUDY, *words)
        assert done.returncode == 2
        said = in_words(done.stderr)
        for part in (COPIES.sentence, "Nothing was written", "--fix > fixed.yaml", "--force"):
            assert part in said, part
        assert "Estimated cost" not in done.stdout
        assert not list(tmp_path.iterdir())

    forced = regstudy(*STUDY, "--force")
    assert forced.returncode == 0, forced.stderr
    folder = tmp_path / "results" / "digits_cnn"
    assert kept(folder)["forced"]
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "started with --force" in report and COPIES.sentence in report


def test_a_study_without_examination_says_so(regstudy: Command, found: Stub, tmp_path: Path) -> None:
    seen = found(COPIES)
    done = regstudy(*STUDY, "--no-doctor")
    assert done.returncode == 0 and not seen, done.stderr
    folder = tmp_path / "results" / "digits_cnn"
    assert kept(folder) == {"skipped": "started with --no-doctor"}
    assert "started with --no-doctor" in (folder / "report.html").read_text(encoding="utf-8")
    found(CURVE)
    assert regstudy(*STUDY[:4], "2", *SETS).returncode == 0
    assert len(seen) == 1 and kept(folder)["findings"]


def test_an_examination_that_breaks_down_stops_no_study(regstudy: Command, found: Stub, tmp_path: Path) -> None:
    found(error=ZeroDivisionError("by zero"))
    done = regstudy(*STUDY)
    assert done.returncode == 0, done.stderr
    assert "The study starts without it" in done.stdout
    assert "by zero" in kept(tmp_path / "results" / "digits_cnn")["skipped"]


def test_an_older_study_has_no_word_of_the_doctor_in_its_report(tmp_path: Path) -> None:
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    assert "doctor" not in write_report(study, tmp_path).read_text(encoding="utf-8").lower().partition("plotly")[0]


def test_a_terminal_shows_the_check_under_way_and_a_file_does_not() -> None:
    for terminal in (True, False):
        stream = io.StringIO()
        with ConsoleListener(Console(file=stream, force_terminal=terminal, width=80)) as listener:
            listener(Examining("a[b]", "labels [1]"))
        assert ("a[b]" in stream.getvalue()) == terminal
