"""The reference cases through the command line: found in order, fixed, and an honest study afterwards."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Command
from PIL import Image
from planted import UNBALANCED, write_unbalanced

from regstudy.study import attributes

pytestmark = pytest.mark.table

SLIDES = """\
# Case C as its authors ran it.
data: {name: image_folder, root: slides, size: 32, validation: 0.2}  # expanded before the split
preprocessing: {normalize: half}
model:
  name: resnet18_dropout
  dropout: 0.5
  options: {position: blocks, head_size: 1000}  # another data set's head
optimizer: {name: adam, lr: 5e-4}
regularization: {l2: 1e-3}
training: {batch_size: 64, epochs: 1, patience: null}
"""
PHOTOS = """\
# Case D as its author ran it.
data: {name: image_folder, root: photos, size: 128, validation: 0.4}
preprocessing: {normalize: imagenet}
model: {name: resnet50_transfer, trainable: head, dropout: 0.3}
optimizer: {name: adam, lr: 1e-4}
augmentation: {strength: 0.5, ops: [rotate]}
training: {batch_size: 8, epochs: 50, patience: 15}
"""


def expanded(archive: Path, folder: Path) -> None:
    """Every slide in three variants, as the authors of case C enlarged their set before they divided it."""
    with zipfile.ZipFile(archive) as slides:
        for name in slides.namelist():
            path = Path(name)
            if path.suffix != ".png" or path.parent.name not in ("neg", "pos"):
                continue
            image = Image.open(io.BytesIO(slides.read(name))).convert("RGB")
            place = folder / path.parent.name
            place.mkdir(parents=True, exist_ok=True)
            for number, operation in enumerate((None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90)):
                changed = image if operation is None else image.transpose(operation)
                changed.save(place / f"{path.stem}_v{number}.png")


def grave(file: Path) -> list[str]:
    """The findings that block or distort a study, in order."""
    return [f["id"] for f in json.loads(file.read_text())["findings"] if f["severity"] != "note"]


def kept(folder: Path) -> dict[str, Any]:
    study = optuna.load_study(study_name=folder.name, storage=f"sqlite:///{folder / 'study.db'}")
    return dict(study.user_attrs)


def test_slides_leak_before_head_before_dropout_and_the_mended_study_keeps_slides_whole(
    regstudy: Command, real_images: Path, tmp_path: Path
) -> None:
    expanded(real_images / "smear_wbc.zip", tmp_path / "slides")
    (tmp_path / "c.yaml").write_text(SLIDES)
    done = regstudy("doctor", "c.yaml", "--preflight", "--json", "c.json")
    assert done.returncode == 1, done.stderr
    found = grave(tmp_path / "c.json")
    wanted = ["copies", "head-size", "dropout-before-batchnorm"]
    assert [name for name in found if name in wanted] == wanted
    assert found[0] == "copies"
    assert "_v1.png" in done.stdout  # the evidence names files

    refused = regstudy("study", "--space", "c.yaml", "--trials", "1")
    assert refused.returncode == 2 and "--force" in refused.stderr
    assert not (tmp_path / "results").exists()

    fixed = regstudy("doctor", "c.yaml", "--preflight", "--fix")
    (tmp_path / "fixed.yaml").write_text(fixed.stdout)
    assert "# expanded before the split" in fixed.stdout and "# doctor, copies:" in fixed.stdout
    assert regstudy("doctor", "fixed.yaml", "--preflight", "--json", "fixed.json").returncode == 0
    assert not set(grave(tmp_path / "fixed.json")) & set(wanted)

    # ranges, so that there is something to search
    (tmp_path / "space.yaml").write_text(fixed.stdout.replace("dropout: 0.5", "dropout: {low: 0.0, high: 0.5}"))
    done = regstudy("study", "--space", "space.yaml", "--trials", "2")
    assert done.returncode == 0, done.stderr
    facts = kept(tmp_path / "results" / "space")
    assert facts[attributes.DATA]["group"] and facts[attributes.DATA]["groups_in_both_parts"] == 0
    assert "copies" not in [f["id"] for f in facts[attributes.DOCTOR]["findings"] if f["severity"] != "note"]


def test_photos_on_frozen_layers_begin_sure_of_wrong_answers(
    regstudy: Command, real_images: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(real_images / "cifar10_images.zip") as archive:
        names = archive.namelist()
        for label in ("airplane", "automobile"):
            own = sorted(name for name in names if f"train/{label}/" in name and name.endswith(".jpg"))[:200]
            for name in own:
                place = tmp_path / "photos" / label / Path(name).name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(archive.read(name))
    (tmp_path / "d.yaml").write_text(PHOTOS)
    done = regstudy("doctor", "d.yaml", "--preflight", "--json", "d.json")
    assert done.returncode == 1, done.stderr
    found = grave(tmp_path / "d.json")
    assert found[0] == "frozen" and "initial-loss" in found
    fixed = regstudy("doctor", "d.yaml", "--preflight", "--fix")
    assert "trainable: all" in fixed.stdout


def winner(folder: Path) -> str:
    """What the best trial of a study says of `training.balance`."""
    study = optuna.load_study(study_name=folder.name, storage=f"sqlite:///{folder / 'study.db'}")
    tried = {trial.user_attrs[attributes.CONFIG]["training"]["balance"] for trial in study.trials}
    assert tried == {"none", "weights"}
    return str(study.best_trial.user_attrs[attributes.CONFIG]["training"]["balance"])


def test_accuracy_and_balanced_accuracy_choose_different_winners_and_the_doctor_warns(
    regstudy: Command, tmp_path: Path
) -> None:
    write_unbalanced(tmp_path / "images")
    (tmp_path / "by_accuracy.yaml").write_text(UNBALANCED % "images")
    done = regstudy("doctor", "by_accuracy.yaml", "--preflight", "--json", "found.json")
    findings = {f["id"]: f for f in json.loads((tmp_path / "found.json").read_text())["findings"]}
    assert findings["metric-hides-classes"]["severity"] == "distorts", done.stdout
    assert "90.0% accuracy, but 50.0% balanced accuracy" in findings["metric-hides-classes"]["evidence"][0]
    fixed = regstudy("doctor", "by_accuracy.yaml", "--preflight", "--fix").stdout
    assert "study: {metric: balanced_accuracy}" in fixed
    (tmp_path / "by_balance.yaml").write_text(fixed)
    regstudy("doctor", "by_balance.yaml", "--preflight", "--json", "after.json")
    assert "metric-hides-classes" not in (tmp_path / "after.json").read_text()

    for space in ("by_accuracy", "by_balance"):
        done = regstudy("study", "--space", f"{space}.yaml", "--trials", "6", "--pruner", "none", "--threads", "1")
        assert done.returncode == 0, done.stderr
    assert winner(tmp_path / "results" / "by_accuracy") == "none"
    summary = (tmp_path / "results" / "by_accuracy" / "summary.md").read_text()
    assert "By balanced accuracy trial" in summary and "accuracy hides the rarer classes" in summary
    assert "hides" not in (tmp_path / "results" / "by_balance" / "summary.md").read_text()
    assert winner(tmp_path / "results" / "by_balance") == "weights"
