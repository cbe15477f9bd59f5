"""`verify` says whether numbers, images and versions are those of the training, to the bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import CPU, make_config
from tiny_parts import SEEDS, reads

import regstudy
from regstudy.config.run_config import RunConfig
from regstudy.errors import ArgumentError, FileError, RegstudyError
from regstudy.production import seed_runs
from regstudy.production.final_training import train_finally
from regstudy.production.training_request import BOTH, TrainingRequest
from regstudy.production.verify_training import CLOSE, Compared, Verification, as_trained, verify_training
from regstudy.training.run import Trained

REQUESTS = {
    "one": TrainingRequest(temperature=True),
    "ensemble": TrainingRequest(seeds=2, ensemble=True, temperature=True),
    "both parts": TrainingRequest(on=BOTH, seeds=2),
}


def config(options: dict[str, Any] | None = None) -> RunConfig:
    data = {"name": "tiny_parts:load", "validation": 15, "options": options or {}}
    return make_config({"data": data, "training.epochs": 2, "training.also": ["val_auroc"]})


def run(folder: Path, name: str = "one", options: dict[str, Any] | None = None) -> dict[str, Any]:
    return train_finally(config(options), folder / "data", folder / "out", CPU, request=REQUESTS[name])


def verify(folder: Path, **given: bool) -> Verification:
    return verify_training(folder / "out", folder / "data", CPU, **given)


def change_metrics(folder: Path, change: Any) -> None:
    file = folder / "out" / "metrics.json"
    metrics = json.loads(file.read_text(encoding="utf-8"))
    change(metrics)
    file.write_text(json.dumps(metrics, indent=2), encoding="utf-8")


@pytest.mark.parametrize("name", REQUESTS)
def test_a_training_is_the_same_to_the_bit_and_nothing_changes(tmp_path: Path, name: str) -> None:
    run(tmp_path, name)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    found = verify(tmp_path, test=True, retrain=True)
    assert found.same and not found.versions, str(found)
    assert all(one.difference == 0 and one.numbers for one in found.compared)
    assert len(found.compared) == 2 + REQUESTS[name].seeds
    assert "evaluation no. 2 on this test set" in str(found)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_the_test_part_stays_closed_unless_asked(tmp_path: Path) -> None:
    run(tmp_path)
    verify(tmp_path, retrain=True)
    assert reads(tmp_path / "data") == 1


def other_weights(folder: Path) -> None:
    file = folder / "out" / "model.safetensors"
    tensors = load_file(file)
    save_file({name: tensor + torch.ones((), dtype=tensor.dtype) for name, tensor in tensors.items()}, file)


def other_number(folder: Path) -> None:
    change_metrics(folder, lambda metrics: metrics["validation"].update(loss=metrics["validation"]["loss"] + 1e-3))


def other_curve(folder: Path) -> None:
    file = folder / "out" / "epochs.csv"
    table = pd.read_csv(file)
    table.loc[1, "train_loss"] += 0.5
    table.to_csv(file, index=False)


def shorter_curve(folder: Path) -> None:
    file = folder / "out" / "epochs.csv"
    pd.read_csv(file).head(1).to_csv(file, index=False)


DIFFERENT = {
    other_weights: "validation images: differs by up to",
    other_number: r"validation images: differs by up to 0\.001 \(loss: ",
    other_curve: r"Curve of a new training: differs by up to 0\.5 \(train_loss in epoch 2",
    shorter_curve: r"Curve of a new training: differs \(1 epoch → 2 epochs\)",
}


@pytest.mark.parametrize("change", DIFFERENT)
def test_a_difference_is_named_with_both_numbers(tmp_path: Path, change: Any) -> None:
    run(tmp_path)
    change(tmp_path)
    found = verify(tmp_path, retrain="curve" in change.__name__)
    assert not found.same
    with pytest.raises(AssertionError, match=DIFFERENT[change]):
        raise AssertionError(str(found))


def test_other_images_are_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path)
    monkeypatch.setitem(SEEDS, "test", 8)
    found = verify(tmp_path, test=True)
    assert not found.same and "test images are not those of the training" in str(found)
    monkeypatch.setitem(SEEDS, "train", 9)
    assert "the split hash was" in str(verify(tmp_path)) and not verify(tmp_path).same


def test_versions_that_differ_are_named(tmp_path: Path) -> None:
    run(tmp_path)
    change_metrics(tmp_path, lambda metrics: metrics["versions"].update(torch="1.0", threads="64"))
    found = verify(tmp_path)
    assert found.same and found.versions["torch"] == ("1.0", torch.__version__.partition("+")[0])
    assert "Differs from the training: torch: 1.0 → " in str(found)


@pytest.mark.parametrize(
    ("difference", "same", "words"),
    [
        (0.0, True, "the same to the bit (3 numbers)"),
        (CLOSE / 2, True, "the same within 1e-06"),
        (CLOSE * 2, False, "differs by up to 2e-06"),
        (float("inf"), False, "differs (loss"),
    ],
)
def test_how_close_is_the_same(difference: float, same: bool, words: str) -> None:
    compared = Compared("x", 3, difference, "loss: 1 → 2")
    assert compared.same is same and words in str(compared)
    assert Verification([compared]).same is same
    assert not Verification([compared], ["other images"]).same


def test_a_new_training_that_diverges_is_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, "both parts")
    genuine = seed_runs.run

    def diverging(*given: Any) -> Trained:
        trained = genuine(*given)
        return replace(trained, result=replace(trained.result, outcome="diverged", reason="lost", best_epoch=0))

    monkeypatch.setattr(seed_runs, "run", diverging)
    found = verify(tmp_path, retrain=True)
    assert not found.same and "A new training: differs (lost)." in str(found)


def test_nothing_to_compare_the_test_part_with(tmp_path: Path) -> None:
    run(tmp_path, options={"test": False})
    with pytest.raises(FileError, match=r"so it was not opened. Measure them with `regstudy evaluate"):
        verify(tmp_path, test=True)
    assert reads(tmp_path / "data") == 1


def as_0_1_0(folder: Path) -> Path:
    out = folder / "out"
    (out / "model.safetensors").rename(out / "weights.safetensors")
    (out / "preprocessing.json").unlink()
    for key in ("config_hash", "on", "seed", "model", "versions", "command", "validation", "temperature"):
        change_metrics(folder, lambda metrics, key=key: metrics.pop(key))
    return out


def test_a_folder_of_0_1_0(tmp_path: Path) -> None:
    run(tmp_path)
    as_0_1_0(tmp_path)
    found = verify(tmp_path, retrain=True)
    assert found.same and "older version" in str(found)
    assert found.compared[0].numbers == 3


def test_a_folder_of_0_1_0_keeps_no_statistics_of_other_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path)
    out = as_0_1_0(tmp_path)
    monkeypatch.setitem(SEEDS, "train", 9)
    with pytest.raises(FileError, match=r"split hash was .* Give the folder of the data"):
        verify(tmp_path)
    assert not (out / "preprocessing.json").exists()


def test_device_and_threads_are_those_of_the_training(tmp_path: Path) -> None:
    run(tmp_path)
    change_metrics(tmp_path, lambda metrics: metrics.update(threads=1))
    assert as_trained(tmp_path / "out", None, None) == ("cpu", 1)
    assert as_trained(tmp_path / "out", "cuda", 2) == ("cuda", 2)
    change_metrics(
        tmp_path, lambda metrics: (metrics.update(threads=10_000), metrics["versions"].update(device="abacus"))
    )
    assert as_trained(tmp_path / "out", None, None) == (None, None)


@pytest.mark.parametrize(
    ("given", "words"), [({"test": 1}, "test must be True or False"), ({"retrain": "yes"}, "retrain")]
)
def test_wrong_arguments(tmp_path: Path, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        regstudy.verify(tmp_path, **given)


def test_what_is_no_training(tmp_path: Path) -> None:
    for name in ("gone", "."):
        with pytest.raises(RegstudyError, match="output folder of `regstudy train`"):
            regstudy.verify(tmp_path / name, data_dir=tmp_path)
