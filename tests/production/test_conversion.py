"""model.onnx and model.pt2 give torch's probabilities for every shipped network, and replace only their own kind."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from models.test_models import SMALLEST
from torch import nn
from trained_folder import CLASSES, make_trained, random_set

import regstudy
from regstudy.cli.app import main
from regstudy.errors import ArgumentError, FileError
from regstudy.models import BUILDERS
from regstudy.production import conversion, onnx_file
from regstudy.production.conversion import remove_outdated
from regstudy.production.preprocessing_file import WEIGHTS_FILE

pytestmark = pytest.mark.table

MEMBERS = (f"seed_1/{WEIGHTS_FILE}", f"seed_2/{WEIGHTS_FILE}")


def check_same(out: Path, count: int = 256) -> None:
    """Both files against torch, in a large batch and in one of a single image, with the facts that they carry."""
    classifier = regstudy.load(out)
    facts = classifier.facts
    images = random_set(count, facts.channels, facts.size, CLASSES, seed=5).images
    wanted = classifier.probabilities(images)
    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    described = session.get_modelmeta().custom_metadata_map
    assert json.loads(described["classes"]) == list(facts.classes)
    assert json.loads(described["preprocessing"]) == facts.model_dump(mode="json")
    extra = {"preprocessing.json": ""}
    exported = torch.export.load(out / "model.pt2", extra_files=extra).module()
    assert json.loads(extra["preprocessing.json"]).items() >= facts.model_dump(mode="json").items()
    for some in (images, images[:1]):
        (found,) = session.run(None, {"images": some.numpy()})
        assert found.dtype == np.float32 and np.abs(found - wanted[: len(some)].numpy()).max() < 1e-4
        with torch.inference_mode():
            assert (exported(some) - wanted[: len(some)]).abs().max() < 1e-4
    assert wanted.std(0).max() > 0 and not torch.allclose(wanted[0], wanted[1], atol=1e-6)


@pytest.mark.table
@pytest.mark.parametrize("name", BUILDERS)
def test_every_shipped_network_gives_the_same_probabilities(tmp_path: Path, name: str) -> None:
    side = max(SMALLEST[name], 2)  # on one pixel, batch normalization makes all images alike
    make_trained(tmp_path, {"model.name": name, "preprocessing.crop": side}, size=side + 3)
    assert regstudy.convert(tmp_path, ["onnx", "pt2"]) == [tmp_path / "model.onnx", tmp_path / "model.pt2"]
    check_same(tmp_path)


@pytest.mark.table
@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({"preprocessing.crop": 9, "preprocessing.normalize": "train"}, {"temperature": 1.7}),
        ({"model.dropout": 0.5}, {"channels": 1}),
        ({}, {"members": MEMBERS}),
        ({"model.name": "resnet18_dropout", "model.options": {"head_size": 5}}, {}),
        ({}, {"classes": ("ä", 'b"c', "d, e")}),
    ],
)
def test_crop_temperature_channels_and_ensembles_are_inside(
    tmp_path: Path, changes: dict[str, Any], more: dict[str, Any]
) -> None:
    make_trained(tmp_path, changes, **more)
    regstudy.convert(str(tmp_path), ("pt2", "onnx"))
    check_same(tmp_path, 32)


class Branching(nn.Module):
    """What torch cannot export."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(1, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.mean((1, 2, 3)).unsqueeze(1)
        return self.layer(mean if mean.sum() > 0 else -mean)


def branching(channels: int, size: int, classes: int) -> nn.Module:  # noqa: ARG001
    return Branching(classes)


@pytest.mark.parametrize("name", ["onnx", "pt2"])
def test_a_network_that_cannot_be_exported_is_told_and_nothing_written(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "own", sys.modules[__name__])
    make_trained(tmp_path, {"model.name": "own:branching"})
    before = sorted(tmp_path.iterdir())
    with pytest.raises(FileError, match="was not written: the network 'own:branching' cannot") as error:
        regstudy.convert(tmp_path, [name])
    assert re.search(r"GuardOnData.*test_conversion.py, line \d+, in forward: return self.layer", str(error.value))
    assert re.fullmatch(r"[\x20-\x7e×]{1,1200}", str(error.value))
    assert sorted(tmp_path.iterdir()) == before
    assert "".join(capfd.readouterr()) == ""


