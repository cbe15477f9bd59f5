"""The public interface: its names, what it loads, what it refuses, and that the command line's work is one call."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from tiny import make_config, make_splits

import regstudy
from regstudy.errors import ArgumentError, DataUnavailable, RegstudyError
from regstudy.search.call_text import call_text, doctor_command
from regstudy.search.default_listener import log
from regstudy.search.events import (
    EpochDone,
    Event,
    Examining,
    NothingLeft,
    Notice,
    Progress,
    Ready,
    StepDone,
    StudyEnded,
    StudyStarted,
    SubstituteData,
    TrialEnded,
    TrialStarted,
)  # fmt: skip
from regstudy.study.place import StudyPlace

TINY: dict[str, Any] = {
    "data": {"name": "digits", "size": 8, "train_limit": 60, "validation": 60},
    "preprocessing": {"normalize": "half"},
    "model": {"name": "tiny:cnn", "dropout": {"low": 0.0, "high": 0.5}},
    "optimizer": {"name": "adamw", "lr": {"low": 1e-3, "high": 1e-1, "log": True, "default": 1e-2}},
    "training": {"batch_size": 20, "epochs": 3, "patience": None, "precision": "fp32"},
}
NAMES = {
    "Classifier", "ComparisonResult", "EarlyStopping", "EpochRecord", "ImageSet", "Predictions", "Ray",
    "RegstudyError",
    "RunConfig", "Signal", "SignalPruner", "Space", "Splits", "StudyResult", "Verification", "ablate",
    "answer",
    "build_augmentation", "build_model", "build_optimizer", "build_schedule", "compare", "confirm", "convert",
    "evaluate", "examine", "export", "load", "load_results", "load_space", "load_splits", "predict", "run_study",
    "train", "verify",
}  # fmt: skip
HEAVY = ("torch", "optuna", "pandas", "plotly", "sklearn", "scipy", "numpy")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("regstudy.training.cost.MEASURE_SECONDS", 0.02)


def study(**given: Any) -> regstudy.StudyResult:
    space = regstudy.load_space(TINY, name="tiny")
    return regstudy.run_study(space, **{"trials": 3, "doctor": False, "device": "cpu", "threads": 1, **given})


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after a piece of code."""
    code += "\nprint('LOADED', *{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", f"import sys\n{code}"], capture_output=True, text=True, check=True)
    return set(next(line for line in done.stdout.splitlines() if line.startswith("LOADED")).split()[1:])


def command(*words: str) -> str:
    return f"from regstudy.cli.app import main\ntry:\n    main({list(words)!r})\nexcept SystemExit:\n    pass"


