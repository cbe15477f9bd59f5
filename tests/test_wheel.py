"""The package as it is installed from a wheel: from a study to classes for new images, outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import require
from PIL import Image
from sklearn.datasets import load_digits

pytestmark = pytest.mark.table

ROOT = Path(__file__).parents[1]
CLASSES = ("cat", "ship")
PHOTOS, NEW = 450, 40  # of two classes


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content, which Python finds before the checkout."""
    built, place = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    made = subprocess.run([*pip, "wheel", "--no-deps", "-w", str(built), str(ROOT)], capture_output=True, text=True)
    require(made.returncode == 0, f"the wheel cannot be built: {made.stderr}")
    (wheel,) = built.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(place), str(wheel)], check=True)
    return place


def drawn_digits(folder: Path) -> None:
    """Digits as PNG files, one folder per class."""
    found = load_digits()
    for number in range(NEW):
        path = folder / "new" / str(found.target[number]) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((found.images[number] * 15.9).astype(np.uint8)).save(path)


def photos(folder: Path, archive: Path) -> None:
    """Photos of CIFAR-10 in class folders, to train on and new ones."""
    with zipfile.ZipFile(archive) as file:
        for name in CLASSES:
            members = sorted(
                one for one in file.namelist() if one.startswith(f"train/{name}/") and one.endswith(".jpg")
            )
            for number, member in enumerate(members[: (PHOTOS + NEW) // 2]):
                path = folder / ("photos" if number < PHOTOS // 2 else "new") / name / f"{number}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.read(member))


@pytest.mark.parametrize("space", ["digits_cnn", "photos.yaml"])
def test_a_wheel_leads_from_a_study_to_classes_of_new_images(
    space: str, tmp_path: Path, installed: Path, real_images: Path
) -> None:
    if space == "digits_cnn":
        drawn_digits(tmp_path)
    else:
        photos(tmp_path, real_images / "cifar10_images.zip")

    def regstudy(*arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(installed)}
        command = [sys.executable, "-m", "regstudy", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = [sys.executable, "-c", "import regstudy; print(regstudy.__file__)"]
    found = subprocess.run(where, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed)}, capture_output=True)
    assert found.stdout.decode().startswith(str(installed))

    shorter, trials = ["--set", "training.epochs=2", "--no-doctor", "--device", "cpu"], "2"
    if space == "photos.yaml":
        shorter += ["--set", "model.name=dropout_cnn", "--set", "data.train_limit=100"]
        trials = "6"
        said = regstudy("init", "photos", "--device", "cpu")
        assert "450 for training" in said and "regstudy study --space photos.yaml --trials 50" in said
    regstudy("study", "--space", space, "--trials", trials, *shorter)
    study = f"results/{space.removesuffix('.yaml')}"
    regstudy("report", study)
    regstudy("export", study, "-o", "best.yaml")
    regstudy("train", "best.yaml", "-o", "out", "--onnx", "--device", "cpu")
    said = regstudy("predict", "out", "new", "-o", "predictions.csv")
    assert f"Scores on {NEW} images, whose folders name their classes" in said
    table = pd.read_csv(tmp_path / "predictions.csv")
    assert len(table) == NEW
    assert table.filter(like="p(").sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-4)
    assert (tmp_path / "out" / "model.onnx").stat().st_size > 0