def test_a_file_whose_probabilities_differ_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_trained(tmp_path)
    monkeypatch.setattr(onnx_file, "TOLERANCE", -1.0)
    with pytest.raises(FileError, match="differ from torch's by up to"):
        regstudy.convert(tmp_path)
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize("missing", [("onnxscript",), ("onnx", "onnxscript", "onnxruntime")])
def test_without_the_extra_nothing_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a conversion nor a training, and `--pt2` needs no extra."""
    found = onnx_file.find_spec
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None if name in missing else found(name))
    monkeypatch.setattr("regstudy.api.train_finally", lambda *_, **__: pytest.fail("it has begun"))
    make_trained(tmp_path / "out")
    (tmp_path / "c.yaml").write_text("data: {name: digits}\nmodel: {name: small_cnn}\n")
    for words in (["convert", str(tmp_path / "out")], ["train", str(tmp_path / "c.yaml"), "-o", str(tmp_path / "new")]):
        with pytest.raises(SystemExit) as ended:
            main([*words, "--onnx"])
        shown = " ".join(capsys.readouterr().err.split())
        assert ended.value.code == 2
        assert f"{missing[-1]} {'is' if len(missing) == 1 else 'are'} not installed" in shown
        assert "pip install 'regstudy[onnx]'" in shown
    assert not (tmp_path / "new").exists() and not (tmp_path / "out" / "model.onnx").exists()
    regstudy.convert(tmp_path / "out", ["pt2"])


@pytest.mark.table
@pytest.mark.parametrize("name", ["model.onnx", "model.pt2"])
@pytest.mark.parametrize("content", [b"mine", b"PK\x03\x04 an archive", b"\x08\x0a\x12\x07pytorch"])
def test_a_file_of_the_users_stays(tmp_path: Path, name: str, content: bytes) -> None:
    make_trained(tmp_path)
    path, kind = tmp_path / name, name.partition(".")[2]
    path.write_bytes(content)
    with pytest.raises(FileError, match="--overwrite"):
        regstudy.convert(tmp_path, [kind])
    assert remove_outdated(tmp_path) == []
    assert path.read_bytes() == content
    regstudy.convert(tmp_path, [kind], overwrite=True)
    first = path.read_bytes()
    assert first != content
    regstudy.convert(tmp_path, [kind])  # its own kind is replaced without a word
    assert remove_outdated(tmp_path) == [path] and not path.exists()


@pytest.mark.parametrize(
    ("formats", "words"),
    [(["onx"], "no format 'onx'. Did you mean 'onnx'"), (["onnx", "tflite"], "no format 'tflite'"), ("pt3", "pt2")],
)
def test_unknown_formats_are_argument_errors(tmp_path: Path, formats: Any, words: str) -> None:
    make_trained(tmp_path)
    with pytest.raises(ArgumentError, match=words):
        regstudy.convert(tmp_path, formats)


def test_every_format_has_an_option() -> None:
    from regstudy.cli.trained_options import formats

    assert formats(True, True) == tuple(conversion.MODEL_FORMATS)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["out"], "--onnx, --pt2, or both"),
        (["nosuch", "--pt2"], "no folder nosuch"),
        ([".", "--pt2"], "no config.yaml"),
        (["out", "--tflite"], "No such option"),
    ],
)
def test_misuse_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make_trained(Path("out"))
    before = sorted(Path("out").iterdir())
    with pytest.raises(SystemExit) as ended:
        main(["convert", *words])
    assert ended.value.code == 2 and says in " ".join(capsys.readouterr().err.split())
    assert sorted(Path("out").iterdir()) == before


def test_the_command_says_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_trained(Path("out"))
    with pytest.raises(SystemExit) as ended:
        main(["convert", "out", "--onnx", "--pt2"])
    assert ended.value.code in (0, None)
    assert "Wrote out/model.onnx and out/model.pt2" in capsys.readouterr().out


def test_a_new_training_removes_the_files_of_the_old_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(
        "data: {name: digits, size: 8, train_limit: 60, validation: 40}\nmodel: {name: small_cnn}\n"
        "training: {epochs: 1, batch_size: 32}\n"
    )
    for more, files in ((["--onnx"], {"model.onnx"}), (["--pt2"], {"model.pt2"}), ([], set())):
        with pytest.raises(SystemExit) as ended:
            main(["train", "c.yaml", "-o", "out", *more])
        assert ended.value.code in (0, None)
        assert {path.name for path in Path("out").iterdir()} & {"model.onnx", "model.pt2"} == files
    shown = capsys.readouterr().out
    assert "Removed out/model.onnx" in shown and "Removed out/model.pt2" in shown