def test_the_names_are_these_and_all_of_them_exist() -> None:
    assert set(regstudy.__all__) == NAMES | {"__version__"}
    assert set(regstudy.__all__) <= set(dir(regstudy))
    for name in regstudy.__all__:
        assert getattr(regstudy, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        regstudy.nothing  # noqa: B018


def test_every_public_name_has_a_docstring_and_stands_in_the_page() -> None:
    page = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
    for name in NAMES:
        assert getattr(regstudy, name).__doc__, name
        assert name in page, name


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_by("import regstudy") & set(HEAVY)


@pytest.mark.table
@pytest.mark.parametrize(
    "code",
    [
        command("--help"),
        command("spaces"),
        command("report", "results/search"),
        command("report", "results/comparison"),
        "import regstudy\nprint(regstudy.load_results('results/search'))",
        "import regstudy\nregstudy.SignalPruner(5), regstudy.EarlyStopping(3), regstudy.Space, regstudy.RunConfig",
    ],
)  # fmt: skip
def test_what_only_reads_never_loads_torch(code: str, tmp_path: Path) -> None:
    kept = Path(__file__).parent / "fixtures" / "studies"
    for name in ("search", "comparison"):
        (tmp_path / "results" / name).mkdir(parents=True)
        (tmp_path / "results" / name / "study.db").write_bytes((kept / name / "study.db").read_bytes())
    loaded = loaded_by(code)
    assert "regstudy" in loaded
    assert not loaded & {"torch", "torchvision", "timm"}


@pytest.mark.table
def test_a_study_without_a_network_of_timm_never_loads_timm() -> None:
    code = f"import regstudy\nregstudy.run_study(regstudy.load_space({TINY!r} | {{'model': {{'name': 'small_cnn'}}}},"
    code += " name='tiny'), trials=1, doctor=False, device='cpu', threads=1)"
    loaded = loaded_by(code)
    assert "torch" in loaded and "timm" not in loaded


def test_a_study_is_one_call_and_the_same_call_resumes_it() -> None:
    events: list[Event] = []
    result = study(progress=events.append)
    kinds = [type(event) for event in events]
    assert kinds.index(Ready) < kinds.index(StudyStarted) < kinds.index(TrialEnded) < kinds.index(StudyEnded)
    assert result.place.folder == Path("results/tiny") and result.finished == 3
    assert len(result.trials) == 3 and len(result.epochs) == 9
    best = result.best
    assert best is not None and best.value == result.trials["value"].max()
    assert best.config.training.seed == result.trials.set_index("number").at[best.number, "training.seed"]
    assert result.report() == Path("results/tiny/report.html")
    assert result.study.user_attrs["regstudy:command"] == (
        "regstudy.run_study(<the space 'tiny', made in Python>, trials=3, doctor=False, device='cpu', threads=1)"
    )
    more = study(trials=4)
    assert more.finished == 4
    assert more.trials["value"].head(3).tolist() == result.trials["value"].tolist()
    events.clear()
    assert study(trials=4, progress=events.append).finished == 4
    assert NothingLeft in [type(event) for event in events] and Ready not in [type(event) for event in events]


@pytest.mark.parametrize("kind", [TrialStarted, StepDone, EpochDone, TrialEnded])
def test_what_a_listener_raises_ends_the_study_and_costs_no_trial(
    kind: type[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regstudy.search.worker.TELL_EVERY", 0.0)

    def look(event: Event) -> None:
        if isinstance(event, kind):
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        study(progress=look)
    faults = [trial.user_attrs.get("regstudy:fault") for trial in regstudy.load_results("results/tiny").study.trials]
    assert faults == [None] * len(faults)
    assert regstudy.load_results("results/tiny").finished == (kind is TrialEnded)
    assert study().finished == 3


def test_what_a_listener_raises_while_the_doctor_looks_ends_the_call(tmp_path: Path) -> None:
    def look(event: Event) -> None:
        if isinstance(event, Examining):
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        study(progress=look, doctor=True)
    assert not list(tmp_path.rglob("study.db"))


def test_a_study_runs_outside_the_main_thread_too() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(study, trials=2).result().finished == 2


def test_threads_and_optunas_verbosity_are_what_they_were() -> None:
    before, verbosity = torch.get_num_threads(), optuna.logging.get_verbosity()
    torch.set_num_threads(2)
    try:
        study(trials=1, threads=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert optuna.logging.get_verbosity() == verbosity


def test_the_call_is_kept_as_it_would_be_typed_and_without_passwords() -> None:
    space = regstudy.load_space("digits_cnn", ["training.epochs=2"])
    given = {"space": space, "trials": 5, "results": Path("results"), "storage": "postgresql://me:secret@host/x"}
    shown = call_text(regstudy.run_study, given)
    assert shown == (
        "regstudy.run_study(regstudy.load_space('digits_cnn', ['training.epochs=2']), trials=5,"
        " storage='postgresql://me:***@host/x')"
    ).replace(" storage", " results='results', storage")
    assert call_text(regstudy.compare, {"spaces": {"a": make_config()}}) == "regstudy.compare({'a': <configuration>})"
    assert call_text(regstudy.compare, {"spaces": [Path("a.yaml")]}) == "regstudy.compare(['a.yaml'])"
    assert doctor_command(space, Path("data")) == "regstudy doctor digits_cnn --set training.epochs=2"
    place = StudyPlace(Path("results/x"), "postgresql://me:secret@host/x")
    assert "secret" not in f"{place!r} {place} {StudyStarted(place, 1, 0, None, 'val_loss', 1, 1.0)!r}"


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (SubstituteData("digits", "There is no file."), logging.WARNING),
        (Notice("3 files were skipped", warning=True), logging.WARNING),
        (Notice("Study x: 3 open values."), logging.INFO),
        (Progress("reading images", 16, 100), logging.DEBUG),
        (Examining("x", "copies"), logging.DEBUG),
        (StepDone(0, 8, 60), logging.DEBUG),
    ],
)
def test_what_must_not_be_missed_is_a_warning(event: Event, level: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "regstudy"):
        log(event)
    assert [(record.levelno, record.message) for record in caplog.records] == [(level, str(event))]


def test_results_of_a_study_that_regstudy_did_not_make() -> None:
    Path("results/plain").mkdir(parents=True)
    made = optuna.create_study(study_name="plain", storage="sqlite:///results/plain/study.db")
    made.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=12)
    result = regstudy.load_results("results/plain")
    assert result.finished == 12 and result.best is not None and str(result) and result._repr_html_()
    with pytest.raises(RegstudyError, match="has no stored configuration"):
        result.best.config  # noqa: B018
    Path("results/two").mkdir()
    optuna.create_study(study_name="two", storage="sqlite:///results/two/study.db", directions=["minimize", "maximize"])
    with pytest.raises(RegstudyError, match="2 objectives"):
        regstudy.load_results("results/two")


def test_a_result_is_a_snapshot() -> None:
    first = study(trials=1)
    study(trials=2)
    assert first.finished == len(first.trials) == 1
    assert regstudy.load_results("results/tiny").finished == 2


def test_a_result_prints_well_and_shows_in_a_notebook() -> None:
    result = study()
    text, page = str(result), result._repr_html_()
    assert "3 finished trials" in text and result.verdict.headline in text
    assert "<table" in page and "%" in page
    assert all(type(figure).__name__ == "Figure" for figure in result.figures.values()) and result.figures
    assert set(result.importances.columns) >= {"parameter", "target", "importance"}


def test_results_of_nothing_yet_have_no_best() -> None:
    result = study(budget=0)
    assert result.best is None and result.finished == 0 and str(result)
    assert result._repr_html_()


def test_a_listener_that_raises_when_ready_leaves_nothing_behind(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def look(event: Event) -> None:
        if isinstance(event, Ready):
            assert event.seconds > 0
            raise Enough

    with pytest.raises(Enough):
        study(progress=look)
    assert not list(tmp_path.rglob("study.db"))


def test_without_a_listener_events_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "regstudy"):
        study(trials=1)
    assert "Estimated cost:" in caplog.text and "trial 0" in caplog.text and "Finished." in caplog.text
    assert "StepDone" not in caplog.text


def test_a_comparison_is_one_call(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(str(TINY).replace("None", "null").replace("True", "true"))
    arms = ["plain", "more: model.dropout=0.5"]
    result = regstudy.compare("tiny.yaml", arms=arms, repeats=2, device="cpu", threads=1)
    assert isinstance(result, regstudy.ComparisonResult) and result.name == "compare-tiny"
    assert set(result.arms["arm"]) == {"plain", "more"} and set(result.differences["against"]) == {"plain"}
    assert (result.differences["n"] == 2).all()
    assert result.report().name == "comparison.html" and result.figures and "<table" in result._repr_html_()
    again = regstudy.load_results("results/compare-tiny")
    assert isinstance(again, regstudy.ComparisonResult)
    assert again.differences.equals(result.differences)


def test_configurations_are_compared_by_the_names_of_their_arms() -> None:
    config = regstudy.load_space(TINY).defaults()
    arms = {"none": config.replaced({"model.dropout": 0.0}), "half": config.replaced({"model.dropout": 0.5})}
    result = regstudy.compare(arms, repeats=2, device="cpu", threads=1)
    assert result.name == "comparison" and result.comparison.arms[1].name == "half"
    assert len(result.trials) == 4


def test_a_training_is_one_call(tmp_path: Path) -> None:
    config = regstudy.load_space(TINY).defaults()
    metrics = regstudy.train(config, "out", device="cpu", threads=1)
    assert metrics["outcome"] == "finished" and (tmp_path / "out" / "model.safetensors").exists()
    again = regstudy.train("out/config.yaml", "again", device="cpu", threads=1)
    assert again["val_loss"] == metrics["val_loss"]


MISUSES: dict[str, tuple[Callable[[], object], str]] = {
    "no trials": (lambda: study(trials=0), "trials: must be a whole number of at least 1, but it is 0"),
    "half a trial": (lambda: study(trials=1.5), "trials: must be a whole number"),
    "many workers": (lambda: study(workers=1000), "workers: must be at most 256"),
    "unknown pruner": (lambda: study(pruner="signl"), "Did you mean 'signal'"),
    "two at once": (lambda: study(trials=-1, pruner="x"), "2 invalid arguments"),
    "negative budget": (lambda: study(budget=-1.0), "budget: must be a time of at least 0"),
    "budget in words": (lambda: study(budget="soon"), "is not a duration"),
    "timeout of nothing": (lambda: study(trial_timeout=0.0), "trial_timeout: must be a time above 0"),
    "no threads": (lambda: study(threads=0), "threads"),
    "unknown device": (lambda: study(device="tpu"), "tpu"),
    "a name that is none": (lambda: study(name="../x"), "is not a valid study name"),
    "unknown space": (lambda: regstudy.run_study("digits_cn"), "Did you mean 'digits_cnn'"),
    "a space that is none": (lambda: regstudy.run_study(3), "A space must be a name, a file or a mapping"),  # type: ignore[arg-type]
    "overrides of a space": (lambda: study(overrides=["training.epochs=1"]), "pass them to load_space"),
    "overrides as one text": (lambda: regstudy.run_study("digits_cnn", overrides="a=1"), "overrides must be"),
    "wrong values": (lambda: regstudy.load_space({"data": {"name": "digts"}, "model": {"name": "x"}}), "digits"),
    "no repeats": (lambda: regstudy.compare("digits_cnn", repeats=0), "repeats must be a whole number"),
    "negative margin": (
        lambda: regstudy.compare("digits_cnn", margin=-1),
        "margin must be a number of points (of a share such as accuracy) or nats (of the loss) of at least 0",
    ),
    "no spaces": (lambda: regstudy.compare([]), "spaces must contain at least one"),
    "no configurations": (lambda: regstudy.compare({}), "spaces must contain at least one"),
    "arms of configurations": (
        lambda: regstudy.compare({"a": make_config()}, arms=["x"]),
        "cannot be combined with configurations",
    ),
    "two metrics": (
        lambda: regstudy.compare({"a": make_config(), "b": make_config({"training.metric": "val_loss"})}),
        "training.metric: must be the same in all arms",
    ),
    "a space to compare": (lambda: regstudy.compare(regstudy.load_space(TINY)), "space.defaults()"),  # type: ignore[arg-type]
    "a launcher by its name": (
        lambda: regstudy.run_study("digits_cnn", launcher="ray"),  # type: ignore[arg-type]
        "launcher must be None for processes of this machine, or a regstudy.Ray",
    ),
    "threads and a launcher": (
        lambda: regstudy.run_study("digits_cnn", launcher=regstudy.Ray(), threads=2, device="cpu"),
        "2 invalid arguments",
    ),
    "measured workers of a comparison": (
        lambda: regstudy.compare("digits_cnn", workers="auto"),
        "only with a launcher",
    ),
    "a number to compare": (lambda: regstudy.compare(3), "spaces must be names"),  # type: ignore[arg-type]
    "a text as a configuration": (lambda: regstudy.compare({"a": "x"}), "must be a RunConfig"),  # type: ignore[dict-item]
    "a name of an arm": (lambda: regstudy.compare({"": make_config()}), "1 to 60 printable"),
    "a number as a name": (lambda: study(name=5), "name must be a string"),
    "a list as a budget": (lambda: study(budget=[1]), "budget must be seconds"),
    "a number as a device": (lambda: study(device=0), "device must be"),
    "no list of overrides": (lambda: regstudy.run_study("digits_cnn", overrides=None), "overrides must be"),  # type: ignore[arg-type]
    "a margin in words": (lambda: regstudy.compare("digits_cnn", margin="1"), "margin must be"),  # type: ignore[arg-type]
    "a number as a path": (lambda: regstudy.load_results(5), "path must be the folder"),  # type: ignore[arg-type]
    "a space to train": (lambda: regstudy.train(regstudy.load_space(TINY)), "defaults()"),  # type: ignore[arg-type]
    "unknown data to train": (lambda: regstudy.train(make_config({"data.name": "digts"})), "Did you mean 'digits'"),
    "unknown data to load": (
        lambda: regstudy.load_splits(make_config({"data.name": "digts"})),
        "Did you mean 'digits'",
    ),
    "a name to load": (lambda: regstudy.load_splits("digits"), "config must be a RunConfig or a Space"),  # type: ignore[arg-type]
    "a tolerance in words": (lambda: regstudy.EarlyStopping(2, tolerance="x"), "tolerance must be"),  # type: ignore[arg-type]
    "a path through a value": (lambda: make_config({"model.dropout.x": 1}), "model.dropout.x"),
    "a list of configurations": (lambda: regstudy.compare([make_config()]), "must be names or files"),  # type: ignore[list-item]
    "a progress that cannot be called": (lambda: study(progress=3), "progress must be a function"),
    "force in words": (lambda: study(force="no"), "force must be True or False"),
    "a name of a space": (lambda: regstudy.load_space(TINY, name=3), "name must be a string"),  # type: ignore[arg-type]
    "no name of a space": (lambda: regstudy.load_space(TINY, name=""), "is not a valid study name"),
    "a callback that is none": (lambda: regstudy.train(make_config(), on_epoch=3), "on_epoch must be a function"),  # type: ignore[arg-type]
    "no data folder": (lambda: regstudy.load_splits(make_config(), None), "data_dir must be a folder"),  # type: ignore[arg-type]
    "a storage that is none": (lambda: regstudy.load_results("x", storage=3), "storage must be the URL"),  # type: ignore[arg-type]
    "a storage that is not there": (lambda: regstudy.load_results("x", storage="sqlite:///nope.db"), "no study in"),
    "a space to build": (lambda: regstudy.build_model(regstudy.load_space(TINY), 1, 8, 10), "defaults()"),  # type: ignore[arg-type]
    "parameters of a model": (
        lambda: regstudy.build_optimizer(make_config(), torch.nn.Linear(1, 1).parameters()),  # type: ignore[arg-type]
        "model must be a module",
    ),
    "a module as an optimizer": (lambda: regstudy.build_schedule(make_config(), torch.nn.Linear(1, 1)), "an optimizer"),  # type: ignore[arg-type]
    "splits to augment": (lambda: regstudy.build_augmentation(make_config(), make_splits()), "must be an ImageSet"),  # type: ignore[arg-type]
    "floats to augment": (
        lambda: regstudy.build_augmentation(make_config(), make_splits().train)(torch.rand(2, 3, 12, 12)),
        "images must be uint8",
    ),
    "gray to augment": (
        lambda: regstudy.build_augmentation(make_config(), make_splits().train)(torch.zeros(2, 1, 12, 12).byte()),
        "must have 3 channels, but they have 1",
    ),
    "nothing to replace": (lambda: make_config().replaced(None), "values must be a mapping"),  # type: ignore[arg-type]
    "maximize in words": (lambda: regstudy.EarlyStopping(1, maximize="max"), "maximize must be"),  # type: ignore[arg-type]
    "a value in words": (lambda: regstudy.EarlyStopping(1).update("0.3"), "value must be a number"),  # type: ignore[arg-type]
    "a chance in words": (lambda: regstudy.SignalPruner(5, chance="x"), "chance must be"),  # type: ignore[arg-type]
    "a seed in words": (lambda: regstudy.SignalPruner(5, seed="x"), "seed must be"),  # type: ignore[arg-type]
    "no results": (lambda: regstudy.load_results("results/nothing"), "There is no study in results/nothing"),
    "nothing to train": (lambda: regstudy.train("none.yaml"), "none.yaml cannot be read"),
    "ranges to train": (lambda: regstudy.train("ranges.yaml"), "is a range or a choice"),
    "overrides of a config": (lambda: regstudy.train(make_config(), overrides=["a.b=1"]), "use RunConfig.replaced"),
    "no classes": (lambda: regstudy.build_model(make_config(), 3, 12, 0), "classes must be a whole number"),
    "no patience": (lambda: regstudy.EarlyStopping(0), "patience must be a whole number"),
    "odd reference": (lambda: regstudy.EarlyStopping(1, reference="best"), "reference must be"),  # type: ignore[arg-type]
    "odd tolerance": (lambda: regstudy.EarlyStopping(1, tolerance=-1.0), "tolerance must be"),
    "steps are needed": (
        lambda: regstudy.build_schedule(
            make_config({"schedule": {"name": "cosine", "interval": "step"}}), torch.optim.SGD([torch.zeros(1)])
        ),
        "is required because schedule.interval is step",
    ),
}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_is_one_error_that_names_the_argument_with_nothing_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "ranges.yaml").write_text(str(TINY).replace("None", "null").replace("True", "true"))
    call, words = MISUSES[name]
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(RegstudyError) as error:
        call()
    assert words in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} == before


