"""An evaluation on the test set is logged or does not happen, and a training's metrics are written whatever happens."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from tiny import make_config

from regstudy.data.image_set import ImageSet
from regstudy.errors import DataError, FileError
from regstudy.production import final_training, measured_model, test_set_log
from regstudy.production.final_training import train_finally
from regstudy.production.test_set_log import TEST_LOG_FILE
from regstudy.production.training_folder import DIAGRAM_FILE

CONFIG = make_config({"training.epochs": 1, "data.name": "digits"})


def train(folder: Path, overwrite: bool = False) -> dict[str, object]:
    return train_finally(CONFIG, folder / "data", folder / "out", torch.device("cpu"), overwrite=overwrite)


def a_folder(folder: Path) -> None:
    (folder / "data" / TEST_LOG_FILE).mkdir(parents=True)


def a_data_folder_that_is_a_file(folder: Path) -> None:
    (folder / "data").write_text("")


def a_link_to_nothing(folder: Path) -> None:
    (folder / "data").symlink_to(folder / "gone")


def an_output_that_is_a_file(folder: Path) -> None:
    (folder / "out").write_text("")


def a_file_of_the_users(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "metrics.json").write_text("{}")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (a_folder, "is a folder.*logged there.*--data-dir"),
        (a_data_folder_that_is_a_file, "is a file"),
        (a_link_to_nothing, "is a link to .*gone, which does not exist"),
        (an_output_that_is_a_file, "is a file"),
        (a_file_of_the_users, "metrics.json exists already"),
    ],
)
def test_what_cannot_be_written_is_told_before_training_and_the_test_set_stays_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None], words: str
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("it must not come to this")

    monkeypatch.setattr(final_training, "prepare", never)
    monkeypatch.setattr(test_set_log, "open_test", never)
    spoil(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FileError, match=f"(?s){words}"):
        train(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_data_folder_without_permission_is_told_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(FileError, match=r"permission denied.*logged there"):
        train(tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (DataError("the test part is broken"), "the test part is broken"),
        (OSError(5, "Input/output error"), "failed: OSError.*Input/output error"),
        (MemoryError("too large"), "out of memory"),
        (ZeroDivisionError("user code"), "ZeroDivisionError: user code"),
    ],
)
def test_a_broken_test_part_costs_only_its_own_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, note: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(test_set_log, "open_test", fail)
    metrics = train(tmp_path)
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written == json.loads(json.dumps(metrics))
    assert written["test"]["images"] == 0
    with pytest.raises(AssertionError, match=note):
        raise AssertionError(written["test"]["note"])
    assert (tmp_path / "out" / "model.safetensors").exists()
    assert not (tmp_path / "data" / TEST_LOG_FILE).exists()


def test_numbers_that_cannot_be_logged_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = measured_model.ModelUnderTest.on

    def spoiling(self: measured_model.ModelUnderTest, part: str, images: ImageSet) -> object:
        if part == "test":
            (tmp_path / "data" / TEST_LOG_FILE).mkdir(parents=True)
        return genuine(self, part, images)

    monkeypatch.setattr(measured_model.ModelUnderTest, "on", spoiling)
    train(tmp_path)
    test = json.loads((tmp_path / "out" / "metrics.json").read_text())["test"]
    assert test.keys() == {"images", "note"} and "is a folder" in test["note"]


def test_an_interrupted_evaluation_leaves_metrics_that_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(test_set_log, "open_test", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path)
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written["test"] == {"images": 0, "note": test_set_log.UNFINISHED}
    assert train(tmp_path)["test"]["opening"] == 1  # type: ignore[index]


def test_openings_are_counted_in_a_log_that_is_not_utf_8(tmp_path: Path) -> None:
    assert train(tmp_path)["test"]["opening"] == 1  # type: ignore[index]
    log = tmp_path / "data" / TEST_LOG_FILE
    log.write_bytes(b"\xff\xfe damaged\n" + log.read_bytes())
    assert train(tmp_path)["test"]["opening"] == 2  # type: ignore[index]
    assert log.read_bytes().startswith(b"\xff\xfe damaged\n")


def test_a_folder_of_an_earlier_version_can_be_trained_into(tmp_path: Path) -> None:
    train(tmp_path)
    out = tmp_path / "out"
    config = out / "config.yaml"
    config.write_text(config.read_text().partition("\n")[2])  # without its mark
    with pytest.raises(FileError, match=r"config\.yaml, .*exist already"):
        train(tmp_path)
    train(tmp_path, overwrite=True)
    config.unlink()
    train(tmp_path)


@pytest.mark.parametrize("with_test", [True, False])
def test_calibration_is_measured_on_every_part_that_was_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_test: bool
) -> None:
    def fail(*_: object) -> None:
        raise DataError("there is no test part")

    if not with_test:
        monkeypatch.setattr(test_set_log, "open_test", fail)
    metrics = train(tmp_path)
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written == json.loads(json.dumps(metrics))
    found = written["calibration"]
    assert list(found) == (["validation", "test"] if with_test else ["validation"])
    for part, facts in found.items():
        accuracy = written["test"]["accuracy"] if part == "test" else written["val_accuracy"]
        assert sum(facts["bins"]["right"]) / facts["images"] == pytest.approx(accuracy)
        assert 0 < facts["noise_floor"] < facts["noise_limit"] < 1 and 0 <= facts["ece"] <= 1
        assert facts["note"]
    picture = (tmp_path / "out" / DIAGRAM_FILE).read_text()
    assert picture.startswith("<!-- Written by regstudy train -->")
    assert picture.count("<polyline") == len(found)
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    if with_test:
        logged = (tmp_path / "data" / TEST_LOG_FILE).read_text()
        assert json.loads(logged)["calibration"]["ece"] == found["test"]["ece"]


def test_a_diagram_of_the_users_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    mine = tmp_path / "out" / DIAGRAM_FILE
    mine.write_text("<svg/>")
    with pytest.raises(FileError, match=r"reliability\.svg exists already"):
        train(tmp_path)
    assert mine.read_text() == "<svg/>"
