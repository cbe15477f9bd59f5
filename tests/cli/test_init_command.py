"""`regstudy init`: the file it writes is accepted by a study, nothing is replaced, and a copy is a space of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from PIL import Image

from regstudy.cli.completion import complete_shipped
from regstudy.space.loader import load_space, shipped_spaces


def photos(folder: Path) -> None:
    for number in range(60):
        path = folder / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)


def test_init_leads_to_a_study_and_replaces_only_what_it_wrote(
    regstudy: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regstudy.training.cost.MEASURE_SECONDS", 0.02)
    photos(tmp_path)
    first = regstudy("init", "photos")
    assert first.returncode == 0, first.stderr
    assert "60 for training" in first.stdout
    assert "regstudy study --space photos.yaml --trials 50" in first.stdout
    again = regstudy("study", "--space", "photos.yaml", "--trials", "6", "--no-doctor", "--dry-run")
    assert again.returncode == 0 and "all checks passed" in again.stdout, again.stderr
    assert regstudy("init", "photos").returncode == 0  # what it wrote itself
    file = tmp_path / "photos.yaml"
    changed = file.read_text(encoding="utf-8").replace("low: 0.0", "low: 0.1")
    file.write_text(changed, encoding="utf-8")
    refused = regstudy("init", "photos")
    assert refused.returncode == 2 and "photos.yaml exists already" in refused.stderr
    assert file.read_text(encoding="utf-8") == changed
    assert regstudy("init", "photos", "--overwrite").returncode == 0


@pytest.mark.parametrize("name", sorted(shipped_spaces()))
def test_a_copy_of_a_shipped_space_is_the_same_space_under_a_new_name(
    name: str, regstudy: Command, tmp_path: Path
) -> None:
    done = regstudy("init", "--from", name, "-o", "spaces/mine.yaml")
    assert done.returncode == 0, done.stderr
    copy, original = load_space(tmp_path / "spaces" / "mine.yaml"), load_space(shipped_spaces()[name])
    assert copy.name == "mine"
    assert copy.tree == original.tree and copy.study == original.study
    comments = [line for line in shipped_spaces()[name].read_text(encoding="utf-8").splitlines() if "#" in line]
    written = (tmp_path / "spaces" / "mine.yaml").read_text(encoding="utf-8").splitlines()
    assert set(comments) <= set(written)


def test_a_copy_has_a_name_of_its_own_and_the_shell_completes_originals(regstudy: Command, tmp_path: Path) -> None:
    assert regstudy("init", "--from", "digits_cnn").returncode == 0
    assert (tmp_path / "my_digits_cnn.yaml").exists()
    assert complete_shipped("dig") == ["digits_cnn"]