def parts(**changes: Any) -> dict[str, Any]:
    """Images and labels in order, for the doctor, with some arguments changed."""
    images, labels = torch.rand(40, 1, 8, 8), torch.arange(40) % 4
    return {"train": (images, labels), "validation": (torch.rand(40, 1, 8, 8), labels), "depth": "preflight"} | changes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train": (torch.rand(40, 1, 8, 8), torch.arange(40) % 4 - 1)}, "a label -1"),
        ({"validation": (torch.rand(40, 1, 9, 9), torch.arange(40) % 4)}, "but validation images have"),
        ({"validation": (torch.rand(40, 3, 8, 8), torch.arange(40) % 4)}, "but validation images have"),
        ({"classes": ["a", "b"]}, "Label 3 is out of range"),
        ({"classes": 4}, "classes must be"),
        ({"model": 3}, "model must be a torch module"),
        ({"model": torch.nn.Linear(3, 4)}, "The model on images of shape"),
        ({"optimizer": torch.optim.SGD([torch.zeros(1)])}, "pass the model too"),
        ({"model": torch.nn.Flatten(), "optimizer": "sgd"}, "optimizer must be"),
        ({"loss": "mse"}, "loss must be a function"),
        ({"batch_size": 0}, "batch_size must be an integer"),
        ({"batch_size": "8"}, "batch_size must be an integer"),
        ({"steps": "x"}, "steps must be an integer"),
        ({"on_progress": 3}, "on_progress must be a function"),
        ({"depth": "deep"}, "no depth 'deep'"),
    ],
)
def test_what_cannot_be_examined_is_an_error(changes: dict[str, Any], words: str) -> None:
    given = parts(**changes)
    with pytest.raises(RegstudyError, match=words):
        regstudy.examine(given.pop("train"), given.pop("validation"), **given)


