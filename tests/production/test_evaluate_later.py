"""`evaluate` measures the test part of a training that could not, says which opening it is, and never half-writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny import CPU, make_config
from tiny_parts import SEEDS, load, reads

import regstudy
from regstudy.config.run_config import RunConfig
from regstudy.errors import DataError, FileError, RegstudyError
from regstudy.production.evaluate_later import evaluate_later
from regstudy.production.final_training import train_finally
from regstudy.production.training_request import BOTH, TrainingRequest

REQUESTS = {
    "one": TrainingRequest(),
    "temperature": TrainingRequest(temperature=True),
    "ensemble": TrainingRequest(seeds=2, ensemble=True, temperature=True),
    "the best of two": TrainingRequest(seeds=2),
    "both parts": TrainingRequest(on=BOTH),
}
# two classes with the positive one named, groups, several metrics
BINARY = {
    "data": {
        "name": "tiny_parts:load",
        "validation": 15,
        "group": "patient(\\d+)",
        "positive": "ill",
        "options": {"classes": 2},
    },
    "training.metric": "val_average_precision",
    "training.also": ["val_auroc", "val_balanced_accuracy"],
}


def config(options: dict[str, Any] | None = None, **changes: Any) -> RunConfig:
    data = {"name": "tiny_parts:load", "validation": 15, "options": options or {}}
    return make_config({"data": data, "training.epochs": 2, **changes})


def run(folder: Path, request: TrainingRequest = REQUESTS["one"], of: RunConfig | None = None) -> dict[str, Any]:
    return train_finally(of or config({"test": False}), folder / "data", folder / "out", CPU, request=request)


def with_test(folder: Path) -> None:
    """The test images have arrived."""
    for name in ("config.yaml", "metrics.json"):
        file = folder / "out" / name
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("    test: false\n", "    test: true\n"), encoding="utf-8")
    metrics = json.loads((folder / "out" / "metrics.json").read_text(encoding="utf-8"))
    metrics.pop("config_hash")
    (folder / "out" / "metrics.json").write_text(json.dumps(metrics, indent=2), encoding="utf-8")


@pytest.mark.parametrize("name", REQUESTS)
def test_the_numbers_are_those_that_the_training_would_have_given(tmp_path: Path, name: str) -> None:
    later, at_once = tmp_path / "later", tmp_path / "at once"
    run(later, REQUESTS[name])
    with_test(later)
    found = evaluate_later(later / "out", later / "data", CPU)
    wanted = run(at_once, REQUESTS[name], config({"test": True}))
    for key in ("validation", "over_seeds", "temperature", "calibration", "seeds"):
        assert found.get(key) == wanted.get(key), key
    assert {**found["test"], "opened": ""} == {**wanted["test"], "opened": ""}
    for file in ("predictions.csv", "confusion.csv", "classes.csv", "errors.html", "reliability.svg"):
        assert (later / "out" / file).read_bytes() == (at_once / "out" / file).read_bytes(), file
    assert reads(later / "data") == 2  # the training asked for it, too, and there was none
    again = evaluate_later(later / "out", later / "data", CPU)
    assert again["test"]["opening"] == found["test"]["opening"] + 1 == 2


def test_without_a_test_part_everything_is_about_validation_and_says_so(tmp_path: Path) -> None:
    metrics = run(tmp_path)
    assert metrics["test"]["images"] == 0 and "no test set" in metrics["test"]["note"]
    for name in ("predictions.csv", "confusion.csv", "classes.csv"):
        assert set(pd.read_csv(tmp_path / "out" / name)["part"]) == {"validation"}, name
    assert "15 validation images" in (tmp_path / "out" / "errors.html").read_text(encoding="utf-8")
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Not measured on a test set" in card and "Of the validation images" in card


def test_of_both_parts_without_a_test_part_nothing_is_shown(tmp_path: Path) -> None:
    run(tmp_path)
    metrics = run(tmp_path, REQUESTS["both parts"])
    assert "validation" not in metrics and "val_accuracy" not in metrics and "gap_accuracy" not in metrics
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert not {"predictions.csv", "confusion.csv", "classes.csv", "errors.html", "reliability.svg"} & left
    assert "No validation images were left" in (tmp_path / "out" / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_two_classes_in_groups_with_several_metrics(tmp_path: Path) -> None:
    metrics = run(tmp_path, REQUESTS["ensemble"], config(**BINARY))
    for part in ("validation", "test"):
        facts = metrics[part]
        assert {"average_precision", "auroc", "balanced_accuracy", "groups", "design_effect"} <= facts.keys()
        assert facts["accuracy_low"] <= facts["accuracy"] <= facts["accuracy_high"]
    assert metrics["test"]["groups"] == 15
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "The positive class is ill." in card and "interval over images in groups" in card
    assert evaluate_later(tmp_path / "out", tmp_path / "data", CPU)["test"]["auroc"] == metrics["test"]["auroc"]


def no_folder(out: Path) -> None:
    out.rename(out.parent / "elsewhere")


def no_metrics(out: Path) -> None:
    (out / "metrics.json").unlink()


def damaged_metrics(out: Path) -> None:
    (out / "metrics.json").write_text('{\n  "outcome": ')


def interrupted(out: Path) -> None:
    (out / "metrics.json").unlink()
    (out / "checkpoint.pt").touch()


def other_config(out: Path) -> None:
    file = out / "config.yaml"
    file.write_text(file.read_text().replace("epochs: 2", "epochs: 3"))


def no_weights(out: Path) -> None:
    (out / "model.safetensors").unlink()


def diverged(out: Path) -> None:
    file = out / "metrics.json"
    file.write_text(file.read_text().replace('"best_epoch": ', '"best_epoch": 0, "was": '))


def no_preprocessing(out: Path) -> None:
    (out / "preprocessing.json").unlink()


def damaged_preprocessing(out: Path) -> None:
    (out / "preprocessing.json").write_text("{}")


SPOILED = {
    no_folder: "does not exist. Give the output folder",
    no_metrics: "has no metrics.json: it is not the output folder",
    damaged_metrics: "is damaged",
    interrupted: "has not ended. Give its `regstudy train` command again",
    other_config: "is not the configuration of the results",
    no_weights: r"There are no weights to load: .*model\.safetensors does not exist",
    diverged: "diverged, so it has no weights",
    no_preprocessing: r"has no preprocessing\.json any more.*restore the file from a copy",
    damaged_preprocessing: "preprocessing.json cannot be used",
}


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_folder_that_cannot_be_evaluated_is_one_paragraph_and_the_test_set_stays_closed(
    tmp_path: Path, spoil: Any
) -> None:
    run(tmp_path, of=config({"test": True}))
    spoil(tmp_path / "out")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(RegstudyError, match=SPOILED[spoil]):
        evaluate_later(tmp_path / "out", tmp_path / "data", CPU)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_checkpoint_of_a_later_training_stays(tmp_path: Path) -> None:
    """The same configuration with more seeds has been interrupted: its hours are not lost by an evaluation."""
    run(tmp_path, of=config({"test": True}))
    checkpoint = tmp_path / "out" / "checkpoint.seed2.finished.pt"
    checkpoint.write_bytes(b"hours")
    assert evaluate_later(tmp_path / "out", tmp_path / "data", CPU)["test"]["opening"] == 2
    assert checkpoint.read_bytes() == b"hours" and not (tmp_path / "out" / "opening.json").exists()


def test_without_test_images_nothing_changes(tmp_path: Path) -> None:
    run(tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*")}
    with pytest.raises(DataError, match=r"was not measured\. The data set 'tiny_parts:load' has no test set"):
        evaluate_later(tmp_path / "out", tmp_path / "data", CPU)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*")} == before


def as_0_1_0(folder: Path) -> Path:
    """The output folder as version 0.1.0 would have written it."""
    out, metrics = folder / "out", json.loads((folder / "out" / "metrics.json").read_text())
    (out / "model.safetensors").rename(out / "weights.safetensors")
    for name in (
        "preprocessing.json",
        "predictions.csv",
        "confusion.csv",
        "classes.csv",
        "errors.html",
        "MODEL_CARD.md",
    ):
        (out / name).unlink()
    for key in ("config_hash", "on", "seed", "model", "versions", "command", "validation"):
        metrics.pop(key)
    metrics["test"] = {key: value for key, value in metrics["test"].items() if not key.startswith("accuracy_")}
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2))
    return out


@pytest.mark.parametrize("normalize", ["half", "train"])
def test_a_folder_of_0_1_0_is_evaluated_too(tmp_path: Path, normalize: str) -> None:
    wanted = run(tmp_path, of=config(**{"preprocessing.normalize": normalize}))["test"]
    out = as_0_1_0(tmp_path)
    found = evaluate_later(out, tmp_path / "data", CPU)["test"]
    assert found["loss"] == wanted["loss"] and found["opening"] == 2
    assert (out / "preprocessing.json").exists() and (out / "predictions.csv").exists()


def test_a_folder_of_0_1_0_with_other_images_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, of=config(**{"preprocessing.normalize": "train"}))
    out = as_0_1_0(tmp_path)
    monkeypatch.setitem(SEEDS, "train", 9)
    with pytest.raises(FileError, match=r"split hash was .* and it is .* now"):
        evaluate_later(out, tmp_path / "data", CPU)
    assert not (out / "preprocessing.json").exists()


@pytest.mark.parametrize("name", REQUESTS)
def test_what_load_answers_is_what_the_tables_say(tmp_path: Path, name: str) -> None:
    metrics = run(tmp_path, REQUESTS[name], config({"test": True}))
    images = load("test", config().data, tmp_path / "data")
    assert images is not None
    found = regstudy.load(tmp_path / "out").predict(images.images)
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    columns = [f"p({one})" for one in images.classes]
    assert np.abs(table[columns].to_numpy() - found[columns].to_numpy()).max() < 1e-6
    assert table["class"].tolist() == found["class"].tolist()
    assert table["file"].tolist() == list(images.paths)
    assert (table["class"] == table["true_class"]).mean() == pytest.approx(metrics["test"]["accuracy"])
    if "temperature" in metrics:
        changed = metrics["temperature"]
        assert changed["validation"]["after"]["loss"] <= changed["validation"]["before"]["loss"]
        assert changed["test"]["after"]["loss"] == metrics["test"]["loss"]
