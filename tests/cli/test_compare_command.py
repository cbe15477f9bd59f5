"""`regstudy compare` as a user meets it: two arms from start to page, more repeats later, and what can be wrong."""

from __future__ import annotations

import csv
from pathlib import Path

import optuna
import pytest
from conftest import Command
from faults.checks import assert_curves_repeat, assert_sound
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from regstudy.analysis.arm_statistics import load_comparison
from regstudy.cli.compare_command import show
from regstudy.data import svhn
from regstudy.errors import DataUnavailable
from regstudy.records import PruningDecision
from regstudy.space.seeds import repeat_seed
from regstudy.space.study_name import MAX_STUDY_NAME_LENGTH, default_name
from regstudy.study import attributes

TINY = """\
data: {name: digits, size: 8, train_limit: 60, validation: 60}
preprocessing: {normalize: half}
model: {name: "tiny:cnn", dropout: {low: 0.0, high: 0.5, default: 0.1}}
optimizer: {name: adamw, lr: {low: 1e-3, high: 1e-1, log: true, default: 1e-2}}
training: {batch_size: 20, epochs: 3, patience: null}
"""
ARMS = ("--arm", "defaults", "--arm", "more: model.dropout=0.5, model.options.width=6")
COMPARE = ("compare", "tiny.yaml", *ARMS, "--threads", "1", "--device", "cpu", "--data-dir", ".")