def test_none_stands_for_nothing_and_a_diagnosis_shows_in_a_notebook() -> None:
    nothing = dict.fromkeys(("train_groups", "validation_groups", "train_paths", "validation_paths", "classes"))
    given = parts(**nothing)
    diagnosis = regstudy.examine(given.pop("train"), given.pop("validation"), **given)
    assert "data and model" in str(diagnosis)
    assert "<li>" in diagnosis._repr_html_() and "validation" in diagnosis._repr_html_()


def test_an_empty_study_of_the_other_direction_is_not_adopted() -> None:
    Path("results/tiny").mkdir(parents=True)
    optuna.create_study(study_name="tiny", storage="sqlite:///results/tiny/study.db")  # minimizes
    with pytest.raises(RegstudyError, match="created to minimize, but this one must maximize val_accuracy"):
        study()
    assert not regstudy.load_results("results/tiny").study.user_attrs


def test_defaults_have_the_split_of_the_study() -> None:
    space = regstudy.load_space(TINY)
    result = study(trials=1)
    best = result.best
    assert best is not None
    assert regstudy.load_splits(space.defaults()).hash == regstudy.load_splits(space).hash
    assert regstudy.load_splits(best.config).hash == regstudy.load_splits(space).hash
    compared = regstudy.compare({"best": best.config, "plain": space.defaults()}, repeats=1, device="cpu", threads=1)
    assert compared.finished == 2


