"""Studies made by version 0.1.0 open, resume and report. The files under fixtures/studies must never be made anew."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import optuna
import pandas as pd
import pytest
from conftest import Command
from PIL import Image

from regstudy.space.arms import load_arms, parse_variant, plan_of
from regstudy.space.loader import load_space
from regstudy.study import attributes
from regstudy.study.load_tables import load_tables

pytestmark = pytest.mark.table

KEPT = Path(__file__).parent / "fixtures" / "studies"
ARMS = ("plain", "dropout: model.dropout=0.5")
FINGERPRINTS = {
    "search": "00b158ef66913c93",
    "half_finished": "00b158ef66913c93",
    "images": "d57e60d2cfbce4b3",
    "comparison": "27caabb8fe3c3558",
}
RESUME = {
    "search": ["study", "--space", "digits.yaml", "--trials", "17", "--pruner", "median", "--no-doctor"],
    "half_finished": ["study", "--space", "digits.yaml", "--trials", "12", "--pruner", "none", "--no-doctor"],
    "images": ["study", "--space", "pictures.yaml", "--trials", "6", "--force"],
    "comparison": ["compare", "digits.yaml", "--arm", ARMS[0], "--arm", ARMS[1], "--repeats", "4"],
}
FINISHED = {"search": 17, "half_finished": 12, "images": 6, "comparison": 8}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the old studies under results/, beside the files that they were made from."""
    shutil.copytree(KEPT / "pictures", tmp_path / "pictures")
    for name in ("digits.yaml", "pictures.yaml", "exported.yaml"):
        shutil.copy(KEPT / name, tmp_path / name)
    for name in FINGERPRINTS:
        shutil.copytree(KEPT / name, tmp_path / "results" / name)
    return tmp_path


def load(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name=folder.name, storage=f"sqlite:///{folder / 'study.db'}")


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_the_stored_fingerprint_is_todays(name: str, old: Path) -> None:
    if name == "comparison":
        arms = load_arms([old / "digits.yaml"], [parse_variant(arm) for arm in ARMS])
        today = plan_of(name, arms).fingerprint
    else:
        today = load_space(old / ("pictures.yaml" if name == "images" else "digits.yaml")).fingerprint
    stored = load(old / "results" / name).user_attrs[attributes.FINGERPRINT]
    assert stored == FINGERPRINTS[name] == today


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_the_tables_of_an_old_study_are_the_same_to_the_bit(name: str, old: Path) -> None:
    tables = load_tables(load(old / "results" / name))
    for stored, table in (("trials.csv", tables.trials), ("epochs.csv", tables.epochs)):
        expected = pd.read_csv(KEPT / name / stored).rename(columns={"ticket": "slot"})  # its name until 0.1.0
        again = pd.read_csv(io.StringIO(table.to_csv(index=False)))
        pd.testing.assert_frame_equal(again[list(expected.columns)], expected, check_exact=True)


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_an_old_study_reports(name: str, old: Path, regstudy: Command) -> None:
    done = regstudy("report", f"results/{name}")
    assert done.returncode == 0, done.stderr
    page = "comparison.html" if name == "comparison" else "report.html"
    assert (old / "results" / name / page).stat().st_size > 0


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_an_old_study_resumes(name: str, old: Path, regstudy: Command) -> None:
    before = load(old / "results" / name).trials
    done = regstudy(*RESUME[name], "--study", name, "--threads", "1")
    assert done.returncode == 0, done.stderr
    trials = load(old / "results" / name).trials
    finished = [trial for trial in trials if trial.state.name in ("COMPLETE", "PRUNED")]
    assert sorted(trial.user_attrs[attributes.SLOT] for trial in finished) == list(range(FINISHED[name]))
    for one, other in zip(before, trials, strict=False):
        if one.state.is_finished():
            assert one.user_attrs == other.user_attrs  # what was finished is left alone


@pytest.mark.table
@pytest.mark.parametrize("command", ["study", "doctor"])
def test_an_old_study_keeps_its_rule_for_image_files_and_says_so(command: str, old: Path, regstudy: Command) -> None:
    """Today a JPEG is read whatever its suffix, so the split would be another one."""
    for folder in (old / "pictures").iterdir():
        picture = next(folder.rglob("*.png"))
        Image.open(picture).convert("L").save(folder / f"{picture.stem}_copy.jfif", "JPEG")
    resume = [*RESUME["images"], "--study", "images", "--threads", "1"]
    done = regstudy(*(resume if command == "study" else ["doctor", "results/images"]))
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode in (0, 1) and "keeps its rule for image files" in said, said
    assert ".jfif (" in said and "Passed over" in said
    fresh = regstudy(*RESUME["images"], "--study", "another", "--dry-run", "--no-doctor")
    assert "keeps its rule" not in fresh.stdout and "Passed over" not in fresh.stdout