@pytest.fixture(autouse=True)
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two spaces and a plain configuration in the working folder; costs are not measured for long."""
    monkeypatch.setattr("regstudy.training.cost.MEASURE_SECONDS", 0.02)
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "other.yaml").write_text(TINY.replace("train_limit: 60", "train_limit: 50"))
    wide = TINY.replace("dropout: {low: 0.0, high: 0.5, default: 0.1}", "options: {width: 8}")
    (tmp_path / "wide.yaml").write_text(wide)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "tiny.yaml").write_text(TINY)


def load(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name=folder.name, storage=f"sqlite:///{folder / 'study.db'}")


def test_a_limit_on_the_gap_has_no_effect_and_that_is_said(regstudy: Command) -> None:
    done = regstudy(*COMPARE, "--repeats", "1", "--set", "study.gap_at_most=0.1", "--dry-run")
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "study.gap_at_most of defaults and more has no effect" in words
    assert "has no effect" not in regstudy(*COMPARE, "--repeats", "1", "--dry-run").stdout


@pytest.mark.table
def test_two_arms_from_start_to_page_and_on_to_more_repeats(regstudy: Command, tmp_path: Path) -> None:
    done = regstudy(*COMPARE, "--repeats", "2")
    assert done.returncode == 0, done.stderr
    assert "2 arms × 2 repeats = 4 runs" in done.stdout
    assert "are set to their defaults: model.dropout 0.1, optimizer.lr 0.01" in done.stdout
    assert "more vs. defaults at the last epoch" in done.stdout
    assert "The spread is over training seeds only" in done.stdout
    place = tmp_path / "results" / "compare-tiny"
    trials = assert_sound(place, 4)
    assert [t.params for t in trials] == [{"arm": a, "repeat": r} for r in (1, 2) for a in ("defaults", "more")]
    assert [t.user_attrs[attributes.ARM] for t in trials] == ["defaults", "more"] * 2
    configs = [t.user_attrs[attributes.CONFIG] for t in trials]
    assert [c["training"]["seed"] for c in configs] == [repeat_seed(0, 1)] * 2 + [repeat_seed(0, 2)] * 2
    assert [c["model"]["dropout"] for c in configs] == [0.1, 0.5] * 2
    assert len({c["data"]["split_seed"] for c in configs}) == 1
    sizes = load(place).user_attrs[attributes.PARAMETERS]
    assert sizes["more"] > sizes["defaults"]
    assert_curves_repeat(place, trials, through_cli=0)

    again = regstudy(*COMPARE, "--repeats", "2", "--margin", "7")
    assert again.returncode == 0, again.stderr
    assert "Nothing left to do" in again.stdout
    assert load(place).user_attrs[attributes.MARGIN] == pytest.approx(0.07)

    more = regstudy(*COMPARE, "--repeats", "3")
    assert more.returncode == 0, more.stderr
    assert "1 run of 3 epochs" in more.stdout
    assert [t.number for t in assert_sound(place, 6)] == list(range(6))
    with (place / "comparison.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["measure"] == "val_accuracy_last"]
    assert [(row["arm"], row["against"], row["n"]) for row in rows] == [
        ("defaults", "", "3"), ("more", "", "3"), ("more", "defaults", "3")
    ]  # fmt: skip
    epochs = [t.user_attrs[attributes.EPOCHS] for t in load(place).trials]
    finals = [dict(zip(each["columns"], each["rows"][-1], strict=True)) for each in epochs]
    first, other = ([f["val_accuracy"] for f in finals[start::2]] for start in (0, 1))
    assert float(rows[0]["mean"]) == pytest.approx(sum(first) / 3)
    assert float(rows[2]["mean"]) == pytest.approx(sum(b - a for a, b in zip(first, other, strict=True)) / 3)

    changed = regstudy(*COMPARE, "--repeats", "3", "--set", "training.epochs=4")
    assert changed.returncode == 2
    assert "a different comparison (arms.defaults.training.epochs: 3 → 4" in changed.stderr
    search = regstudy("study", "--space", "tiny.yaml", "--study", "compare-tiny", "--data-dir", ".")
    assert search.returncode == 2
    assert "holds a comparison, not a search" in search.stderr

    (place / "comparison.html").unlink()
    report = regstudy("report", str(place))
    assert report.returncode == 0, report.stderr
    assert (place / "comparison.html").exists()
    assert not (place / "report.html").exists()
    exported = regstudy("export", str(place), "-o", "best.yaml")
    assert exported.returncode == 0, exported.stderr
    beside = regstudy("compare", "best.yaml", "tiny.yaml", "--data-dir", ".", "--dry-run")
    assert beside.returncode == 0, beside.stderr


def test_several_files_are_arms_without_a_word_and_a_dry_run_writes_nothing(regstudy: Command, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = regstudy("compare", "tiny.yaml", "wide.yaml", "--data-dir", ".", "--dry-run", "--repeats", "4")
    assert done.returncode == 0, done.stderr
    assert "Comparison compare-tiny-wide: 2 arms × 4 repeats = 8 runs" in done.stdout
    assert "Nothing was written" in done.stdout
    assert "  tiny: 218 parameters" in done.stdout
    assert "  wide: 426 parameters" in done.stdout
    assert [path for path in sorted(tmp_path.rglob("*")) if "__pycache__" not in str(path)] == before


def test_repeats_of_one_configuration_in_phases(regstudy: Command, tmp_path: Path) -> None:
    phases = "phases=[{training: {epochs: 2}}, {training: {epochs: 1}, optimizer: {lr: 1e-4}}]"
    arguments = ("compare", "tiny.yaml", "--set", phases, "--repeats", "2", "--data-dir", ".", "--study", "twice")
    done = regstudy(*arguments, "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert "2 runs of 3 epochs" in done.stdout
    assert "tiny: validation" in done.stdout
    records = [t.user_attrs[attributes.EPOCHS]["rows"] for t in load(tmp_path / "results" / "twice").trials]
    assert [len(rows) for rows in records] == [3, 3]


WILD = "wild: model={name: 'faults.faulty:network', options: {behaviour: nan}}"


def test_a_run_that_diverges_is_counted_and_shown(regstudy: Command, tmp_path: Path) -> None:
    done = regstudy(
        "compare", "tiny.yaml", "--arm", "sound", "--arm", WILD, "--repeats", "1",
        "--data-dir", ".", "--threads", "1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "  runs: 0 (1 of 1 diverged)" in done.stdout
    assert "Runs of wild diverged or failed and are excluded" in done.stdout
    summary = (tmp_path / "results" / "compare-tiny" / "comparison.md").read_text()
    assert "0 (1 of 1 diverged)" in summary


def test_no_run_is_ever_judged(regstudy: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "regstudy.search.worker.Judge.after_epoch", lambda *_: PruningDecision(True, "a pruner that cuts everything")
    )
    done = regstudy("compare", "tiny.yaml", "--repeats", "1", "--data-dir", ".", "--threads", "1")
    assert done.returncode == 0, done.stderr
    (trial,) = load(tmp_path / "results" / "compare-tiny").trials
    assert trial.user_attrs[attributes.OUTCOME] == "finished"


def test_what_the_budget_left_over_a_worker_takes_up(regstudy: Command, tmp_path: Path) -> None:
    place = tmp_path / "results" / "compare-tiny"
    done = regstudy(*COMPARE, "--repeats", "1", "--budget", "0s")
    assert done.returncode == 0, done.stderr
    assert "The time budget is used up: 2 of 2 trials are left" in done.stdout
    assert "  runs: 0 (1 of 1 not run yet)" in done.stdout
    arguments = ("--study", "compare-tiny", "--storage", f"sqlite:///{place / 'study.db'}", "--data-dir", ".")
    helped = regstudy("worker", *arguments, "--results", "elsewhere", "--threads", "1")
    assert helped.returncode == 0, helped.stderr
    trials = assert_sound(place, 2)
    assert [t.user_attrs[attributes.ARM] for t in trials] == ["defaults", "more"]
    assert trials[0].user_attrs[attributes.CONFIG]["training"]["seed"] == repeat_seed(0, 1)


NESTED = "x: optimizer={name: sgd, lr: {low: 0.01, high: 0.1}}"
MISUSES = {
    "unknown path": (["tiny.yaml", "--arm", "x: model.dropuot=0.2"], "Did you mean 'dropout'?"),
    "names the arm": (["tiny.yaml", "--arm", "x: model.dropuot=0.2"], "The arm 'x' is invalid"),
    "value out of bounds": (["tiny.yaml", "--arm", "x: model.dropout=2"], "model.dropout"),
    "range in an arm": (["tiny.yaml", "--arm", "x: model.dropout={low: 0.1, high: 0.3}"], "is a range or a choice"),
    "range within a section": (["tiny.yaml", "--arm", NESTED], "is a range or a choice"),
    "labels twice": (["tiny.yaml", "--arm", "x", "--arm", "x: model.dropout=0.2"], "Two arms are called 'x'"),
    "files of one name": (["tiny.yaml", "deep/tiny.yaml"], "Two arms are called 'tiny'"),
    "different data": (["tiny.yaml", "other.yaml"], "data.train_limit: 60 → 50"),
    "different data by an arm": (["tiny.yaml", "--arm", "a", "--arm", "b: data.train_limit=50"], "use the same images"),
    "no repeats": (["tiny.yaml", "--repeats", "0"], "--repeats"),
    "not a pair": (["tiny.yaml", "--arm", "x: dropout"], "is not of the form path=value"),
    "unknown space": (["svhn_rsnet"], "Did you mean 'svhn_resnet'?"),
    "unknown model": (["tiny.yaml", "--arm", "x: model.name=dropout_cn"], "Did you mean 'dropout_cnn'?"),
    "does not fit the images": (["tiny.yaml", "--arm", "a", "--arm", "x: model={name: dropout_cnn}"], "The arm 'x'"),
    "name of a study": (["tiny.yaml", "--study", "../x"], "is not a valid study name"),
    "span of time": (["tiny.yaml", "--budget", "soon"], "is not a duration"),
    "seed in a phase": (["tiny.yaml", "--set", "phases=[{training: {seed: 1}}]"], "training.seed must not be set"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_is_one_paragraph_with_nothing_written(name: str, regstudy: Command, tmp_path: Path) -> None:
    arguments, words = MISUSES[name]
    done = regstudy("compare", *arguments, "--data-dir", ".")
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_names_of_files_become_the_name_of_the_study() -> None:
    assert default_name([Path("a/one.yaml"), Path("two.yaml")]) == "compare-one-two"
    assert default_name([Path("my space (2).yaml")]) == "compare-my-space-2-"
    assert len(default_name([Path("x" * 99 + ".yaml"), Path("y.yaml")])) == MAX_STUDY_NAME_LENGTH


def test_substitute_data_is_said_and_named(regstudy: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fallback = "fallback: {name: digits, size: 8, train_limit: 60, validation: 60}"
    (tmp_path / "house.yaml").write_text(TINY.replace("{name: digits, size: 8,", f"{{name: svhn, {fallback},"))

    def unavailable(*_: object) -> None:
        raise DataUnavailable("no way to it")

    monkeypatch.setattr(svhn, "load", unavailable)
    arguments = ("--repeats", "1", "--data-dir", ".", "--threads", "1")
    assert regstudy("compare", "house.yaml", *arguments).returncode == 0
    place = tmp_path / "results" / "compare-house@digits"
    assert load(place).user_attrs[attributes.DATA]["requested"] == "svhn"
    assert "digits was used instead" in (place / "comparison.html").read_text()
    both = regstudy("compare", "house.yaml", "tiny.yaml", *arguments)
    assert both.returncode == 2
    assert "use the same images" in both.stderr


def test_in_a_terminal_the_arms_are_a_table(regstudy: Command, tmp_path: Path) -> None:
    assert regstudy(*COMPARE, "--repeats", "1").returncode == 0
    console = Console(force_terminal=True, width=100, record=True, soft_wrap=True, markup=False, highlight=False)
    with console.capture() as printed:
        show(console, load_comparison(load(tmp_path / "results" / "compare-tiny")))
    lines = printed.get().splitlines()
    assert "defaults" in lines[1] and "more" in lines[1]
    assert lines[0].startswith("┏")
    table = lines[: next(i for i, line in enumerate(lines) if line.startswith("└")) + 1]
    assert len({cell_len(Text.from_ansi(line).plain) for line in table}) == 1
    assert cell_len(table[0]) <= 100