def test_splits_of_a_space_whose_images_cannot_be_had_are_those_of_its_fallback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(*_: Any) -> None:
        raise DataUnavailable("There is no file.")

    monkeypatch.setattr("regstudy.data.svhn.load", absent)
    fallback = {"name": "digits", "size": 32, "train_limit": 60, "validation": 60}
    space = regstudy.load_space({"data": {"name": "svhn", "fallback": fallback}, "model": {"name": "small_cnn"}})
    events: list[Event] = []
    assert regstudy.load_splits(space, progress=events.append).name == "digits"
    assert SubstituteData in [type(event) for event in events]


def test_random_numbers_of_the_caller_are_left_alone() -> None:
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    study(trials=1)
    regstudy.train(regstudy.load_space(TINY).defaults(), "out", device="cpu")
    assert torch.equal(torch.rand(3), wanted)


def test_what_a_callback_returns_does_not_matter(caplog: pytest.LogCaptureFixture) -> None:
    config = regstudy.load_space(TINY).defaults()
    metrics = regstudy.train(config, "out", device="cpu", on_epoch=lambda records, _: len(records))
    assert metrics["epochs"] == 3
    with caplog.at_level(logging.INFO, "regstudy"):
        regstudy.train(config, "again", device="cpu")
    assert "epoch 3/3" in caplog.text


