"""A final training that dies at any moment resumes to the same results, and counts one opening of the test set."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tiny import CPU, make_config
from tiny_parts import reads

from regstudy.config.run_config import RunConfig
from regstudy.production.evaluate_later import evaluate_later
from regstudy.production.final_training import train_finally
from regstudy.production.test_set_log import TEST_LOG_FILE
from regstudy.production.training_request import BOTH, TrainingRequest

pytestmark = pytest.mark.table

MODULES = ("files", "production.training_folder", "production.training_results", "production.part_files")
MODULES += ("production.preprocessing_file", "production.test_set_log", "files.file_store")
SMALL = {"data": {"name": "tiny_parts:load", "validation": 15}, "training.epochs": 2}
REQUESTS = {
    "one": TrainingRequest(temperature=True),
    "seeds": TrainingRequest(seeds=2, ensemble=True),
    "both parts": TrainingRequest(on=BOTH, seeds=2),
}


class Killed(BaseException):
    """As if the process had ended here."""


def small(changes: dict[str, Any] | None = None) -> RunConfig:
    return make_config({**SMALL, **(changes or {})})


def train(folder: Path, request: TrainingRequest, config: RunConfig | None = None) -> dict[str, Any]:
    return train_finally(config or small(), folder / "data", folder / "out", CPU, request=request)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of the output, without times."""
    found = {}
    for path in sorted((folder / "out").rglob("*")):
        if path.is_file():
            found[str(path.relative_to(folder / "out"))] = path.read_bytes()
    for name, text in found.items():
        if name.endswith("epochs.csv"):
            found[name] = pd.read_csv(io.BytesIO(text)).drop(columns="seconds").to_csv().encode()
        elif name == "metrics.json":
            metrics = json.loads(text)
            del metrics["test"]["opened"]
            found[name] = json.dumps(metrics).encode()
    return found


def openings(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "data" / TEST_LOG_FILE).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def dying(monkeypatch: pytest.MonkeyPatch, at: int) -> Callable[[], int]:
    """Every write is counted, and the given one is the last thing that happens."""
    import regstudy.files

    genuine, done = regstudy.files.write_atomically, [0]

    def counting(path: Path, text: str | bytes) -> None:
        done[0] += 1
        genuine(path, text)
        if done[0] == at:
            raise Killed

    for module in MODULES:
        monkeypatch.setattr(f"regstudy.{module}.write_atomically", counting)
    return lambda: done[0]


@pytest.mark.parametrize("request_name", REQUESTS)
def test_a_training_that_dies_after_any_write_resumes_to_the_same_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_name: str
) -> None:
    request = REQUESTS[request_name]
    with monkeypatch.context() as patch:
        writes = dying(patch, 0)
        train(tmp_path / "whole", request)
        total = writes()
    wanted = content(tmp_path / "whole")
    assert total > 12 and reads(tmp_path / "whole" / "data") == 1
    assert not [name for name in wanted if "checkpoint" in name or "opening" in name or name.startswith(".")]
    for at in range(1, total + 1):
        folder = tmp_path / f"{at}"
        with monkeypatch.context() as patch:
            dying(patch, at)
            with pytest.raises(Killed):
                train(folder, request)
        train(folder, request)
        assert content(folder) == wanted, at
        assert [line["opening"] for line in openings(folder)] == [1], at


def test_the_test_part_is_read_once_and_all_seeds_are_measured_then(tmp_path: Path) -> None:
    metrics = train(tmp_path, TrainingRequest(seeds=3))
    assert reads(tmp_path / "data") == 1
    (line,) = openings(tmp_path)
    assert len(line["seeds"]) == 3
    assert [one["test"]["accuracy"] for one in metrics["seeds"]] == [one["accuracy"] for one in line["seeds"]]
    assert metrics["over_seeds"]["test"]["accuracy"]["n"] == 3


def test_an_interrupted_opening_can_also_be_taken_up_by_evaluate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path / "whole", TrainingRequest())

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("regstudy.production.error_page.error_page", die)  # as early as that of validation
        with pytest.raises(Killed):
            train(tmp_path, TrainingRequest())
    with monkeypatch.context() as patch:
        patch.setattr("regstudy.production.final_training.remove_checkpoints", die)
        with pytest.raises(Killed):
            train(tmp_path, TrainingRequest())
    assert evaluate_later(tmp_path / "out", tmp_path / "data", CPU)["test"]["opening"] == 1
    assert len(openings(tmp_path)) == 1
    assert content(tmp_path) == content(tmp_path / "whole")


def test_another_training_is_another_opening(tmp_path: Path) -> None:
    assert train(tmp_path, TrainingRequest())["test"]["opening"] == 1
    assert train(tmp_path, TrainingRequest())["test"]["opening"] == 2
    assert evaluate_later(tmp_path / "out", tmp_path / "data", CPU)["test"]["opening"] == 3


def test_the_marker_of_other_weights_is_not_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("regstudy.production.final_training.remove_checkpoints", die)
        with pytest.raises(Killed):
            train(tmp_path, TrainingRequest())
    other = small({"training.seed": 7})
    assert train(tmp_path, TrainingRequest(), other)["test"]["opening"] == 2


def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    """Real processes; every second kill lets the training get further than the one before."""
    (tmp_path / "c.yaml").write_text(
        "data: {name: 'tiny_parts:load', validation: 15}\npreprocessing: {normalize: half}\nmodel: {name: 'tiny:cnn'}\n"
        "training: {epochs: 40, batch_size: 4, patience: null, precision: fp32}\n"
    )
    tests = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])}

    def command(out: str, data: str) -> list[str]:
        options = ["--seeds", "3", "--threads", "1", "--device", "cpu", "--data-dir", data]
        return [sys.executable, "-m", "regstudy", "train", "c.yaml", "-o", out, *options]

    began = time.monotonic()
    subprocess.run(command("whole/out", "whole/data"), cwd=tmp_path, env=environment, check=True, capture_output=True)
    took = time.monotonic() - began
    killed = 0
    for share in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        process = subprocess.Popen(command("out", "data"), cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
        time.sleep(share * took)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    subprocess.run(command("out", "data"), cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert killed
    for name in ("model.safetensors", "predictions.csv", "seed_3/model.safetensors", "confusion.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / "out" / name).read_bytes(), name


def test_the_first_seed_is_the_curve_of_a_single_training(tmp_path: Path) -> None:
    alone, several = train(tmp_path / "a", TrainingRequest()), train(tmp_path / "b", TrainingRequest(seeds=2))
    assert several["seeds"][0]["val_loss"] == alone["val_loss"]
    assert several["seeds"][0]["seed"] == alone["seed"] == 0
    assert torch.get_num_threads() == several["threads"]