def test_a_configuration_with_a_fixed_seed_is_said_to_repeat_itself() -> None:
    fixed = {**TINY, "model": {"name": "tiny:cnn"}, "optimizer": {"name": "adamw", "lr": 0.01}}
    fixed["training"] = {**TINY["training"], "seed": 3}
    assert "every trial repeats the same run" in regstudy.load_space(fixed).describe(3)
    del fixed["training"]["seed"]
    assert "with different seeds" in regstudy.load_space(fixed).describe(3)


def test_wrong_arguments_are_value_errors_too() -> None:
    assert issubclass(ArgumentError, ValueError)
    with pytest.raises(ValueError, match="epochs"):
        regstudy.SignalPruner(epochs=-1)


TYPED = """
import pandas as pd
import regstudy

space: regstudy.Space = regstudy.load_space("digits_cnn", ["training.epochs=3"])
result: regstudy.StudyResult = regstudy.run_study(space, trials=2, budget="30m", pruner="median")
table: pd.DataFrame = result.trials
if result.best is not None:
    config: regstudy.RunConfig = result.best.config
    metrics = regstudy.train(config, "out")
    splits: regstudy.Splits = regstudy.load_splits(config)
    model = regstudy.build_model(config, splits.train.shape[0], 32, len(splits.train.classes))
    optimizer = regstudy.build_optimizer(config, model)
    schedule = regstudy.build_schedule(config, optimizer)
    schedule.step()
    images: regstudy.ImageSet = splits.validation
    inputs = regstudy.build_augmentation(config, splits.train)(images.images)
    rate: float = regstudy.EarlyStopping(patience=3).update(float(inputs.mean())).best
difference: pd.DataFrame = regstudy.compare("digits_cnn", arms=["a", "b: model.dropout=0.1"]).differences
headline: str = regstudy.load_results("results/x").verdict.headline
diagnosis = regstudy.examine((images.images.float(), images.labels), (images.images.float(), images.labels))
print(diagnosis.verdict, regstudy.__version__, difference, headline)
"""


@pytest.mark.table
def test_a_users_file_passes_mypy_in_strict_mode(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TYPED)
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = True\n[mypy-pandas.*]\nignore_missing_imports = True\n")
    done = subprocess.run([sys.executable, "-m", "mypy", "mine.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    (tmp_path / "wrong.py").write_text(TYPED.replace('pruner="median"', 'pruner="medium"'))
    done = subprocess.run([sys.executable, "-m", "mypy", "wrong.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "pruner" in done.stdout, done.stdout
